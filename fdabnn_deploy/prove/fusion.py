"""The fusions that a runtime may make on any platform, whether or not it made them here.

Seen in ONNX Runtime, TensorFlow's and LCE's converters:

- `conv(x) * c` and `conv(x) + c` become one convolution with other weights and another bias, also several in a row.
- `conv(x) + y` becomes a convolution that accumulates into y: on aarch64 always, on x86 where y is a convolution's result too.
- `conv(x * c)` and `dense(x + c)` become one with other weights or another bias.
- `(x + a) + b` becomes `x + (a + b)`, `(x * a) * b` becomes `x * (a * b)`, where nothing else reads `x + a` or `x * a`.

Every such merger has to give the same bits: by an exact sum, or because a factor is a power of two.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fdabnn_deploy.prove.domain import Doubles, LinearSum, Value
from fdabnn_deploy.prove.result import proven_bound
from fdabnn_deploy.prove.rows import UnprovedError

BEHIND = "folded into the convolution in front of it, as runtimes do, its sum"


def scaled_sum(linear: LinearSum, constant: Value) -> tuple[LinearSum, float]:
    """A convolution's result times a constant: the folded sum and its bound.

    The bound makes the folded weights exact too: each is a multiple of its grid and at most 2^24 units.

    Raises:
        UnprovedError: folding may change the result.
    """
    folded = LinearSum(
        linear.reach * constant.magnitude, linear.offset * constant.magnitude, linear.grid + constant.grid
    )
    return folded, proven_bound(folded.reach + folded.offset, folded.grid, BEHIND)


def shifted_sum(linear: LinearSum, constant: Value) -> tuple[LinearSum, float]:
    """A convolution's result plus a constant; see `scaled_sum`."""
    folded = LinearSum(
        linear.reach, linear.offset + constant.magnitude, np.maximum(linear.grid, constant.grid)
    )
    return folded, proven_bound(folded.reach + folded.offset, folded.grid, BEHIND)


def residual_bound(a: Value, b: Value) -> float | None:
    """The bound of `a + b` accumulated inside a convolution, or None where neither is a convolution's result.

    Raises:
        UnprovedError: accumulating may change the result.
    """
    bounds = []
    for conv, other in ((a, b), (b, a)):
        if conv.sum is not None:
            total = conv.sum.reach + conv.sum.offset + other.magnitude
            grid = np.maximum(conv.sum.grid, other.grid)
            what = (
                "accumulated into its other operand, as ONNX Runtime does on aarch64, the convolution's sum"
            )
            bounds.append(proven_bound(total, grid, what))
    return max(bounds, default=None)


def check_merge(value: Value, kind: str, constant: Value, exact: bool) -> None:
    """Refuses a constant addition or multiplication that may be merged with another one in front of it.

    Raises:
        UnprovedError: the merged constant may round otherwise.
    """
    link = value.link
    if link is None or link.kind != kind or not link.single:
        return
    if kind == "mul":
        harmless = link.scaling or _scaling(constant)
        magnitude = link.constant.magnitude * constant.magnitude
        grid = link.constant.grid + constant.grid
    else:
        harmless = False
        magnitude = link.constant.magnitude + constant.magnitude
        grid = np.maximum(link.constant.grid, constant.grid)
    if harmless:
        return
    if not (exact and link.exact):
        raise UnprovedError(
            f"two constant {'factors' if kind == 'mul' else 'addends'} in a row are merged by converters, and these round"
        )
    proven_bound(magnitude, grid, "the merged constant")


def _scaling(constant: Value) -> bool:
    mantissa, _ = np.frexp(constant.magnitude)
    return bool(np.all((mantissa == 0.5) | (mantissa == 0)))


def operand_reach(x: Value) -> Doubles:
    """The magnitude that a convolution's operand counts with, where a constant in front may be folded into the weights.

    Raises:
        UnprovedError: folding it may change the result.
    """
    link = x.link
    if link is None or link.scaling:
        return x.magnitude
    if not link.exact:
        raise UnprovedError(
            f"the constant {'factor' if link.kind == 'mul' else 'addend'} directly in front rounds, and converters fold it into the "
            "weights or the bias"
        )
    return np.maximum(x.magnitude, link.reach)


def without_history(value: Value) -> Value:
    """The value behind something that nothing is folded through."""
    return replace(value, sum=None, link=None)
