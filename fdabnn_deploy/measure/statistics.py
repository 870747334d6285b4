"""The statistics of everything that is measured: medians, quantiles, and ratios of two figures.

Quantiles are interpolated linearly between the two samples around them (Hyndman and Fan 1996, definition 7, NumPy's own): of n samples in
order, the share q is the one at place `q (n - 1)`, counted from 0. The runner's tables show the samples of nearest rank instead, so that
each figure is a run's (docs/runner.md); what reads its JSON computes from its samples.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Statistics:
    """Statistics of samples, in their unit.

    Attributes:
        runs: number of samples.
        median: of the samples.
        min: the smallest sample.
        p10: the 10th percentile.
        p90: the 90th percentile.
        p99: the 99th percentile.
        spread: `(p90 - p10) / median`.
    """

    runs: int
    median: float
    min: float
    p10: float
    p90: float
    p99: float
    spread: float


def summarise(samples: Sequence[float]) -> Statistics:
    """The statistics of at least one sample."""
    values = np.asarray(samples, dtype=np.float64)
    p10, middle, p90, p99 = quantiles(values, (0.1, 0.5, 0.9, 0.99))
    spread = (p90 - p10) / middle if middle > 0 else 0.0
    return Statistics(len(values), middle, float(values.min()), p10, p90, p99, spread)


def quantiles(samples: Any, shares: Sequence[float]) -> tuple[float, ...]:
    """The values that these shares of at least one sample stay below."""
    return tuple(float(value) for value in np.quantile(np.asarray(samples, dtype=np.float64), shares))


def median(samples: Any) -> float:
    """Of at least one sample; of an even number, the mean of the middle two."""
    return float(np.median(np.asarray(samples, dtype=np.float64)))


def low_median(counts: Iterable[int]) -> int:
    """Of at least one count, and one of them: of an even number, the smaller of the middle two."""
    return statistics.median_low(counts)


def ratio(figure: float | None, by: float | None) -> float | None:
    """One figure over another; None where one is missing, or the other is 0.

    How many times as fast something is, is the time of what it is compared with over its own.
    """
    return None if figure is None or not by else figure / by
