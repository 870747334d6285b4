"""Latency of one image on one thread: the median of warmed runs, in the file's own layout."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.runtimes.base import Session

MIN_RUNS = 20
MAX_RUNS = 200
WARM_SECONDS = 0.1
MEASURE_SECONDS = 0.6


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one inference.

    Attributes:
        median_ms: of all runs.
        p10_ms: a tenth of the runs were faster.
        p90_ms: a tenth of the runs were slower.
        runs: how many were timed.
        threads: that the runtime was allowed.
    """

    median_ms: float
    p10_ms: float
    p90_ms: float
    runs: int
    threads: int


def measure(session: Session, image: FloatArray, threads: int = 1) -> Latency:
    """Times a session that was opened with this number of threads.

    Args:
        session: the loaded model.
        image: one image, float32 [1, C, H, W].
        threads: for the record only.
    """
    prepared = session.native_inputs([image])
    end = time.perf_counter() + WARM_SECONDS
    session.run_native(prepared)
    while time.perf_counter() < end:
        session.run_native(prepared)
    times: list[float] = []
    end = time.perf_counter() + MEASURE_SECONDS
    while len(times) < MIN_RUNS or (time.perf_counter() < end and len(times) < MAX_RUNS):
        start = time.perf_counter()
        session.run_native(prepared)
        times.append(1e3 * (time.perf_counter() - start))
    deciles = statistics.quantiles(times, n=10)
    return Latency(statistics.median(times), deciles[0], deciles[-1], len(times), threads)
