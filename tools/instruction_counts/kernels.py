"""In the emulated process: every kernel at every level that the processor has.

    python -m instruction_counts.kernels

prints a line of JSON per section: `name`, and `macs`, the multiply-accumulates of convolutions. Values are drawn; what a kernel executes
does not depend on them. That it computes the right bits is what its own tests show.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bench.layers import LAYERS, BenchLayer
from fdabnn_deploy.native import library
from fdabnn_deploy.native.bconv import Bconv, BconvParams, Output
from fdabnn_deploy.native.binary_layer import BinaryLayer, BinaryLayerParams, Finish, pack_planes
from fdabnn_deploy.native.conv_sum import SUBTRACT, ConvSum, ConvSumParams, Term
from instruction_counts.marked import call_marked

_CONVOLUTIONS = tuple(layer for layer in LAYERS if layer.kernel == 3 and layer.stride == 1)
_LAYERS = tuple(layer for layer in _CONVOLUTIONS if layer.channels in {64, 256})
_OUTPUTS: tuple[Output, ...] = ("float", "packed")
_SIGNS = BenchLayer(56, 64)
_POOL = BenchLayer(32, 128, kernel=2, stride=2)


@dataclass(frozen=True)
class FloatLayer:
    """Differences of float convolutions, as exact numerics writes a layer.

    Attributes:
        size: height and width of the input.
        channels_in: of each input.
        channels_out: of the output.
        kernel: its height and width.
        stride: of both axes.
        terms: how many convolutions.
    """

    size: int
    channels_in: int
    channels_out: int
    kernel: int
    stride: int
    terms: int

    @property
    def name(self) -> str:
        """Such as `32x32x3 to 16, 3x3, 2 terms`."""
        kernel = f"{self.kernel}x{self.kernel}" + (f" /{self.stride}" if self.stride != 1 else "")
        return (
            f"{self.size}x{self.size}x{self.channels_in} to {self.channels_out}, {kernel}, {self.terms} terms"
        )

    @property
    def macs(self) -> int:
        """Of all terms."""
        out = -(-self.size // self.stride)
        return out * out * self.channels_out * self.kernel**2 * self.channels_in * self.terms


_FLOAT_LAYERS = (FloatLayer(32, 3, 16, 3, 1, 2), FloatLayer(28, 128, 256, 1, 2, 2))


@dataclass(frozen=True)
class Case:
    """A kernel on a problem.

    Attributes:
        name: in the table.
        macs: multiply-accumulates, 0 where there are none.
        run: makes one call into the library.
    """

    name: str
    macs: int
    run: Callable[[], object]


def cases() -> Iterator[Case]:
    """All of them, kernel by kernel, the levels of one side by side."""
    rng = np.random.default_rng(0)
    levels = library.levels()
    for layer in _CONVOLUTIONS:
        for output in _OUTPUTS:
            yield from (_convolution(layer, output, level, rng) for level in levels)
    for layer in _LAYERS:
        for planes in (False, True):
            yield from (_binary_layer(layer, level, rng, planes=planes) for level in levels)
    for float_layer in _FLOAT_LAYERS:
        yield from (_conv_sum(float_layer, level, rng) for level in levels)
    for level in levels:
        yield from _signs(level, rng)


def _words(rng: np.random.Generator, *shape: int) -> library.Words:
    return rng.integers(0, 2**32, shape, np.uint32)


def _floats(rng: np.random.Generator, *shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return rng.normal(size=shape).astype(np.float32)


def _convolution(layer: BenchLayer, output: Output, level: str, rng: np.random.Generator) -> Case:
    channels, words = layer.channels, library.words_for(layer.channels)
    params = BconvParams(
        *(channels, channels, layer.kernel, layer.kernel),
        same_padding=True,
        pad_value=0 if output == "float" else 1,
        output=output,
    )
    conv = Bconv(
        params,
        _clean(_words(rng, channels, layer.kernel, layer.kernel, words), channels),
        multiplier=_floats(rng, channels) if output == "float" else None,
        bias=_floats(rng, channels) if output == "float" else None,
        thresholds=np.full(channels, layer.taps // 2, np.int32) if output == "packed" else None,
        level=level,
    )
    signs = _clean(_words(rng, 1, layer.size, layer.size, words), channels)
    return Case(f"bconv {layer.name} {output}, {level}", layer.macs, lambda: conv(signs))


def _binary_layer(layer: BenchLayer, level: str, rng: np.random.Generator, *, planes: bool) -> Case:
    channels, words = layer.channels, library.words_for(layer.channels)
    params = BinaryLayerParams(
        *(channels, channels, 1, layer.kernel, layer.kernel),
        **{f"pad_{side}": 1 for side in ("top", "left", "bottom", "right")},
        planes=planes,
    )
    finish = Finish(_floats(rng, channels), _floats(rng, channels), _floats(rng, channels))
    binary = BinaryLayer(
        params, _words(rng, channels, layer.kernel, layer.kernel, words), finish, level=level
    )
    signs = _words(rng, 1, layer.size, layer.size, words)
    pixels = (layer.size, layer.size)
    residual = _floats(rng, 1, *((channels, *pixels) if planes else (*pixels, channels)))
    order = "NCHW" if planes else "NHWC"
    return Case(f"binary layer {layer.name} {order}, {level}", layer.macs, lambda: binary(signs, residual))


def _conv_sum(layer: FloatLayer, level: str, rng: np.random.Generator) -> Case:
    params = ConvSumParams(
        *(layer.channels_in, layer.channels_out, layer.kernel, layer.kernel, layer.stride, layer.stride),
        same_padding=True,
    )
    # Digits are whole numbers.
    shape = (layer.channels_out, layer.kernel, layer.kernel, layer.channels_in)
    terms = [
        Term(0, rng.integers(-127, 128, shape).astype(np.float32), np.zeros(layer.channels_out, np.float32))
        for _ in range(layer.terms)
    ]
    conv = ConvSum(params, terms, [0, 1, SUBTRACT], level=level)
    image = rng.integers(-255, 256, (1, layer.size, layer.size, layer.channels_in)).astype(np.float32)
    return Case(f"conv sum {layer.name}, {level}", layer.macs, lambda: conv([image]))


def _signs(level: str, rng: np.random.Generator) -> Iterator[Case]:
    shape = (1, _SIGNS.size, _SIGNS.size, _SIGNS.channels)
    values, words = _floats(rng, *shape), _words(rng, *shape[:3], library.words_for(_SIGNS.channels))
    small = rng.integers(-128, 128, shape).astype(np.int8)
    planes = np.ascontiguousarray(values.transpose(0, 3, 1, 2))
    pooled = _words(rng, 1, _POOL.size, _POOL.size, library.words_for(_POOL.channels))
    name = _SIGNS.name
    yield Case(f"quantize float {name}, {level}", 0, lambda: library.quantize(values, level=level))
    yield Case(f"quantize int8 {name}, {level}", 0, lambda: library.quantize(small, level=level))
    yield Case(f"pack planes {name}, {level}", 0, lambda: pack_planes(planes, level=level))
    yield Case(
        f"dequantize {name}, {level}", 0, lambda: library.dequantize(words, _SIGNS.channels, level=level)
    )
    yield Case(
        f"bmaxpool {_POOL.name}, {level}",
        0,
        lambda: library.bmaxpool(pooled, (2, 2), (2, 2), "same", level=level),
    )


def _clean(words: library.Words, channels: int) -> library.Words:
    """Without bits behind the last channel."""
    if channels % 32:
        words[..., -1] &= np.uint32(2 ** (channels % 32) - 1)
    return words


def main() -> None:
    """Runs each case twice: what a first call sets up is not counted."""
    for case in cases():
        case.run()
        call_marked(case.run)
        print(json.dumps({"name": case.name, "macs": case.macs}))


if __name__ == "__main__":
    main()
