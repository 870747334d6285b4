from __future__ import annotations

import math

import numpy as np
import pytest

from fdabnn_deploy.verify.accuracy_drop import (
    CONFIDENCE,
    SHARE_ERROR,
    Pairs,
    images_needed,
    least_images,
    paired,
    points,
    upper_bound,
    upper_limit,
)


def binomial_at_most(successes: int, trials: int, p: float) -> float:
    return sum(math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(successes + 1))


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (0, 459), (1, 10), (7, 40), (39, 40), (200, 400)])
def test_the_limit_is_where_so_few_become_improbable(successes: int, trials: int) -> None:
    for error in (0.01, 0.04, 0.05):
        limit = upper_limit(successes, trials, error)
        assert math.isclose(binomial_at_most(successes, trials, limit), error, rel_tol=1e-9)


def test_limits_of_tables() -> None:
    # Clopper and Pearson's 95 % interval of 10 of 100 ends at 0.1762, the rule of three's 0 of 100 at 0.0295.
    assert upper_limit(10, 100, 0.025) == pytest.approx(0.17622, abs=1e-5)
    assert upper_limit(0, 100, 0.05) == pytest.approx(1 - 0.05**0.01, abs=1e-12)
    assert upper_limit(3, 3, 0.05) == 1


def test_many_trials_stay_numbers() -> None:
    limit = upper_limit(100_000, 1_000_000, 0.05)
    assert 0.1 < limit < 0.1006


def test_pairs_are_counted() -> None:
    labels = np.array([0, 1, 2, 0])
    first = np.eye(3, dtype=np.float32)[[0, 1, 2, 1]]
    second = np.eye(3, dtype=np.float32)[[0, 2, 0, 0]]
    pairs = paired([first], [second], labels)
    assert pairs == Pairs(4, 2, 1)
    assert pairs.drop == 0.25


def test_the_bound_holds_for_as_many_as_it_says() -> None:
    """Coverage, exact: of all outcomes for given shares, those whose bound is below the true drop have 5 % at most."""
    images = 60
    bounds = {
        (lost, gained): upper_bound(Pairs(images, lost, gained))
        for lost in range(images + 1)
        for gained in range(images + 1 - lost)
    }
    for p_lost, p_gained in [(0.05, 0.0), (0.1, 0.02), (0.2, 0.2), (0.3, 0.1), (0.02, 0.01)]:
        missed = 0.0
        for (lost, gained), bound in bounds.items():
            if bound < p_lost - p_gained:
                rest = images - lost - gained
                ways = math.comb(images, lost) * math.comb(images - lost, gained)
                missed += ways * p_lost**lost * p_gained**gained * (1 - p_lost - p_gained) ** rest
        assert missed <= 1 - CONFIDENCE


def test_more_images_with_the_same_shares_bring_it_nearer() -> None:
    bounds = [upper_bound(Pairs(n, n // 20, n // 20)) for n in (100, 1000, 10_000, 100_000)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] < 0.002


def test_a_better_network_has_lost_nothing() -> None:
    assert upper_bound(Pairs(1000, 5, 60)) == 0


def test_fewest_images_are_those_of_no_discordant_pair() -> None:
    least = least_images(0.01)
    assert least == 459
    assert upper_bound(Pairs(least, 0, 0)) < 0.01 <= upper_bound(Pairs(least - 1, 0, 0))
    assert (1 - 0.01) ** least < SHARE_ERROR


@pytest.mark.parametrize("pairs", [Pairs(200, 10, 11), Pairs(500, 0, 0), Pairs(1000, 40, 38)])
def test_as_many_images_as_are_said_to_be_needed_are_enough(pairs: Pairs) -> None:
    needed = images_needed(pairs, 0.01)
    assert needed is not None
    scaled = Pairs(
        needed, round(pairs.lost * needed / pairs.images), round(pairs.gained * needed / pairs.images)
    )
    assert upper_bound(scaled) < 0.01


def test_no_number_is_enough_where_the_accuracy_falls() -> None:
    assert images_needed(Pairs(1000, 40, 20), 0.01) is None
    assert images_needed(Pairs(1000, 20, 10), 0.01) is None


def test_points() -> None:
    assert (points(0.01), points(0.00832), points(0.125)) == ("1", "0.832", "12.5")
