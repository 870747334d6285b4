"""Latency of one image on one thread: the median of warmed runs, in the file's own layout."""

from __future__ import annotations

from dataclasses import dataclass

from fdabnn_deploy.ir.ops import Array
from fdabnn_deploy.measure import timer
from fdabnn_deploy.measure.statistics import summarise
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


def measure(session: Session, image: Array, threads: int = 1) -> Latency:
    """Times a session that was opened with this number of threads.

    Args:
        session: the loaded model.
        image: one image [1, C, H, W].
        threads: for the record only.
    """
    prepared = session.native_inputs([image])
    session.run_native(prepared)
    times = timer.sample(
        lambda: session.run_native(prepared),
        MEASURE_SECONDS,
        least=MIN_RUNS,
        most=MAX_RUNS,
        warm_seconds=WARM_SECONDS,
    )
    found = summarise([1e3 * seconds for seconds in times])
    return Latency(found.median, found.p10, found.p90, found.runs, threads)
