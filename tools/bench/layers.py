"""The layers that are timed, and for each a problem whose every result is exact, so that all runtimes have to agree on every bit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class BenchLayer:
    """A binary convolution of one image, padded as TensorFlow's SAME.

    Attributes:
        size: height and width of the input.
        channels: of input and output.
        kernel: its height and width.
        stride: of both axes.
    """

    size: int
    channels: int
    kernel: int = 3
    stride: int = 1

    @property
    def name(self) -> str:
        """Such as `28x28x128`, with kernel and stride where they are not 3x3 and 1; `dense 4096` of one pixel and one tap."""
        if self.size == self.kernel == 1:
            return f"dense {self.channels}"
        text = f"{self.size}x{self.size}x{self.channels}"
        if self.kernel != 3:
            text += f" {self.kernel}x{self.kernel}"
        return text + (f" /{self.stride}" if self.stride != 1 else "")

    @property
    def out_size(self) -> int:
        """Height and width of the output."""
        return -(-self.size // self.stride)

    @property
    def taps(self) -> int:
        """Products in one output value."""
        return self.kernel * self.kernel * self.channels

    @property
    def macs(self) -> int:
        """Binary multiply-accumulates; those of the padding are counted as well, as is usual."""
        return self.out_size**2 * self.channels * self.taps

    @property
    def padding(self) -> tuple[int, int]:
        """Rows (and columns) of padding in front and behind."""
        total = max((self.out_size - 1) * self.stride + self.kernel - self.size, 0)
        return total // 2, total - total // 2


LAYERS: tuple[BenchLayer, ...] = (
    *(BenchLayer(56, 64), BenchLayer(28, 128), BenchLayer(14, 256), BenchLayer(7, 512)),
    *(BenchLayer(32, 32), BenchLayer(32, 16)),
    *(
        BenchLayer(56, 64, stride=2),
        BenchLayer(28, 128, stride=2),
        BenchLayer(28, 128, kernel=1),
        BenchLayer(28, 64, kernel=5),
    ),
    BenchLayer(1, 4096, kernel=1),
)


def packed(signs: FloatArray) -> NDArray[np.uint32]:
    """Packs signs along the last axis, 32 to a word, bit 1 for -1; bits behind the last are 0."""
    missing = -signs.shape[-1] % 32
    bits = np.concatenate([signs < 0, np.zeros((*signs.shape[:-1], missing), np.bool_)], axis=-1)
    return np.packbits(bits, axis=-1, bitorder="little").view(np.uint32)


class Problem:
    """A layer with random signs, and what it has to compute.

    The multipliers are powers of two and the biases multiples of 1/8, so that float sums are exact in any order. `y = acc * m + b` with
    zero padding is the float output; `bit = acc * m + b < 0` with one-padding the packed one; `clip(acc, -128, 127)` with zero padding
    that of integer convolutions with scale 1. Values are NHWC, filters OHWI.
    """

    def __init__(self, layer: BenchLayer, seed: int = 0) -> None:
        generator = np.random.default_rng([seed, layer.size, layer.channels, layer.kernel, layer.stride])
        self.layer = layer
        shape = (1, layer.size, layer.size, layer.channels)
        self.values: FloatArray = generator.normal(size=shape).astype(np.float32)
        self.signs = np.where(self.values < 0, np.float32(-1), np.float32(1))
        filters = generator.integers(0, 2, (layer.channels, layer.kernel, layer.kernel, layer.channels))
        self.filters: FloatArray = (2 * filters - 1).astype(np.float32)
        self.multiplier: FloatArray = (2.0 ** generator.integers(-4, 1, layer.channels)).astype(np.float32)
        self.bias: FloatArray = (generator.integers(-32, 33, layer.channels) / 8).astype(np.float32)

    @cached_property
    def packed_signs(self) -> NDArray[np.uint32]:
        """The signs [1, H, W, words]."""
        return packed(self.signs)

    def padded(self, value: float) -> FloatArray:
        """The signs with the padding written out."""
        before, behind = self.layer.padding
        edges = ((0, 0), (before, behind), (before, behind), (0, 0))
        return np.pad(self.signs, edges, constant_values=np.float32(value))

    def accumulators(self, padding: float) -> FloatArray:
        """Sums of products [1, H, W, C], whole numbers below 2^24 and so exact."""
        layer = self.layer
        image, reach = self.padded(padding), layer.stride * (layer.out_size - 1) + 1
        sums = np.zeros((1, layer.out_size, layer.out_size, layer.channels), np.float32)
        for i, j in np.ndindex(layer.kernel, layer.kernel):
            tap = image[:, i : i + reach : layer.stride, j : j + reach : layer.stride]
            sums += tap @ self.filters[:, i, j].T
        return sums

    @cached_property
    def expected_float(self) -> FloatArray:
        """See the class."""
        return self.accumulators(0) * self.multiplier + self.bias

    @cached_property
    def expected_packed(self) -> NDArray[np.uint32]:
        """See the class."""
        return packed(self.accumulators(1) * self.multiplier + self.bias)

    @cached_property
    def expected_int8(self) -> NDArray[np.int8]:
        """See the class."""
        return np.clip(self.accumulators(0), -128, 127).astype(np.int8)

    @property
    def thresholds(self) -> NDArray[np.int32]:
        """With p the number of taps that differ, acc = K - 2p: the bit is p > floor((K + b / m) / 2)."""
        limits: NDArray[np.int32] = np.floor((self.layer.taps + self.bias / self.multiplier) / 2).astype(
            np.int32
        )
        return limits
