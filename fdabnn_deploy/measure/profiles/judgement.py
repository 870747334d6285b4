"""Whether the times of one model are a result: the conditions under which no figures are given.

A run whose times spread wide, or during which the processor was throttled, measures other work of the machine and not the model.
Its figures are not reported. The spread is `(p90 - p10) / median`, where p10 and p90 are the 10th and the 90th percentile;
above `NOISE_BOUND` a run is called noisy. Fewer than `MIN_RUNS` times give no such percentiles, hence no spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fdabnn_deploy.measure.statistics import summarise

NOISE_BOUND = 0.10
MIN_RUNS = 10
Verdict = Literal["quiet", "noisy", "throttled", "too few runs"]
_PI_NOW = 0xF
"""Bits of a Raspberry Pi's `get_throttled` that are set while something limits it."""
_PI_NAMES = {0: "voltage too low", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}


@dataclass(frozen=True)
class Judgement:
    """Whether a run's times are a result.

    Attributes:
        verdict: `quiet` where they are a result.
        reasons: why they are not, in words, with the remedy.
    """

    verdict: Verdict
    reasons: tuple[str, ...] = ()


def judge(samples: Sequence[int], before: dict[str, Any], after: dict[str, Any]) -> Judgement:
    """Judges a run by its times and by the device's state before and after, as the runner reports it (docs/runner.md)."""
    throttled = throttling(before, after)
    if throttled:
        remedy = "cool it, or give it a stronger power supply, and wait a minute"
        return Judgement("throttled", (f"the processor was throttled ({throttled}): {remedy}",))
    if len(samples) < MIN_RUNS:
        return Judgement(
            "too few runs",
            (
                f"{len(samples)} are too few to know the spread of the times: set --runs to {MIN_RUNS} or more",
            ),
        )
    spread = summarise(samples).spread
    if spread > NOISE_BOUND:
        reason = f"(p90 - p10) / median is {spread:.0%}, the bound is {NOISE_BOUND:.0%}"
        return Judgement("noisy", (f"{reason}: {_remedy(before)}",))
    return Judgement("quiet")


def throttling(before: dict[str, Any], after: dict[str, Any]) -> str:
    """The causes of throttling between two states, in words; empty where there was none or the device does not say."""
    flags = [_flags(state) for state in (before, after)]
    source = str((after.get("throttled") or {}).get("source") or "")
    if None in flags or flags[0] is None or flags[1] is None:
        return ""
    if source == "raspberrypi":
        # Bits 0 to 3 are the state now; bits 16 to 19 the same, at any time since the system started.
        found = (flags[0] | flags[1]) & _PI_NOW | (flags[1] & ~flags[0]) >> 16 & _PI_NOW
        return ", ".join(name for bit, name in _PI_NAMES.items() if found >> bit & 1)
    return f"{flags[1] - flags[0]} events" if flags[1] > flags[0] else ""


def _flags(state: dict[str, Any]) -> int | None:
    text = (state.get("throttled") or {}).get("flags")
    try:
        return None if text is None else int(str(text), 16)
    except ValueError:
        return None


def _remedy(state: dict[str, Any]) -> str:
    """Advice on how to make a noisy machine quiet, from its state."""
    advice = []
    governors = {name for name in state.get("governor") or () if name}
    if governors and governors != {"performance"}:
        advice.append(f"set the governor from {', '.join(sorted(governors))} to performance")
    load = state.get("load1")
    if isinstance(load, int | float) and load >= 1:
        advice.append(f"end what else runs there (its load is {load:.1f})")
    advice.append("pin the threads with --cpus, or raise --runs")
    return "; ".join(advice)
