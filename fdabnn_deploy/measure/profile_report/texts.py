"""Figures and states as people read them; the tables and the HTML report share these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fdabnn_deploy.measure.profiles.layer_times import LayerTime
from fdabnn_deploy.measure.profiles.result import DeviceResult, Measurement, ModelFile, Profile, Timing


def duration(ns: float | None) -> str:
    """`812 ns`, `3.21 µs`, `1.42 ms`; `-` for nothing."""
    if ns is None:
        return "-"
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            return f"{_digits(ns / size)} {unit}"
    return f"{ns:.0f} ns"


def _digits(value: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{value:.{max(0, 3 - len(str(int(value))))}f}"


def rate(macs_per_second: float | None) -> str:
    """In 10^9 per second."""
    return "-" if macs_per_second is None else f"{_digits(macs_per_second * 1e-9)} G/s"


def share(value: float | None) -> str:
    """In percent."""
    return "-" if value is None else f"{value:.1%}".replace("%", " %")


def times(value: float | None) -> str:
    """How many times as fast."""
    return "-" if value is None else f"{_digits(value)} x"


def count(value: float) -> str:
    """`40.1 M`."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{_digits(value / size)} {unit}"
    return f"{value:.0f}"


def threads(number: int) -> str:
    """`1 thread`, `4 threads`."""
    return f"{number} thread{'s' if number != 1 else ''}"


def short_hash(sha256: str) -> str:
    """The first 12 digits."""
    return sha256[:12]


def file(of: ModelFile) -> str:
    """Name, size and hash of a file."""
    return f"{of.name}, {of.bytes / 1000:.1f} kB, sha256 {short_hash(of.sha256)}"


def change(of: ModelFile) -> str:
    """That a file is not its trained network, or only as to its accuracy, where its owner accepted that; else empty."""
    found = []
    if of.allowed_change:
        found.append(f"not the network that was trained, as --allow-change accepted: {of.allowed_change}")
    if of.fidelity:
        found.append(f"of the {of.fidelity}")
    return "; ".join(found)


def op_by_op(profile: Profile) -> str:
    """How operators were timed one by one."""
    return "operator by operator" + (", without XNNPACK" if _is_tflite(profile) else "")


def on_float_operators(profile: Profile) -> str:
    """Says which kernels computed float operators in per-operator times, where those differ from the whole model's; else empty."""
    if not (_is_tflite(profile) and profile.settings.xnnpack):
        return ""
    return (
        "XNNPACK shows no operators of its own, so LiteRT's slower built-in kernels compute the float operators where each is timed; the "
        "time of one run is with XNNPACK"
    )


def how_compared(profile: Profile, layers: Sequence[LayerTime]) -> str:
    """How those layers were timed that have a figure against the baseline; empty where none has."""
    alone, whole = (
        [layer.name for layer in layers if layer.compared_in == where]
        for where in ("files of their own", "the whole models")
    )
    parts = []
    if alone:
        who = f"{len(alone)} binary layer{'s' if len(alone) != 1 else ''}"
        parts.append(f"{who} and the float baselines each alone in a file of its own, with XNNPACK")
    if whole:
        fed = profile.settings.xnnpack and profile.baseline is not None and profile.baseline.kind == "fp32"
        packed = fed and _is_tflite(profile)
        names = ", ".join(whole)
        who = (
            f"{names} in the whole models, for packed signs go in or out" if packed else "in the whole models"
        )
        parts.append(f"{who}, {op_by_op(profile)}")
    return f"compared: {'; '.join(parts)}" if parts else ""


_NOT_COMPARED = {
    "no twin": "the baseline has no such layer",
    "merged": "the runtime merged them into others",
    "not quiet": "their runs are no result, but noisy, throttled or too few",
}


def not_compared(profile: Profile, layers: Sequence[LayerTime]) -> str:
    """How many binary layers have no figure against a built baseline, and why; empty where all have one, or there is none."""
    if not _is_built(profile):
        return ""
    binary = [layer for layer in layers if layer.binary_macs]
    parts = []
    for kind, reason in _NOT_COMPARED.items():
        count_of = sum(layer.not_compared == kind for layer in binary)
        if count_of:
            parts.append(f"{count_of} of {len(binary)} binary layers are not compared: {reason}")
    return "; ".join(parts)


