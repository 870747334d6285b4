"""Windows of convolutions and pools over an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fdabnn_deploy.prove.domain import Shape
from fdabnn_deploy.prove.rows import UnprovedError

Pair = tuple[int, int]


@dataclass(frozen=True)
class Windows:
    """Windows along some dimensions.

    Attributes:
        axes: the dimensions.
        kernel: taps along each.
        stride: see kernel.
        dilation: see kernel.
        pads: (before, behind) along each, or `SAME` as TensorFlow defines it.
    """

    axes: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    pads: tuple[Pair, ...] | Literal["SAME"]

    def extents(self) -> tuple[int, ...]:
        """`dilation (kernel - 1) + 1` along each dimension."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    def resolved_pads(self, shape: Shape) -> tuple[Pair, ...]:
        """The padding on a tensor of this shape."""
        if self.pads != "SAME":
            return self.pads
        result = []
        for axis, extent, stride in zip(self.axes, self.extents(), self.stride, strict=True):
            total = max((-(-shape[axis] // stride) - 1) * stride + extent - shape[axis], 0)
            result.append((total // 2, total - total // 2))
        return tuple(result)

    def sizes(self, shape: Shape) -> tuple[int, ...]:
        """The number of windows along each dimension.

        Raises:
            UnprovedError: there are none.
        """
        result = tuple(
            (shape[axis] + before + behind - extent) // stride + 1
            for axis, extent, stride, (before, behind) in zip(
                self.axes, self.extents(), self.stride, self.resolved_pads(shape), strict=True
            )
        )
        if min(result) < 1:
            raise UnprovedError(f"no window {self.kernel} fits into {shape}")
        return result

    def output(self, shape: Shape) -> Shape:
        """The shape of the result, its channels as in `shape`."""
        result = list(shape)
        for place, size in zip(self.axes, self.sizes(shape), strict=True):
            result[place] = size
        return tuple(result)

    def counts(self, shape: Shape, inside: tuple[Pair, ...] | None = None) -> tuple[set[int], ...]:
        """Along each dimension, how many taps of a window lie inside the image: the numbers that occur.

        Args:
            shape: of the tensor.
            inside: (begin, end) of the image along each of the tensor's dimensions, where the tensor holds padding itself.
        """
        found = []
        for place, axis in enumerate(self.axes):
            first, last = inside[axis] if inside else (0, shape[axis])
            before = self.resolved_pads(shape)[place][0]
            counts = set()
            for window in range(self.sizes(shape)[place]):
                begin = window * self.stride[place] - before
                taps = (begin + tap * self.dilation[place] for tap in range(self.kernel[place]))
                counts.add(sum(first <= tap < last for tap in taps))
            found.append(counts)
        return tuple(found)

    def padded(self, shape: Shape) -> bool:
        """Whether any padding is there."""
        return any(map(any, self.resolved_pads(shape)))
