"""Random deployed networks: layers as real networks have them, put together as no real network has them.

While a graph grows it is computed on a few normal images, so that batch norms have fitting statistics, and so that a tensor that has
become too large or too small for another float layer meets a binary one, as it would in training.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from fdabnn_deploy.conformance.hostile import NORM_KINDS, random_norm
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Editor, Graph, Node
from fdabnn_deploy.ir.ops import Array, FloatArray, Op
from fdabnn_deploy.ir.ops.conv import conv_size
from fdabnn_deploy.ir.ops.conv_cases import Options
from fdabnn_deploy.ir.ops.drawing import signs
from fdabnn_deploy.transforms.affine.fold_affine import fold_affine
from fdabnn_deploy.transforms.simplify import simplify

DEPTHS = (2, 12)
MOST_CHANNELS = 40
LARGEST, SMALLEST = 1e9, 1e-12
"""Magnitudes between which a float layer is trained."""


@dataclass(frozen=True)
class RandomGraph:
    """A drawn network.

    Attributes:
        graph: as deployed, before any grid.
        tags: how often each of `NORM_KINDS` stands in it.
        depth: how many layers were drawn.
    """

    graph: Graph
    tags: Counter[str]
    depth: int


def random_graph(rng: np.random.Generator) -> RandomGraph:
    """Draws a network of `DEPTHS` layers; the same generator state gives the same network."""
    # Of its own generator: the other draws are those of earlier versions.
    draw = _Draw(rng, np.random.default_rng(rng.bit_generator.seed_seq.spawn(1)[0]))  # type: ignore[attr-defined]
    depth = int(rng.integers(DEPTHS[0], DEPTHS[1] + 1))
    last = draw.begin()
    dense = int(rng.integers(0, min(depth, 4))) if rng.random() < 0.8 else 0
    for layer in range(depth):
        draw.module = f"layer{layer}"
        if layer == 0 and rng.random() < 0.85:
            last = draw.stem(last)
        elif layer < depth - dense:
            last = draw.image_layer(last)
        else:
            last = draw.dense_layer(draw.features(last))
    draw.module = "head"
    graph = Editor(Graph(draw.nodes, draw.outputs(last))).finish()
    tags = Counter(kind for name, kind in draw.norms.items() if name in graph)
    # The form in which the passes leave a network.
    return RandomGraph(simplify(fold_affine(graph).graph).graph, tags, depth)


@dataclass
class _Draw:
    """The network drawn so far, and its values on two images.

    Attributes:
        rng: to draw with.
        places: to draw parameters by position with.
        nodes: so far.
        values: of every tensor.
        norms: the kind of every batch norm.
        module: the path of the layer that is being drawn.
        kept: tensors that later layers may come back to.
    """

    rng: np.random.Generator
    places: np.random.Generator
    nodes: list[Node] = field(default_factory=list)
    values: dict[str, Array] = field(default_factory=dict)
    norms: dict[str, str] = field(default_factory=dict)
    module: str = ""
    kept: list[str] = field(default_factory=list)

    def add(self, op: Op, *inputs: str) -> str:
        name = f"{op.kind.lower()}{len(self.nodes)}"
        if isinstance(op, ops.Input):
            self.values[name] = self.rng.standard_normal((2, *op.shape), dtype=np.float32)
        else:
            self.values[name] = op.reference(*(self.values[i] for i in inputs))
        self.nodes.append(Node(name, op, inputs, self.module))
        return name

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.values[name].shape[1:])

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def number(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def pair(self, low: int, high: int) -> tuple[int, int]:
        first = self.number(low, high)
        return (first, self.number(low, high)) if self.chance(0.25) else (first, first)

    def floats(self, *shape: int) -> FloatArray:
        return self.rng.standard_normal(shape, dtype=np.float32)

    def trainable(self, *names: str) -> bool:
        """Whether float layers can work on these magnitudes, and on their product."""
        product = 1.0
        for name in names:
            product *= float(np.max(np.abs(self.values[name]), initial=0))
        return product == 0 or SMALLEST < product < LARGEST

    # Beginning and end.

    def begin(self) -> str:
        """One input, or two that are joined."""
        channels, height, width = self.number(1, 4), self.number(5, 12), self.number(5, 12)
        first = self.add(ops.Input((channels, height, width)))
        if not self.chance(0.15):
            return first
        second = self.add(ops.Input((channels, height, width)))
        return self.add(ops.Concat() if self.chance(0.5) else ops.Sub(), first, second)

    def outputs(self, last: str) -> list[str]:
        """The last tensor, behind a softmax at times, and at times a tensor that is read inside, too."""
        if len(self.shape(last)) == 1 and self.chance(0.07) and self.trainable(last):
            last = self.add(ops.Softmax(self.chance(0.5)), last)
        inner = [node.name for node in self.nodes if not isinstance(node.op, ops.Input) and node.name != last]
        more = self.rng.choice(inner, self.number(1, 2)).tolist() if inner and self.chance(0.25) else []
        return list(dict.fromkeys([last, *more]))

    # Pieces of layers.

    def norm(self, x: str) -> str:
        kind = str(self.rng.choice(NORM_KINDS, p=[0.35, 0.12, 0.12, 0.13, 0.1, 0.18]))
        name = self.add(random_norm(self.rng, kind, self.values[x]), x)
        self.norms[name] = kind
        return name

    def activation(self, x: str) -> str:
        channels = self.shape(x)[0]
        choice = self.number(0, 6)
        if choice == 0:
            return self.add(ops.Relu(), x)
        if choice == 1:
            return self.add(ops.Clamp(*((-1.0, 1.0), (0.0, 6.0), (-0.3, 2.7))[self.number(0, 2)]), x)
        if choice == 2:
            return self.add(
                ops.PRelu(np.array(self.rng.choice([0.25, 0.1, -0.2, 1.5, 1.0, 0.0]), dtype=np.float32)), x
            )
        if choice == 3 and self.trainable(x, x):
            # Maxout: the larger of two lines.
            lines = [
                ops.Affine(self.rng.normal(0.7, 0.5, channels), self.rng.normal(0, 0.3, channels))
                for _ in "ab"
            ]
            return self.add(ops.Maximum(), self.add(lines[0], x), self.add(lines[1], x))
        return self.add(ops.PRelu((0.25 + 0.3 * self.floats(channels)).astype(np.float32)), x)

    def windows(
        self, size: tuple[int, ...], kernel: tuple[int, int], dilation: tuple[int, int]
    ) -> Options | None:
        """Stride and padding with which windows of this size fit an image, or None."""
        stride = (1, 1) if self.chance(0.7) else self.pair(1, 4) if self.chance(0.2) else (2, 2)
        half = (dilation[0] * (kernel[0] - 1) // 2, dilation[1] * (kernel[1] - 1) // 2)
        padding = half if self.chance(0.65) else self.pair(0, 3)
        sizes = [conv_size(size[a], kernel[a], stride[a], padding[a], dilation[a]) for a in (0, 1)]
        return {"stride": stride, "padding": padding, "dilation": dilation} if min(sizes) >= 1 else None

    def convolution(self, x: str, binary: bool, largest_kernel: int) -> str:
        """Weights of any kernel, stride, padding, dilation and groups that fit; a 1x1 convolution where none was drawn."""
        channels, *size = self.shape(x)
        kernel, dilation = self.pair(1, largest_kernel), self.pair(1, 2) if self.chance(0.2) else (1, 1)
        if self.chance(0.4) and min(size) >= 2:
            kernel = (3, 3)
        options = self.windows(tuple(size), kernel, dilation)
        if options is None:
            kernel, options = (1, 1), {}
        groups = 1
        if self.chance(0.2):
            groups = int(self.rng.choice([g for g in range(1, channels + 1) if channels % g == 0]))
        each = self.number(1, max(MOST_CHANNELS // groups // (1 if self.chance(0.3) else 3), 1))
        same = groups == 1 and self.chance(0.35)
        shape = (channels if same else each * groups, channels // groups, *kernel)
        if binary:
            weight, value = signs(self.rng, shape), self.number(0, 1)
            op = ops.BinaryConv2d(weight, **options, groups=groups, padding_value=value)
            return self.add(op, self.add(ops.Sign(), x))
        kernels = self.floats(*shape) / np.float32(np.sqrt(np.prod(shape[1:])))
        bias = self.floats(shape[0]) if self.chance(0.4) else None
        return self.add(ops.Conv2d(kernels, bias, **options, groups=groups), x)

    def behind_binary(self, x: str) -> str:
        """Scale of the trained weights, activation and norm, in the orders that papers have."""
        channels = self.shape(x)[0]
        if self.chance(0.6):
            x = self.add(ops.Affine(self.rng.uniform(0.01, 0.2, channels), np.zeros(channels)), x)
        if self.chance(0.45):
            x = self.activation(x)
        if len(self.shape(x)) == 3 and min(self.shape(x)[1:]) >= 2 and self.chance(0.12):
            x = self.add(ops.MaxPool2d((2, 2), (2, 2)), x)
        if self.chance(0.85):
            x = self.norm(x)
        x = self.activation(x) if self.chance(0.25) else x
        return self.by_position(x) if self.places.random() < 0.03 else x

    def by_position(self, x: str) -> str:
        """Scales and offsets by position, or offsets at the borders."""
        if len(self.shape(x)) == 3 and self.places.random() < 0.4:
            channels, *size = self.shape(x)
            rows, columns = (np.minimum(np.arange(length), 2) for length in size)
            offset = self.places.normal(0, 0.3, (channels, 3, 3)).astype(np.float32)
            if isinstance(self.nodes[-1].op, ops.Affine | ops.BatchNorm):
                # Proofs refuse two constants that are added one after the other: converters add them up first.
                x = self.add(ops.Clamp(-16.0, 16.0), x)
            return self.add(ops.BorderOffset(offset, rows, columns), x)
        scale, shift = (
            self.places.normal(1.0, 0.2, [1 if self.places.random() < 0.4 else d for d in self.shape(x)])
            for _ in "ab"
        )
        return self.add(ops.PositionAffine(scale.astype(np.float32), shift.astype(np.float32)), x)

    def joined(self, x: str, y: str) -> str:
        """Two tensors of one shape, or of shapes that broadcast, added, subtracted, multiplied or compared."""
        if not self.trainable(x, y):
            return y
        kinds: list[Op] = [ops.Add(), ops.Sub(), ops.Mul(), ops.Maximum()]
        op = kinds[int(self.rng.choice(4, p=[0.6, 0.2, 0.1, 0.1]))]
        return self.add(op, *((x, y) if self.chance(0.5) else (y, x)))

    def shortcut(self, x: str, shape: tuple[int, ...]) -> str | None:
        """X brought to a block's output shape: as it is, by a strided 1x1 convolution, or sliced and padded with zeros; or None."""
        own = self.shape(x)
        if own == shape:
            return x
        if len(own) != 3 or len(shape) != 3:
            return None
        strides = [s for s in (1, 2, 3) if all(conv_size(own[a], 1, s, 0, 1) == shape[a] for a in (1, 2))]
        if not strides or not self.trainable(x):
            return None
        if own[0] <= shape[0] and self.chance(0.4):
            x = self.add(ops.Slice(((0, own[0], 1), *((0, size, strides[0]) for size in own[1:]))), x)
            before = self.number(0, shape[0] - own[0])
            return self.add(ops.Pad(((before, shape[0] - own[0] - before), (0, 0), (0, 0))), x)
        weight = self.floats(shape[0], own[0], 1, 1) / np.float32(np.sqrt(own[0]))
        y = self.add(ops.Conv2d(weight, None, (strides[0], strides[0])), x)
        return self.norm(y) if self.chance(0.6) else y

    # Layers.

    def stem(self, x: str) -> str:
        x = self.convolution(x, binary=False, largest_kernel=7)
        x = self.norm(x) if self.chance(0.8) else x
        x = self.activation(x) if self.chance(0.4) else x
        if min(self.shape(x)[1:]) >= 4 and self.chance(0.2):
            x = self.add(ops.MaxPool2d((3, 3), (2, 2), (1, 1)), x)
        return x

    def image_layer(self, x: str) -> str:
        if len(self.shape(x)) == 1:
            return self.dense_layer(x)
        layers: list[tuple[float, Callable[[str], str]]] = [
            (0.47, self.binary_block),
            (0.08, self.float_block),
            (0.1, self.max_pool),
            (0.1, self.average_pool),
            (0.05, self.gate),
            (0.05, self.padded_or_cut),
            (0.08, self.rearranged),
            (0.04, self.concatenated),
            (0.03, self.activation),
        ]
        if not self.trainable(x):
            return self.binary_block(x)
        choice = int(self.rng.choice(len(layers), p=[weight for weight, _ in layers]))
        y = layers[choice][1](x)
        self.kept.append(y)
        return y

    def binary_block(self, x: str) -> str:
        y = self.behind_binary(self.convolution(x, binary=True, largest_kernel=5))
        if self.chance(0.6):
            candidates = [x] if self.chance(0.8) else self.kept[-3:]
            for candidate in candidates:
                residual = self.shortcut(candidate, self.shape(y))
                if residual is not None and residual != y:
                    return self.joined(residual, y)
        return y

    def float_block(self, x: str) -> str:
        y = self.convolution(x, binary=False, largest_kernel=3)
        y = self.norm(y) if self.chance(0.7) else y
        y = self.activation(y) if self.chance(0.5) else y
        residual = self.shortcut(x, self.shape(y)) if self.chance(0.3) else None
        return y if residual is None else self.joined(residual, y)

    def pool_windows(self, x: str) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        kernel = self.pair(2, 4) if self.chance(0.5) else (3, 3)
        kernel = (min(kernel[0], self.shape(x)[1]), min(kernel[1], self.shape(x)[2]))
        padding = (
            (self.number(0, kernel[0] // 2), self.number(0, kernel[1] // 2)) if self.chance(0.4) else (0, 0)
        )
        return kernel, self.pair(1, 3), padding

    def max_pool(self, x: str) -> str:
        return self.add(ops.MaxPool2d(*self.pool_windows(x), ceil_mode=self.chance(0.4)), x)

    def average_pool(self, x: str) -> str:
        kernel, stride, padding = self.pool_windows(x)
        if self.chance(0.4):
            kernel = stride = (min(2, kernel[0]), min(2, kernel[1]))
            padding = (0, 0)
        # Means of fewer values at the border are rare in networks.
        whole = self.chance(0.95 if any(padding) else 0.5)
        return self.add(ops.AvgPool2d(kernel, stride, padding, count_include_pad=whole), x)

    def gate(self, x: str) -> str:
        """Squeeze and excitation: every channel times a number between 0 and 1 computed from all channels."""
        channels = self.shape(x)[0]
        means = self.add(ops.GlobalAvgPool(keepdims=True), x)
        weight = self.floats(channels, channels, 1, 1) / np.float32(np.sqrt(channels))
        y = self.add(ops.Conv2d(weight, np.full(channels, 0.5, dtype=np.float32)), means)
        return self.add(ops.Mul(), x, self.add(ops.Clamp(0.0, 1.0), y))

    def padded_or_cut(self, x: str) -> str:
        channels, height, width = self.shape(x)
        if self.chance(0.5) and max(height, width) <= 10:
            rows, columns = self.pair(0, 2), self.pair(0, 2)
            return self.add(
                ops.Pad(((0, 0), rows, columns), float(self.rng.choice([0.0, 0.0, 1.0, -1.0]))), x
            )
        ranges = []
        for size in (channels, height, width):
            begin = self.number(0, (size - 1) // 2)
            ranges.append((begin, self.number((size + begin + 1) // 2, size), self.number(1, 2)))
        return self.add(ops.Slice(tuple(ranges)), x)

    def rearranged(self, x: str) -> str:
        """Values in other places: by an operator that fits this tensor, or by its channels shuffled."""
        drawn = (kind.fitting(self.rng, self.shape(x)) for kind in ops.MOVERS)
        fitting = [op for op in drawn if op is not None]
        if not fitting or self.chance(0.3):
            return self.shuffled(x)
        return self.add(fitting[self.number(0, len(fitting) - 1)], x)

    def shuffled(self, x: str) -> str:
        """The channels of groups interleaved, or the image transposed."""
        channels, height, width = self.shape(x)
        groups = [g for g in range(2, channels) if channels % g == 0]
        if not groups or self.chance(0.4):
            return self.add(ops.Permute((1, 3, 2)), x)
        group = int(self.rng.choice(groups))
        x = self.add(ops.Reshape((group, channels // group, height, width)), x)
        return self.add(ops.Reshape((channels, height, width)), self.add(ops.Permute((2, 1, 3, 4)), x))

    def concatenated(self, x: str) -> str:
        """Channels of an earlier tensor of the same size beside the own ones, or half the channels computed again."""
        channels, *size = self.shape(x)
        earlier = [name for name in self.kept if list(self.shape(name)[1:]) == size and name != x]
        earlier = [name for name in earlier if self.shape(name)[0] + channels <= MOST_CHANNELS]
        if earlier:
            return self.add(ops.Concat(), x, str(self.rng.choice(earlier)))
        if channels < 2:
            return self.activation(x)
        whole = tuple((0, d, 1) for d in size)
        first = self.add(ops.Slice(((0, channels // 2, 1), *whole)), x)
        second = self.add(ops.Slice(((channels // 2, channels, 1), *whole)), x)
        return self.add(ops.Concat(), self.norm(first), second)

    def features(self, x: str) -> str:
        """A vector per image."""
        if len(self.shape(x)) == 1:
            return x
        count = int(np.prod(self.shape(x)))
        if count > 400 or self.chance(0.6):
            return self.add(ops.GlobalAvgPool(), x)
        return self.add(ops.Reshape((count,)), self.add(ops.Sign(), x) if self.chance(0.2) else x)

    def flattened_sign(self, x: str) -> bool:
        """Whether a tensor is a flattened image of signs."""
        sign, flat = self.nodes[-2:]
        kinds = isinstance(sign.op, ops.Sign) and isinstance(flat.op, ops.Reshape)
        return kinds and (*flat.inputs, flat.name) == (sign.name, x)

    def dense_layer(self, x: str) -> str:
        (count,) = self.shape(x)
        rows = count if self.chance(0.3) and count <= MOST_CHANNELS else self.number(1, MOST_CHANNELS)
        if self.chance(0.5) or not self.trainable(x):
            source = x if self.flattened_sign(x) else self.add(ops.Sign(), x)
            y = self.add(ops.BinaryLinear(signs(self.rng, (rows, count))), source)
            y = self.behind_binary(y)
        else:
            weight = self.floats(rows, count) / np.float32(np.sqrt(count))
            y = self.add(ops.Linear(weight, self.floats(rows) if self.chance(0.7) else None), x)
            y = self.activation(y) if self.chance(0.3) else y
        return self.joined(x, y) if self.shape(x) == self.shape(y) and self.chance(0.4) else y
