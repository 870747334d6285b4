"""The geometry of the report's charts, in the pixels of an SVG's view box; the template draws them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fdabnn_deploy.measure.profile_report import texts
from fdabnn_deploy.measure.profiles.layer_times import LayerTime
from fdabnn_deploy.measure.profiles.result import Measurement, Timing

WIDTH = 920
_LABEL_WIDTH = 210
_VALUE_WIDTH = 120
_ROW = 20
_BAR = 12
_TOP = 26
_RUNS_HEIGHT = 150


@dataclass(frozen=True)
class Tick:
    """A line of the scale: where, and what it says."""

    at: float
    text: str


@dataclass(frozen=True)
class Bar:
    """A bar with its label on the left and its value on the right; `kind` chooses the colour, `title` shows on hovering."""

    label: str
    value: str
    kind: str
    title: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Bars:
    """Horizontal bars under a scale."""

    height: float
    ticks: tuple[Tick, ...]
    bars: tuple[Bar, ...]
    mark: float | None = None


@dataclass(frozen=True)
class Runs:
    """The times of single runs, in their order, as points; and where median, p10 and p90 are, None where the run is no result."""

    height: float
    ticks: tuple[Tick, ...]
    points: tuple[tuple[float, float], ...]
    median: float | None
    band: tuple[float, float] | None


def kind_of(layer: LayerTime) -> str:
    """`binary`, `float` or `other`: the colour of a layer."""
    return "binary" if layer.binary_macs else "float" if layer.float_macs else "other"


def layer_times(layers: Sequence[LayerTime]) -> Bars:
    """A bar per layer, as long as its time."""
    longest = max(layer.median for layer in layers)
    ticks, scale = _scale(longest, WIDTH - _LABEL_WIDTH - _VALUE_WIDTH, texts.duration)
    bars = []
    for i, layer in enumerate(layers):
        value = f"{texts.duration(layer.median)}, {texts.share(layer.share)}"
        title = f"{layer.name}: {value} ({', '.join(layer.types)})"
        bars.append(_bar(i, layer.name, value, kind_of(layer), title, layer.median * scale))
    return _bars(bars, ticks)


def peak_shares(layers: Sequence[LayerTime]) -> Bars | None:
    """A bar per binary layer, as long as its rate is close to the peak; None where there is nothing to show."""

    def tell(layer: LayerTime, ratio: float) -> tuple[str, str]:
        value = f"{texts.rate(layer.binary_rate)}, {ratio:.0%}"
        return value, value

    return _ratios([(layer, layer.of_ceiling) for layer in layers], lambda value: f"{value:.0%}", tell)


def speedups(layers: Sequence[LayerTime]) -> Bars | None:
    """A bar per layer that has one in the baseline, as long as it is faster; None where there is none."""

    def tell(layer: LayerTime, speedup: float) -> tuple[str, str]:
        times = f"{texts.duration(layer.compared)} against {texts.duration(layer.baseline)}"
        return texts.times(speedup), times

    return _ratios([(layer, layer.speedup) for layer in layers], lambda value: f"{value:g} x", tell)


def _ratios(
    layers: Sequence[tuple[LayerTime, float | None]],
    name: Callable[[float], str],
    tell: Callable[[LayerTime, float], tuple[str, str]],
) -> Bars | None:
    """A bar per layer that has a ratio, with a mark at 1; None where none has.

    Args:
        layers: with their ratios.
        name: what the scale says.
        tell: the text beside a bar, and that on hovering behind the layer's name.
    """
    known = [(layer, ratio) for layer, ratio in layers if ratio is not None]
    if not known:
        return None
    longest = max(1.0, *(ratio for _, ratio in known))
    ticks, scale = _scale(longest, WIDTH - _LABEL_WIDTH - _VALUE_WIDTH, name)
    bars = []
    for i, (layer, ratio) in enumerate(known):
        value, title = tell(layer, ratio)
        bars.append(_bar(i, layer.name, value, "binary", f"{layer.name}: {title}", ratio * scale))
    return _bars(bars, ticks, _LABEL_WIDTH + scale)


def thread_times(measurements: Sequence[Measurement]) -> Bars | None:
    """A bar per number of threads, and of the baseline beside it, for those that were quiet; None without any."""
    entries: list[tuple[str, str, Timing]] = []
    for measured in measurements:
        name = texts.threads(measured.threads)
        entries.append((name, "binary", measured.model))
        if measured.baseline is not None:
            entries.append((f"baseline, {name}", "float", measured.baseline))
    known = [
        (name, kind, timing.statistics) for name, kind, timing in entries if timing.statistics is not None
    ]
    if not known:
        return None
    longest = max(statistics.median for _, _, statistics in known)
    ticks, scale = _scale(longest, WIDTH - _LABEL_WIDTH - _VALUE_WIDTH, texts.duration)
    bars = []
    for i, (name, kind, statistics) in enumerate(known):
        title = f"{name}: p90 {texts.duration(statistics.p90)}, p99 {texts.duration(statistics.p99)}"
        bars.append(_bar(i, name, texts.duration(statistics.median), kind, title, statistics.median * scale))
    return _bars(bars, ticks)


def runs(timing: Timing) -> Runs:
    """Every run's time, in order; those far beyond p99 lie on the upper edge."""
    samples = sorted(timing.samples)
    p10, median, p90, p99 = (
        samples[min(len(samples) - 1, len(samples) * q // 100)] for q in (10, 50, 90, 99)
    )
    top = 1.05 * max(p99, 1.2 * median)
    ticks, scale = _scale(top, _RUNS_HEIGHT, texts.duration, count=4)
    left, width = _LABEL_WIDTH / 2, WIDTH - _LABEL_WIDTH / 2 - 10

    def height(ns: float) -> float:
        return _TOP + _RUNS_HEIGHT - min(ns, top) * scale

    step = width / max(1, len(timing.samples) - 1)
    points = tuple((round(left + i * step, 1), round(height(ns), 1)) for i, ns in enumerate(timing.samples))
    lines = tuple(Tick(round(_TOP + _RUNS_HEIGHT - (tick.at - _LABEL_WIDTH), 1), tick.text) for tick in ticks)
    quiet = timing.statistics is not None
    return Runs(
        _TOP + _RUNS_HEIGHT + 8,
        lines,
        points,
        height(median) if quiet else None,
        (height(p90), height(p10)) if quiet else None,
    )


def _bar(row: int, label: str, value: str, kind: str, title: str, width: float) -> Bar:
    y = _TOP + row * _ROW + (_ROW - _BAR) / 2
    shown = label if len(label) <= 30 else f"{label[:14]}…{label[-15:]}"
    return Bar(shown, value, kind, title, _LABEL_WIDTH, y, max(1.0, round(width, 1)), _BAR)


def _bars(bars: Sequence[Bar], ticks: Sequence[Tick], mark: float | None = None) -> Bars:
    return Bars(_TOP + len(bars) * _ROW + 4, tuple(ticks), tuple(bars), mark)


def _scale(longest: float, room: float, text: object, count: int = 5) -> tuple[tuple[Tick, ...], float]:
    """Ticks at round values up to about the longest, and pixels per unit."""
    assert callable(text)
    longest = longest or 1.0
    raw = longest / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    scale = room / longest
    values = [i * step for i in range(math.floor(longest / step + 1e-9) + 1)]
    return tuple(
        Tick(round(_LABEL_WIDTH + value * scale, 1), text(value) if value else "0") for value in values
    ), scale