def no_result(timing: Timing) -> str:
    """The words in front of the reasons why a run is not a result."""
    if timing.attempts == 1:
        return f"{timing.verdict}, no result"
    return f"{timing.verdict} in {timing.attempts} attempts, no result"


def _is_built(profile: Profile) -> bool:
    return profile.baseline is not None and profile.baseline.kind != "model"


def _is_tflite(profile: Profile) -> bool:
    return profile.model.name.lower().endswith(".tflite")


def result(timing: Timing) -> str:
    """The median, or the verdict that takes its place."""
    return timing.verdict if timing.statistics is None else duration(timing.statistics.median)


def facts(device: DeviceResult) -> list[tuple[str, str]]:
    """The conditions of a device's figures, as names and values; unknown ones are named as unknown."""
    rows: list[tuple[str, str]] = []
    known, runtime = device.facts, device.runtime
    if known is not None:
        rows.append(("processor", f"{known.get('cpu') or 'unknown'}, {known.get('cores') or '?'} cores"))
        system = f"{known.get('bits')}-bit {known.get('machine')}, {known.get('kernel')}"
        rows.append(("system", f"{system}, {known.get('os')}" if known.get("os") else system))
    if runtime is not None:
        rows.append(
            ("runtime", f"{runtime.get('name')} {runtime.get('version')}, kernels: {runtime.get('kernels')}")
        )
    if device.selftest is not None:
        rows.append(("self-test", selftest(device)))
    for measured in device.measurements:
        title = f"{threads(measured.threads)}" if len(device.measurements) > 1 else "state"
        rows.append((title, "; ".join(state(measured))))
    return rows


def selftest(device: DeviceResult) -> str:
    """How the self-test came out."""
    found = device.selftest
    assert found is not None
    inputs = f"{found.inputs} input{'s' if found.inputs != 1 else ''}"
    if found.passed:
        packed = f", {found.packed} packed tensors" if found.packed else ""
        return f"passed: all bits equal, {inputs}{packed}"
    return f"not judged: other bits than on this machine, {inputs}; the model's numerics are float and promise none"


def state(measured: Measurement) -> list[str]:
    """Affinity of a run; governor, frequency, temperature, throttling and load before and after; peak memory."""
    before, after = (measured.model.state[when] for when in ("before", "after"))
    cpus, peak = measured.cpus, measured.model.peak_bytes
    pinned = "not pinned" if cpus is None else f"pinned to {','.join(map(str, cpus))}"
    return [
        pinned,
        f"governor {_governors(before)}",
        f"frequency {_change([_frequency(each, cpus) for each in (before, after)])}",
        f"temperature {_change([_temperature(each) for each in (before, after)])}",
        f"throttling {_throttling(before, after)}",
        f"load {_load(before)} -> {_load(after)}",
        *([] if peak is None else [f"peak memory {peak / 1e6:.1f} MB"]),
    ]


def _governors(of: dict[str, Any]) -> str:
    return ", ".join(sorted({name for name in of.get("governor") or () if name})) or "unknown"


def _frequency(of: dict[str, Any], cpus: Sequence[int] | None) -> str:
    """Of the fastest processor that took part."""
    found = of.get("frequency_khz") or []
    chosen = [found[i] for i in cpus if i < len(found)] if cpus else found
    numbers = [value for value in chosen if value]
    return f"{max(numbers) / 1e6:.2f} GHz" if numbers else "unknown"


def _temperature(of: dict[str, Any]) -> str:
    """Of the hottest zone."""
    found = [value for value in (of.get("temperature_millic") or {}).values() if value is not None]
    return f"{max(found) / 1000:.0f} °C" if found else "unknown"


def _throttling(before: dict[str, Any], after: dict[str, Any]) -> str:
    flags = [(each.get("throttled") or {}).get("flags") for each in (before, after)]
    return _change([str(flag) if flag is not None else "unknown" for flag in flags])


def _load(of: dict[str, Any]) -> str:
    value = of.get("load1")
    return "unknown" if value is None else f"{value:.1f}"


def _change(values: Sequence[str]) -> str:
    """`a -> b`, or one of them where both are unknown."""
    return values[0] if values[0] == values[1] == "unknown" else " -> ".join(values)
