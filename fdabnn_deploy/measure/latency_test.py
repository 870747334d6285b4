from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.measure import latency
from fdabnn_deploy.runtimes.base import Session


class Sleeper(Session):
    """Takes a known time per run."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.calls = 0

    def run(self, inputs: Sequence[FloatArray]) -> list[FloatArray]:
        raise NotImplementedError

    def run_all(self, inputs: Sequence[FloatArray]) -> dict[str, FloatArray]:
        raise NotImplementedError

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((1,),)

    def native_inputs(self, inputs: Sequence[FloatArray]) -> object:
        return "prepared"

    def run_native(self, prepared: object) -> None:
        assert prepared == "prepared"
        self.calls += 1
        time.sleep(self.seconds)


def test_the_median_is_in_milliseconds_and_warm_runs_are_left_out() -> None:
    session = Sleeper(0.004)
    result = latency.measure(session, np.zeros((1, 1), np.float32))
    assert 4 <= result.median_ms < 40
    assert result.p10_ms <= result.median_ms <= result.p90_ms
    assert latency.MIN_RUNS <= result.runs <= latency.MAX_RUNS
    assert session.calls > result.runs
    assert result.threads == 1


def test_a_slow_model_is_still_run_often_enough() -> None:
    assert latency.measure(Sleeper(0.05), np.zeros((1, 1), np.float32)).runs == latency.MIN_RUNS
