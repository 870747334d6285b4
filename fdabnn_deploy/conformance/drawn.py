"""Random cases: every operator with random parameters and sizes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fdabnn_deploy.conformance.case import Case, make_case
from fdabnn_deploy.conformance.drawn_arrays import Options, convolution, floats, signs
from fdabnn_deploy.ir.ops import (
    Add,
    Affine,
    AvgPool2d,
    BinaryConv2d,
    BinaryLinear,
    Clamp,
    Concat,
    Conv2d,
    GlobalAvgPool,
    GlobalSum,
    Linear,
    Maximum,
    MaxPool2d,
    Mul,
    Op,
    Pad,
    Permute,
    PRelu,
    Relu,
    Reshape,
    RoundToGrid,
    Saturate,
    Sign,
    Slice,
    Softmax,
    Sub,
)


def random_case(kind: type[Op], rng: np.random.Generator) -> Case:
    """A case of one of `KINDS` with random parameters and sizes."""
    op, shapes = _RANDOM[kind](rng)
    return make_case(f"{kind.__name__} random", op, shapes, rng)


def _pair(rng: np.random.Generator, low: int, high: int) -> tuple[int, int]:
    return int(rng.integers(low, high + 1)), int(rng.integers(low, high + 1))


def _image(rng: np.random.Generator, least: int = 1) -> tuple[int, int, int]:
    return int(rng.integers(1, 9)), *_pair(rng, least, least + 6)


_Drawn = tuple[Op, list[tuple[int, ...]]]


def _random_convolution(kinds: tuple[str, ...]) -> Callable[[np.random.Generator], _Drawn]:
    def draw(rng: np.random.Generator) -> _Drawn:
        groups, inner, outer = (int(rng.integers(1, high)) for high in (4, 10, 5))
        kernel, dilation = _pair(rng, 1, 4), _pair(rng, 1, 2)
        size = tuple((k - 1) * d + 1 + int(rng.integers(0, 6)) for k, d in zip(kernel, dilation, strict=True))
        options: Options = {
            "stride": _pair(rng, 1, 3), "padding": _pair(rng, 0, 2), "dilation": dilation, "groups": groups
        }  # fmt: skip
        op = convolution(rng, str(rng.choice(kinds)), (groups * outer, inner, *kernel), options)
        return op, [(groups * inner, *size)]

    return draw


def _random_pool(rng: np.random.Generator) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    kernel = _pair(rng, 1, 4)
    return (
        kernel,
        _pair(rng, 1, 4),
        (int(rng.integers(kernel[0] // 2 + 1)), int(rng.integers(kernel[1] // 2 + 1))),
    )


def _random_binary(op: Op) -> Callable[[np.random.Generator], _Drawn]:
    def draw(rng: np.random.Generator) -> _Drawn:
        shape = _image(rng)
        other = tuple(1 if rng.random() < 0.3 else d for d in shape)
        return op, [shape, other]

    return draw


def _random_slice(rng: np.random.Generator) -> _Drawn:
    shape = _image(rng)
    begins = [int(rng.integers(d)) for d in shape]
    ranges = tuple(
        (b, int(rng.integers(b + 1, d + 1)), int(rng.integers(1, 4)))
        for b, d in zip(begins, shape, strict=True)
    )
    return Slice(ranges), [shape]


def _random_affine(rng: np.random.Generator) -> _Drawn:
    shape = _image(rng)
    return Affine(rng.normal(size=shape[0]), rng.normal(size=shape[0])), [shape]


def _random_prelu(rng: np.random.Generator) -> _Drawn:
    shape = _image(rng)
    return PRelu(floats(rng, shape[:1] if rng.random() < 0.5 else ())), [shape]


def _random_clamp(rng: np.random.Generator) -> _Drawn:
    low, high = np.sort(floats(rng, (2,)))
    return Clamp(float(low), float(high)), [_image(rng)]


def _random_saturate(rng: np.random.Generator) -> _Drawn:
    low, high = np.sort(floats(rng, (2,)))
    return Saturate(float(low), float(high)), [_image(rng)]


def _random_binary_linear(rng: np.random.Generator) -> _Drawn:
    most = (12, 70) if rng.random() < 0.7 else (150, 600)
    rows, columns = (int(rng.integers(1, high)) for high in most)
    return BinaryLinear(signs(rng, (rows, columns))), [(columns,)]


def _random_linear(rng: np.random.Generator) -> _Drawn:
    rows, columns = int(rng.integers(1, 12)), int(rng.integers(1, 70))
    return Linear(floats(rng, (rows, columns)), floats(rng, (rows,)) if rng.random() < 0.5 else None), [
        (columns,)
    ]


def _random_max_pool(rng: np.random.Generator) -> _Drawn:
    return MaxPool2d(*_random_pool(rng), ceil_mode=bool(rng.random() < 0.5)), [_image(rng, 4)]


def _random_avg_pool(rng: np.random.Generator) -> _Drawn:
    return AvgPool2d(*_random_pool(rng), count_include_pad=bool(rng.random() < 0.5)), [_image(rng, 4)]


def _random_pad(rng: np.random.Generator) -> _Drawn:
    return Pad(tuple(_pair(rng, 0, 3) for _ in range(3)), float(rng.standard_normal(dtype=np.float32))), [
        _image(rng)
    ]


def _random_concat(rng: np.random.Generator) -> _Drawn:
    channels, *size = _image(rng)
    return Concat(), [(channels + i, *size) for i in range(int(rng.integers(1, 4)))]


def _random_reshape(rng: np.random.Generator) -> _Drawn:
    a, b, c = _image(rng)
    return Reshape([(a * b * c,), (a * b, c), (c, a, b)][int(rng.integers(3))]), [(a, b, c)]


_RANDOM: dict[type[Op], Callable[[np.random.Generator], _Drawn]] = {
    Sign: lambda rng: (Sign(), [_image(rng)]),
    BinaryConv2d: _random_convolution(("binary", "padded with +1")),
    BinaryLinear: _random_binary_linear,
    Conv2d: _random_convolution(("float",)),
    Linear: _random_linear,
    Affine: _random_affine,
    PRelu: _random_prelu,
    Relu: lambda rng: (Relu(), [_image(rng)]),
    Clamp: _random_clamp,
    Saturate: _random_saturate,
    RoundToGrid: lambda rng: (RoundToGrid(int(rng.integers(-4, 24))), [_image(rng)]),
    Add: _random_binary(Add()),
    Sub: _random_binary(Sub()),
    Mul: _random_binary(Mul()),
    Maximum: _random_binary(Maximum()),
    Softmax: lambda rng: (Softmax(bool(rng.random() < 0.5)), [(int(rng.integers(1, 50)),)]),
    MaxPool2d: _random_max_pool,
    AvgPool2d: _random_avg_pool,
    GlobalAvgPool: lambda rng: (GlobalAvgPool(bool(rng.random() < 0.5)), [_image(rng)]),
    GlobalSum: lambda rng: (GlobalSum(bool(rng.random() < 0.5)), [_image(rng)]),
    Pad: _random_pad,
    Slice: _random_slice,
    Concat: _random_concat,
    Reshape: _random_reshape,
    Permute: lambda rng: (Permute(tuple(int(d) for d in rng.permutation(3) + 1)), [_image(rng)]),
}
