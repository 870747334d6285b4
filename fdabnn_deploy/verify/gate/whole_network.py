"""The whole network: the decisions of the deployed graph against those of the trained one, on all samples.

| output                        | judged by                                  | may change                                             |
|-------------------------------|--------------------------------------------|--------------------------------------------------------|
| the first, [N, 2 or more]     | the decisions: the position of the largest | `max(1, floor(0.005 n))` of n                          |
| all others                    | the mean change of a value                 | 1 % of their range                                     |

Arithmetic moves networks too: the captured program in float32 is not the same in float64. Where it moves by more than that, three times
as much may change. Where it moves by more than 2 %, as in a network that was never trained, the comparison says nothing, and nothing is
judged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fdabnn_deploy.frontend.capture.traced_value import CAPTURE_BATCH
from fdabnn_deploy.ir.array_types import DoubleArray
from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.verify import metrics
from fdabnn_deploy.verify.gate.float32_program import SingleProgram
from fdabnn_deploy.verify.gate.float64_program import DoubleProgram
from fdabnn_deploy.verify.gate.results import OutputCheck

DECISIONS = 0.005
"""Share of the decisions that may change; one always may."""

VALUES = 0.01
"""Mean change of an output that holds no class scores, relative to its range."""

ARITHMETIC = 3
"""How many times what arithmetic itself moves."""

UNSTABLE = 0.02
"""Where arithmetic itself moves more, nothing is judged."""

FEW = 200
"""Fewer samples are too few to judge decisions by."""


def check_whole(
    names: Sequence[str],
    trained: Sequence[FloatArray],
    deployed: Sequence[FloatArray],
    program: DoubleProgram,
    images: FloatArray,
    single: SingleProgram | None = None,
) -> tuple[OutputCheck, ...]:
    """Judges every output.

    The network runs in float64 only where the deployed one changes more than may change in any case, and only as far as it takes to see
    that nothing can be judged.

    Args:
        names: of the outputs.
        trained: outputs of the module in float32, [N, ...] each.
        deployed: outputs of the deployed graph.
        program: the trained network in float64.
        images: the samples.
        single: the same program in float32, which arithmetic is measured between; without it `trained` stands for its outputs.
    """
    changes = [change(i, a, b) for i, (a, b) in enumerate(zip(trained, deployed, strict=True))]
    plain = [_plain_limit(i, output) for i, output in enumerate(trained)]
    moved: list[float | None] = [None] * len(changes)
    if any(found > limit for found, limit in zip(changes, plain, strict=True)):
        moved = list(_arithmetic(trained, program, images, single))
    rows = []
    for i, (name, output) in enumerate(zip(names, trained, strict=True)):
        scores, arithmetic = _scores(i, output), moved[i]
        limit: float | None = plain[i]
        if arithmetic is not None and changes[i] > plain[i]:
            limit = None if arithmetic > UNSTABLE else max(plain[i], ARITHMETIC * arithmetic)
        rows.append(
            OutputCheck(
                name=name,
                judged_by="decisions" if scores else "values",
                images=len(output),
                differing=round(changes[i] * len(output)) if scores else 0,
                change=changes[i],
                arithmetic=arithmetic,
                limit=limit,
            )
        )
    return tuple(rows)


def _scores(position: int, output: FloatArray | DoubleArray) -> bool:
    """Whether an output holds class scores."""
    return position == 0 and output.ndim == 2 and output.shape[1] >= 2


def _plain_limit(position: int, output: FloatArray) -> float:
    if _scores(position, output):
        return max(1, math.floor(DECISIONS * len(output))) / len(output)
    return VALUES


def change(position: int, a: FloatArray, b: FloatArray | DoubleArray) -> float:
    """How far output number `position` changes from `a` to `b`.

    The share of other decisions, or the mean change relative to the range of `a`. A NaN on one side only changes everything.
    """
    if _scores(position, a):
        found = metrics.agreement([a], [np.asarray(b, dtype=np.float32)])
        both = np.isnan(a).any(axis=1) & np.isnan(b).any(axis=1)
        return (found.images - found.same - int(both.sum())) / found.images
    finite = np.isfinite(a)
    if not np.array_equal(finite, np.isfinite(b)):
        return math.inf
    if not finite.any():
        return 0.0
    wide, other = a[finite].astype(np.float64), np.asarray(b, dtype=np.float64)[finite]
    mean, spread = float(np.abs(wide - other).mean()), float(np.ptp(wide))
    # Where all values are the same, their size is the measure.
    scale = spread or float(np.abs(wide).max())
    return mean / scale if scale else (0.0 if mean == 0 else math.inf)


def _arithmetic(
    trained: Sequence[FloatArray], program: DoubleProgram, images: FloatArray, single: SingleProgram | None
) -> list[float]:
    """How far float32 moves each output from float64, on the samples."""
    narrow: list[list[FloatArray]] = []
    wide: list[list[DoubleArray]] = []
    for start in range(0, len(images), CAPTURE_BATCH):
        batch = images[start : start + CAPTURE_BATCH]
        wide.append(program.run(batch))
        narrow.append(
            [output[start : start + len(batch)] for output in trained]
            if single is None
            else single.run(batch)
        )
        if start + len(batch) < len(images) and _unstable(narrow, wide, len(images)):
            break
    pairs = zip(zip(*narrow, strict=True), zip(*wide, strict=True), strict=True)
    return [_moved(i, np.concatenate(a), np.concatenate(b), len(images)) for i, (a, b) in enumerate(pairs)]


def _unstable(
    narrow: Sequence[Sequence[FloatArray]], wide: Sequence[Sequence[DoubleArray]], total: int
) -> bool:
    """Whether more decisions have moved already than `UNSTABLE` of all samples."""
    if not _scores(0, narrow[0][0]):
        return False
    a, b = (np.concatenate([part[0] for part in parts]) for parts in (narrow, wide))
    return _moved(0, a, b, total) > UNSTABLE


def _moved(position: int, a: FloatArray, b: DoubleArray, total: int) -> float:
    """The change from float64 outputs of the first few samples, as a share of all for decisions."""
    moved = change(position, a, b)
    return moved * len(b) / total if _scores(position, a) else moved
