"""The operators of Larq Compute Engine, version 0.16.

Source: https://github.com/larq/compute-engine, larq_compute_engine/core/bconv2d. With `K = kh kw C / groups` and p the number of taps whose
bits differ, the sum of signs is `K - 2 p`. A float result is `(2 p * -m) + (b + K m)`, plus `-m * (sum over the taps outside)` where
zeros are padded. With `K |m| + |b| <= 2^24` grid units each part of it is exact: `2 p * -m` is a multiple of two units.
"""

from __future__ import annotations

import numpy as np

from fdabnn_deploy.prove.domain import Constants, LinearSum, Value, of_constant
from fdabnn_deploy.prove.geometry import Windows
from fdabnn_deploy.prove.result import Judged, proven_bound
from fdabnn_deploy.prove.rows import UnprovedError
from fdabnn_deploy.prove.transfer.pointwise import sign_why, signs


def quantize(x: Value) -> Judged:
    """Packed signs, bit 1 where x < 0."""
    return Judged(signs(x.shape), "sign", sign_why(x))


def bconv(
    x: Value,
    weight: Constants,
    channels: int,
    groups: int,
    windows: Windows,
    zeros: bool,
    multiplier: Constants | None,
    bias: Constants | None,
    thresholds: Constants | None,
    relu: bool,
) -> Judged:
    """`LceBconv2d`.

    Args:
        x: signs [N, H, W, C].
        weight: packed, int32 [O, taps, words].
        channels: C, as the operator's options say.
        groups: of the convolution.
        windows: of the convolution.
        zeros: whether SAME padding counts 0, not +1.
        multiplier: m, float32 [O], or None.
        bias: b, float32 [O], or None.
        thresholds: int32 [O] where the result is packed.
        relu: whether the sum is cut at 0 before it is multiplied.

    Raises:
        UnprovedError: the result depends on the kernel.
    """
    if not x.signs:
        raise UnprovedError("its operand is not known to be +1 and -1 only")
    if x.shape[3] != channels:
        raise UnprovedError(f"{x.shape[3]} channels meet weights for {channels}")
    outputs, taps, words = weight.shape
    group_inputs = channels // groups
    if words != -(-group_inputs // 32) or (groups > 1 and group_inputs % 32):
        raise UnprovedError(f"{words} words of weights do not hold {group_inputs} channels")
    unused = group_inputs % 32
    if unused and np.any(weight[..., -1].astype(np.int64) & 0xFFFFFFFF & ~((1 << unused) - 1)):
        raise UnprovedError("bits of its weights are set behind the last channel")
    if zeros and any(
        extent > x.shape[axis] for extent, axis in zip(windows.extents(), windows.axes, strict=True)
    ):
        raise UnprovedError(
            "zeros are padded around an image smaller than the window, where LCE's kernels are wrong"
        )
    largest_sum = taps * group_inputs
    count = np.full((1, 1, 1, outputs), float(largest_sum))
    grid = np.zeros((1, 1, 1, outputs), dtype=np.int64)
    shape = (*windows.output(x.shape)[:3], outputs)
    if thresholds is not None:
        if zeros and windows.padded(x.shape):
            raise UnprovedError("it packs its output although zeros are padded, which LCE cannot")
        if thresholds.dtype != np.int32:
            raise UnprovedError("its thresholds are no integers")
        bound = proven_bound(count, grid, "its sum")
        why = "an integer sum compared with an integer threshold: no NaN and no -0.0 can arrive"
        return Judged(signs(shape), "sign", why, bound)
    low = np.zeros_like(count) if relu else -count
    m = of_constant(np.ones(outputs, np.float32) if multiplier is None else multiplier, 4)
    b = of_constant(np.zeros(outputs, np.float32) if bias is None else bias, 4)
    reach, grid = count * m.magnitude, np.maximum(m.grid, b.grid)
    bound = proven_bound(reach + b.magnitude, grid, "its sum with multiplier and bias")
    ends = np.stack([low * m.low + b.low, count * m.low + b.low])
    history = LinearSum(reach, b.magnitude, grid)
    value = Value(shape, ends.min(axis=0), ends.max(axis=0), grid, negative_zero=False, sum=history)
    if value.integer:
        return Judged(value, "exact integer", "bits are counted; multiplier and bias keep integers", bound)
    return Judged(
        value, "exact sum", "bits are counted; multiplier, bias and border correction are exact", bound
    )
