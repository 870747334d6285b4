"""How much accuracy a changed network may have lost: an upper bound from decisions on the same labelled images (McNemar 1947).

Of n images, b are right with the first network only (lost) and c with the second only (gained); the others say nothing of which is better.
The drop in accuracy is `p_b - p_c`, estimated by `(b - c) / n`. With the share of discordant pairs `p = p_b + p_c`, and the share of the
lost among these `t = p_b / p`, it is `p (2 t - 1)`. Given b + c, b is binomial with parameter t, which is McNemar's exact test; b + c is
binomial with parameter p. So

    upper(drop) = P (2 T - 1),

T and P being one-sided upper limits of Clopper and Pearson (1934) at levels whose errors add up to 5 % (Bonferroni), is a bound that holds
with at least 95 % confidence for every number of images, without an approximation. Where 2 T - 1 is negative, the drop is at most 0.

- Q. McNemar: Note on the sampling error of the difference between correlated proportions or percentages, Psychometrika 12, 1947.
- C. J. Clopper, E. S. Pearson: The use of confidence or fiducial limits illustrated in the case of the binomial, Biometrika 26, 1934.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.verify import metrics

CONFIDENCE = 0.95
"""Of the bound, one-sided."""

SHARE_ERROR = 0.01
"""The part of `1 - CONFIDENCE` that the share of discordant pairs gets; the rest goes to the share of the lost among them."""

MOST_IMAGES = 1 << 22
"""Where a search for the number of images ends."""

_STEPS = 60
"""Halvings of an interval: as far as float64 goes."""


@dataclass(frozen=True)
class Pairs:
    """Decisions of two networks on the same labelled images.

    Attributes:
        images: how many.
        lost: right with the first network, wrong with the second.
        gained: the other way around.
    """

    images: int
    lost: int
    gained: int

    @property
    def drop(self) -> float:
        """The estimated drop in accuracy, as a share; negative where the second network is better."""
        return (self.lost - self.gained) / self.images


def paired(first: Sequence[FloatArray], second: Sequence[FloatArray], labels: NDArray[np.int64]) -> Pairs:
    """Counts the pairs.

    Args:
        first: outputs of a network, [N, classes] in front.
        second: those of the other.
        labels: int64 [N].
    """
    right = [metrics.decisions(outputs[0]) == labels for outputs in (first, second)]
    return Pairs(len(labels), int(np.sum(right[0] & ~right[1])), int(np.sum(~right[0] & right[1])))


def upper_bound(pairs: Pairs) -> float:
    """The drop in accuracy is at most this, a share, with `CONFIDENCE`."""
    discordant = pairs.lost + pairs.gained
    lost = upper_limit(pairs.lost, discordant, 1 - CONFIDENCE - SHARE_ERROR) if discordant else 1.0
    return upper_limit(discordant, pairs.images, SHARE_ERROR) * max(0.0, 2 * lost - 1)


def upper_limit(successes: int, trials: int, error: float) -> float:
    """Clopper's and Pearson's one-sided upper limit of a binomial parameter: `P(X <= successes) = error` there."""
    if successes >= trials:
        return 1.0
    counts = np.arange(successes + 1)
    ways = np.concatenate([[0.0], np.cumsum(np.log(trials - counts[:-1]) - np.log(counts[1:]))])
    low, high = successes / trials, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        terms = ways + counts * math.log(middle) + (trials - counts) * math.log1p(-middle)
        # The limit of rounding down may not be below the true one: so the upper end is given.
        if float(np.exp(terms).sum()) > error:
            low = middle
        else:
            high = middle
    return high


def least_images(most: float) -> int:
    """The fewest images on which a bound can be below `most`, a share: as many as it takes where no pair is discordant."""
    return math.floor(math.log(SHARE_ERROR) / math.log1p(-most)) + 1


def images_needed(pairs: Pairs, most: float) -> int | None:
    """The number of images with the same shares of pairs on which the bound is below `most`; None where no number is enough."""
    if pairs.drop >= most:
        return None
    few, many = 0, max(least_images(most), pairs.images)
    while upper_bound(_scaled(pairs, many)) >= most:
        few, many = many, 2 * many
        if many > MOST_IMAGES:
            return None
    while many - few > max(1, many // 100):
        middle = (few + many) // 2
        few, many = (middle, many) if upper_bound(_scaled(pairs, middle)) >= most else (few, middle)
    return many


def points(share: float) -> str:
    """A share as a number of percentage points, for sentences."""
    return f"{100 * share:.3g}"


def _scaled(pairs: Pairs, images: int) -> Pairs:
    """As many pairs of each kind as so many images would have."""
    factor = Fraction(images, pairs.images)
    return Pairs(images, round(pairs.lost * factor), round(pairs.gained * factor))
