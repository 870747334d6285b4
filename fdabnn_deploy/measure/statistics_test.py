from __future__ import annotations

import math

import pytest

from fdabnn_deploy.measure.statistics import low_median, median, quantiles, ratio, summarise


def test_statistics_of_whole_places() -> None:
    found = summarise(range(101))
    assert (found.runs, found.median, found.min, found.p10, found.p90, found.p99) == (101, 50, 0, 10, 90, 99)
    assert found.spread == pytest.approx(80 / 50)


def test_one_sample_is_all_of_them() -> None:
    found = summarise([7])
    assert (found.runs, found.median, found.min, found.p10, found.p90, found.p99, found.spread) == (
        1,
        7,
        7,
        7,
        7,
        7,
        0,
    )


def test_samples_of_no_time_have_no_spread() -> None:
    assert summarise([0, 0, 0]).spread == 0


def by_definition(samples: list[float], share: float) -> float:
    """Linear between the samples around the place `share (n - 1)`."""
    ordered = sorted(samples)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


@pytest.mark.parametrize("count", [1, 2, 3, 10, 20, 57])
def test_quantiles_are_interpolated_linearly(count: int) -> None:
    samples = [float((k * 37) % 101) for k in range(count)]
    shares = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
    assert quantiles(samples, shares) == pytest.approx([by_definition(samples, share) for share in shares])
    assert median(samples) == pytest.approx(by_definition(samples, 0.5))
    assert summarise(samples).p10 == pytest.approx(by_definition(samples, 0.1))


def test_medians_of_even_numbers() -> None:
    assert median([4, 1, 3, 2]) == 2.5
    assert low_median([4, 1, 3, 2]) == 2
    assert low_median(iter([5])) == 5


def test_ratios_need_both() -> None:
    assert ratio(30, 20) == 1.5
    assert ratio(0, 20) == 0
    for pair in ((None, 20.0), (30.0, None), (30.0, 0.0), (0.0, 0.0)):
        assert ratio(*pair) is None
