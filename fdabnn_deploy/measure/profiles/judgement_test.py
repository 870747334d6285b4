from __future__ import annotations

from typing import Any

import pytest

from fdabnn_deploy.measure.profiles.judgement import judge, throttling


def state(flags: str | None = None, source: str = "raspberrypi", **keys: Any) -> dict[str, Any]:
    return {"throttled": {"flags": flags, "source": source}, **keys}


def test_quiet_times_are_a_result() -> None:
    assert judge([100] * 90 + [105] * 10, state(), state()).verdict == "quiet"


def test_few_runs_are_no_result() -> None:
    assert judge([5] * 10, {}, {}).verdict == "quiet"
    found = judge([5] * 9, {}, {})
    assert found.verdict == "too few runs"
    assert "set --runs to 10 or more" in found.reasons[0]


def test_a_wide_spread_is_noise_and_says_what_helps() -> None:
    found = judge([100] * 80 + [130] * 20, state(governor=["ondemand"] * 4, load1=2.5), state())
    assert found.verdict == "noisy"
    (reason,) = found.reasons
    assert "30%, the bound is 10%" in reason
    assert "set the governor from ondemand to performance" in reason
    assert "its load is 2.5" in reason


@pytest.mark.parametrize(
    ("before", "after", "source", "said"),
    [
        ("0x0", "0x0", "raspberrypi", ""),
        ("0x50000", "0x50000", "raspberrypi", ""),
        ("0x0", "0x50005", "raspberrypi", "voltage too low, throttled"),
        ("0x0", "0x20000", "raspberrypi", "frequency capped"),
        ("0x4", "0x40000", "raspberrypi", "throttled"),
        ("0x10", "0x10", "core_throttle_count", ""),
        ("0x10", "0x12", "core_throttle_count", "2 events"),
        (None, None, "raspberrypi", ""),
        ("zero", "0x1", "raspberrypi", ""),
    ],
)
def test_throttling(before: str | None, after: str | None, source: str, said: str) -> None:
    assert throttling(state(before, source), state(after, source)) == said
    verdict = judge([100] * 100, state(before, source), state(after, source)).verdict
    assert verdict == ("throttled" if said else "quiet")
