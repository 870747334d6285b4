"""The native kernels in NumPy: slow and readable, from the formulas in `kernels/*.h` alone.

A sign tensor is boolean, True for -1. Packed, 32 channels share a word: channel c is bit c % 32 of word c // 32, and bits behind the
last channel are 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.native.bconv import BconvParams
from fdabnn_deploy.native.conv_sum import SUBTRACT, ConvSumParams, Term

Bits = NDArray[np.bool_]
Words = NDArray[np.uint32]
Floats = NDArray[np.float32]
Constants = tuple[Floats, Floats] | NDArray[np.int32]

ACTIVATION_RANGES = {
    "none": (-np.inf, np.inf),
    "relu": (0, np.inf),
    "relu_n1_to_1": (-1, 1),
    "relu6": (0, 6),
}


def pack(bits: Bits) -> Words:
    """[..., channels] -> words [..., ceil(channels / 32)]."""
    channels = bits.shape[-1]
    filled = np.zeros((*bits.shape[:-1], -(-channels // 32) * 32), np.uint8)
    filled[..., :channels] = bits
    return np.packbits(filled, axis=-1, bitorder="little").view("<u4").astype(np.uint32)


def unpack(words: Words, channels: int) -> Bits:
    """Words [..., ceil(channels / 32)] -> [..., channels]."""
    octets = np.ascontiguousarray(words.astype("<u4")).view(np.uint8)
    return np.unpackbits(octets, axis=-1, bitorder="little")[..., :channels].astype(np.bool_)


def pad_axis(
    size: int, kernel: int, stride: int, dilation: int, same: bool, pads: tuple[int, int] = (0, 0)
) -> tuple[int, int]:
    """TensorFlow's SAME, or padding in front and behind: the size of the output, and the padding in front."""
    reach = (kernel - 1) * dilation + 1
    if not same:
        return max((size + sum(pads) - reach) // stride + 1, 0), pads[0]
    out = -(-size // stride)
    return out, max((out - 1) * stride + reach - size, 0) // 2


def bmaxpool(words: Words, kernel: tuple[int, int], stride: tuple[int, int], same: bool) -> Words:
    """The largest sign inside the image in each window: -1 only where all are."""
    batch, height, width, depth = words.shape
    out_h, top = pad_axis(height, kernel[0], stride[0], 1, same)
    out_w, left = pad_axis(width, kernel[1], stride[1], 1, same)
    result = np.empty((batch, out_h, out_w, depth), np.uint32)
    for y in range(out_h):
        for x in range(out_w):
            y0, x0 = y * stride[0] - top, x * stride[1] - left
            window = words[:, max(y0, 0) : y0 + kernel[0], max(x0, 0) : x0 + kernel[1]]
            result[:, y, x] = np.bitwise_and.reduce(window, axis=(1, 2))
    return result


def count_differences(
    params: BconvParams, bits: Bits, filters: Bits
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counts where windows and filters differ.

    Args:
        params: The convolution.
        bits: Input [batch, height, width, channels_in].
        filters: [channels_out, kernel_h, kernel_w, channels_in / groups].

    Returns:
        The number p of taps that differ, padding taken as +1, [batch, out_height, out_width, channels_out]; and the sum of the filter's
        values at the taps outside the image, [out_height, out_width, channels_out].
    """
    batch, height, width, _ = bits.shape
    out_h, top = pad_axis(height, params.kernel_h, params.stride_h, params.dilation_h, params.same_padding)
    out_w, left = pad_axis(width, params.kernel_w, params.stride_w, params.dilation_w, params.same_padding)
    inputs = params.channels_in // params.groups
    outputs = params.channels_out // params.groups
    differ = np.zeros((batch, out_h, out_w, params.channels_out), np.int64)
    outside = np.zeros((out_h, out_w, params.channels_out), np.int64)
    for y in range(out_h):
        for x in range(out_w):
            for ky in range(params.kernel_h):
                for kx in range(params.kernel_w):
                    row = y * params.stride_h - top + ky * params.dilation_h
                    column = x * params.stride_w - left + kx * params.dilation_w
                    tap = filters[:, ky, kx]
                    if not (0 <= row < height and 0 <= column < width):
                        differ[:, y, x] += tap.sum(axis=-1)
                        outside[y, x] += inputs - 2 * tap.sum(axis=-1)
                        continue
                    for group in range(params.groups):
                        out = slice(group * outputs, (group + 1) * outputs)
                        pixel = bits[:, row, column, group * inputs : (group + 1) * inputs]
                        differ[:, y, x, out] += (pixel[:, None] != tap[None, out]).sum(axis=-1)
    return differ, outside


def finish_bconv(
    params: BconvParams, differ: NDArray[np.int64], outside: NDArray[np.int64], constants: Constants
) -> Floats | Words | NDArray[np.int8]:
    """Counts to outputs, rounded to float32 where the formula in `kernels/bconv.h` rounds.

    Args:
        params: The convolution.
        differ: As `count_differences` returns it.
        outside: Likewise.
        constants: Multiplier and bias, float32 [channels_out] each; thresholds, int32 [channels_out], for packed output.
    """
    if params.output == "packed":
        assert isinstance(constants, np.ndarray)
        return pack(differ > constants)
    multiplier, bias = (np.asarray(values, np.float64) for values in constants)
    taps = params.kernel_h * params.kernel_w * params.channels_in // params.groups
    low, high = ACTIVATION_RANGES[params.activation]
    clamped = np.clip(2 * differ, max(taps - high, -1), min(taps - low, 2 * taps + 1)).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        if params.output == "int8":
            factor = (-multiplier / float(np.float32(params.output_scale))).astype(np.float32)
            offset = (bias + taps * multiplier) / float(
                np.float32(params.output_scale)
            ) + params.output_zero_point
            value = (clamped * factor + offset.astype(np.float32)).astype(np.float64)
            rounded = np.copysign(np.floor(np.abs(value) + 0.5), value)  # halves away from zero
            return np.clip(rounded, -128, 127).astype(np.int8)
        result: Floats = clamped * (-multiplier).astype(np.float32) + (bias + taps * multiplier).astype(
            np.float32
        )
        if params.same_padding and params.pad_value == 0:
            reaches = outside.astype(np.float32) * (-multiplier).astype(np.float32)
            result = result + reaches
        return result


def bconv(
    params: BconvParams, words: Words, filters: Words, constants: Constants
) -> Floats | Words | NDArray[np.int8]:
    """Binary convolution of packed tensors: input [batch, height, width, words], filters [channels_out, kernel_h, kernel_w, words]."""
    inputs = params.channels_in // params.groups
    differ, outside = count_differences(params, unpack(words, params.channels_in), unpack(filters, inputs))
    return finish_bconv(params, differ, outside, constants)


def conv_sum_axes(params: ConvSumParams, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Of height and width, the size of the output and the padding in front."""
    p, same = params, params.same_padding
    return (
        pad_axis(height, p.kernel_h, p.stride_h, p.dilation_h, same, (p.pad_top, p.pad_bottom)),
        pad_axis(width, p.kernel_w, p.stride_w, p.dilation_w, same, (p.pad_left, p.pad_right)),
    )


def convolve(params: ConvSumParams, image: Floats, filters: Floats, bias: Floats) -> Floats:
    """A convolution [batch, out_height, out_width, channels_out] with zero padding, summed in float64 and rounded once."""
    batch, height, width, _ = image.shape
    (out_h, top), (out_w, left) = conv_sum_axes(params, height, width)
    padded_h = (out_h - 1) * params.stride_h + (params.kernel_h - 1) * params.dilation_h + 1
    padded_w = (out_w - 1) * params.stride_w + (params.kernel_w - 1) * params.dilation_w + 1
    padded = np.zeros((batch, max(padded_h, top + height), max(padded_w, left + width), params.channels_in))
    padded[:, top : top + height, left : left + width] = image
    result = np.tile(bias.astype(np.float64), (batch, out_h, out_w, 1))
    for ky in range(params.kernel_h):
        for kx in range(params.kernel_w):
            rows = slice(ky * params.dilation_h, ky * params.dilation_h + (out_h - 1) * params.stride_h + 1)
            columns = slice(
                kx * params.dilation_w, kx * params.dilation_w + (out_w - 1) * params.stride_w + 1
            )
            tap = filters[:, ky, kx].astype(np.float64)
            result += padded[:, rows, columns][:, :: params.stride_h, :: params.stride_w] @ tap.T
    return result.astype(np.float32)


def conv_sum(
    params: ConvSumParams, inputs: Sequence[Floats], terms: Sequence[Term], expression: Sequence[int]
) -> Floats:
    """Differences of convolutions, each rounded to float32 in the expression's order.

    Args:
        params: The convolutions.
        inputs: [batch, height, width, channels_in] of one shape, or planes.
        terms: Which of the inputs, filters and bias.
        expression: Postfix; see `fdabnn_deploy.native.conv_sum`.
    """
    if params.planes:
        pixels = [values.transpose(0, 2, 3, 1) for values in inputs]
        return conv_sum(replace(params, planes=False), pixels, terms, expression).transpose(0, 3, 1, 2)
    stack: list[Floats] = []
    for item in expression:
        if item == SUBTRACT:
            right = stack.pop()
            stack.append(stack.pop() - right)
        else:
            term = terms[item]
            stack.append(convolve(params, inputs[term.input], term.filters, term.bias))
    (result,) = stack
    return result
