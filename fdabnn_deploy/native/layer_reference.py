"""A binary layer in NumPy: slow and readable, from the formula in `kernels/binary_layer.h` alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.native.binary_layer import BinaryLayerParams, Finish, Floats
from fdabnn_deploy.native.library import Words
from fdabnn_deploy.native.reference import pack, unpack


def products(params: BinaryLayerParams, words: Words, filters: Words) -> NDArray[np.int64]:
    """The sums of the products of signs, [batch, out_height, out_width, channels_out].

    Args:
        params: The layer.
        words: Packed signs [batch, height, width, words].
        filters: Packed [channels_out, kernel_h, kernel_w, words].
    """
    inputs, outputs = params.channels_in // params.groups, params.channels_out // params.groups
    image = 1 - 2 * unpack(words, params.channels_in).astype(np.int64)
    signs = 1 - 2 * unpack(filters, inputs).astype(np.int64)
    pads = ((0, 0), (params.pad_top, params.pad_bottom), (params.pad_left, params.pad_right), (0, 0))
    padded = np.pad(image, pads, constant_values=params.pad_value)
    reach_h = (params.kernel_h - 1) * params.dilation_h
    reach_w = (params.kernel_w - 1) * params.dilation_w
    rows = range(0, padded.shape[1] - reach_h, params.stride_h)
    columns = range(0, padded.shape[2] - reach_w, params.stride_w)
    result = np.zeros((len(words), len(rows), len(columns), params.channels_out), np.int64)
    for y, row in enumerate(rows):
        for x, column in enumerate(columns):
            window = padded[
                :,
                row : row + reach_h + 1 : params.dilation_h,
                column : column + reach_w + 1 : params.dilation_w,
            ]
            for group in range(params.groups):
                out = slice(group * outputs, (group + 1) * outputs)
                part = window[..., group * inputs : (group + 1) * inputs]
                result[:, y, x, out] = np.tensordot(part, signs[out], axes=((1, 2, 3), (1, 2, 3)))
    return result


def binary_layer(
    params: BinaryLayerParams, words: Words, filters: Words, finish: Finish, residual: Floats | None = None
) -> tuple[Floats, Words]:
    """Values, in the layout that the parameters name, and packed signs [batch, out_height, out_width, words].

    Args:
        params: The layer.
        words: Packed signs [batch, height, width, words].
        filters: Packed [channels_out, kernel_h, kernel_w, words].
        finish: What follows the convolution.
        residual: In the layout of the values.
    """
    y: Floats = products(params, words, filters).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        if finish.slope is not None:
            y = np.where(y < 0, y * finish.slope, y)
        if finish.scale is not None:
            y = y * finish.scale
        if finish.offset is not None:
            y = y + finish.offset
        if residual is not None:
            y = y + (residual.transpose(0, 2, 3, 1) if params.planes else residual)
    signs = pack(y < 0)
    return (np.ascontiguousarray(y.transpose(0, 3, 1, 2)) if params.planes else y), signs
