"""The exact float layer: a convolution or dense layer as a sum of partial products of slices, each exact in float32.

This is the Ozaki scheme (Ozaki et al. 2012, "Error-free transformations of matrix multiplication", docs/numerics.md). The operand is
brought into a fixed-point format and split into slices `x = x0 + x1 + x2` without error, the weights into `w = w0 + w1 + w2`; every
partial product `xa wb` is a sum that float32 computes without rounding in any order, and they are combined in the order that `terms` gives.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import TypeVar

import numpy as np

from fdabnn_deploy.ir.composites.composite import Composite
from fdabnn_deploy.ir.graph import Node
from fdabnn_deploy.ir.ops import Array, Clamp, Conv2d, FloatArray, Linear, Op, RoundToGrid, Shape, Sub
from fdabnn_deploy.ir.ops.base import require
from fdabnn_deploy.ir.ranges import Values

T = TypeVar("T")


@dataclass(frozen=True)
class OperandFormat:
    """Fixed-point format of an operand and of its slices.

        v = min(max(x, low), high)            where there are limits
        x_k = round(v 2^e_k) 2^-e_k           ties to even; v itself where e_k is None
        v = v - x_k                           exact in float32; then the next slice

    Attributes:
        limits: low and high, None where the operand is proven to lie within them.
        exponents: fractional bits e_k of each slice; None is for a last slice that is the remainder, not rounded.
    """

    limits: tuple[float, float] | None
    exponents: tuple[int | None, ...]

    def slices(self, x: Array) -> list[Array]:
        """The slices of a float32 array."""
        rest = x if self.limits is None else Clamp(*self.limits).reference(x)
        found = []
        for exponent in self.exponents:
            found.append(rest if exponent is None else RoundToGrid(exponent).reference(rest))
            rest = rest - found[-1]
        return found

    def bounds(self, x: Values, shape: Shape) -> list[Values]:
        """Bounds of the slices of an operand with these bounds and this shape."""
        rest = x if self.limits is None else Clamp(*self.limits).bounds([x], [shape], shape)
        found = []
        for exponent in self.exponents:
            if exponent is None:
                found.append(rest)
                break
            found.append(RoundToGrid(exponent).bounds([rest], [shape], shape))
            # Rounding leaves a remainder of half a step at most.
            half = 2.0 ** -(exponent + 1)
            left = Sub().bounds([rest, found[-1]], [shape, shape], shape)
            rest = Values(np.maximum(left.low, -half), np.minimum(left.high, half), left.grid)
        return found


@dataclass(frozen=True, eq=False)
class ExactLayer(Composite):
    """`y = x0 w0 - (((-xn wm) - ...) - xa wb)`, every partial product exact, every difference rounded once.

    `xa wb` is the partial product of slice a of the operand and slice b of the weights. All but the first are combined from the least
    significant one on. They are subtracted, not added, because runtimes fuse additions into convolutions
    (`fdabnn_deploy.exact.fusion_hazards`). The slice b of the bias is a part of the product `x0 wb`.

    Attributes:
        operand: format of the operand.
        weights: slices of the weights.
        biases: slices of the bias, one for each slice of the weights, float32 [O].
        products: (slice of the operand, slice of the weights), the most significant one first.
        suffix: put behind the node's name in the names of inner tensors, `<name><suffix>/<part>`.
    """

    operand: OperandFormat
    weights: tuple[FloatArray, ...]
    biases: tuple[FloatArray, ...]
    products: tuple[tuple[int, int], ...]
    suffix: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        require(len(self.weights) == len(self.biases), "every slice of the weights has one of the bias")
        remainders = [k for k, exponent in enumerate(self.operand.exponents) if exponent is None]
        require(remainders in ([], [len(self.operand.exponents) - 1]), "only the last slice is the remainder")
        for a, b in self.products:
            require(
                a < len(self.operand.exponents) and b < len(self.weights), f"no slices for product {a, b}"
            )
        require(self.products[:1] == ((0, 0),), "the first partial product is that of the first slices")

    @abstractmethod
    def layer(self, weight: FloatArray, bias: FloatArray | None) -> Conv2d | Linear:
        """The standard layer of the same stride, padding, dilation and groups with the given parameters."""

    def term(self, product: tuple[int, int], *, negative: bool = False) -> Conv2d | Linear:
        """A partial product as a layer of its slice of the operand.

        Args:
            product: of `products`.
            negative: whether its sign is changed. Parameters become `0 - p`, which is +0 for p = 0 where `-p` is -0.
        """
        a, b = product
        weight, bias = self.weights[b], self.biases[b]
        if negative:
            weight, bias = 0 - weight, 0 - bias
        return self.layer(weight, bias if a == 0 and np.any(bias) else None)

    def terms(self) -> list[tuple[int, Conv2d | Linear]]:
        """Slice of the operand and layer of each partial product, in the order in which they are combined.

        The second one is the least significant product with its sign changed, so that the result is `t0 - ((t1 - t2) - ...)`.
        """
        first, *others = self.products
        found = [(first[0], self.term(first))]
        for i, product in enumerate(reversed(others)):
            found.append((product[0], self.term(product, negative=i == 0)))
        return found

    @property
    def last(self) -> Op:
        """The standard operator that makes the result."""
        return self.term(self.products[0]) if len(self.products) == 1 else Sub()

    def infer(self, *inputs: Shape) -> Shape:
        return self.term(self.products[0]).infer(*inputs)

    def reference(self, *inputs: Array) -> Array:
        slices = self.operand.slices(inputs[0])
        return _combined([layer.reference(slices[a]) for a, layer in self.terms()], np.subtract)

    def bounds(self, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
        def difference(a: Values, b: Values) -> Values:
            return Sub().bounds([a, b], [shape, shape], shape)

        slices = self.operand.bounds(inputs[0], shapes[0])
        return _combined([layer.bounds([slices[a]], shapes, shape) for a, layer in self.terms()], difference)

    def operand_nodes(self, node: Node) -> tuple[list[Node], list[str]]:
        """The operators that make the slices of the operand, and the slices' names."""
        names = _Names(node, self.suffix)
        value, nodes, slices = node.inputs[0], list[Node](), list[str]()
        if self.operand.limits is not None:
            nodes.append(names.node("limited", Clamp(*self.operand.limits), value))
            value = nodes[-1].name
        for k, exponent in enumerate(self.operand.exponents):
            if k:
                nodes.append(names.node("remainder", Sub(), value, slices[-1]))
                value = nodes[-1].name
            if exponent is not None:
                nodes.append(names.node(f"x{k}" if k else "on_grid", RoundToGrid(exponent), value))
            slices.append(value if exponent is None else nodes[-1].name)
        return nodes, slices

    def sum_nodes(self, node: Node, slices: list[str]) -> list[Node]:
        """The partial products and their differences."""
        names = _Names(node, self.suffix)
        (a, largest), *others = self.terms()
        if not others:
            return [names.node("", largest, slices[a])]
        nodes, total = [], ""
        for (i, layer), (_, b) in zip(others, reversed(self.products[1:]), strict=True):
            nodes.append(names.node(f"x{i}w{b}", layer, slices[i]))
            if total:
                nodes.append(names.node("rest", Sub(), total, nodes[-1].name))
            total = nodes[-1].name
        nodes.append(names.node("x0w0", largest, slices[a]))
        return [*nodes, names.node("", Sub(), nodes[-1].name, total)]

    def decompose(self, node: Node) -> tuple[Node, ...]:
        nodes, slices = self.operand_nodes(node)
        return *nodes, *self.sum_nodes(node, slices)


def _combined(terms: list[T], subtract: Callable[[T, T], T]) -> T:
    """`t0 - ((t1 - t2) - ...)`, or `t0` alone."""
    first, *others = terms
    return subtract(first, reduce(subtract, others)) if others else first


class _Names:
    """Names the operators of a node `<name><suffix>/<part>`, further ones of the same part with a number behind it."""

    def __init__(self, node: Node, suffix: str) -> None:
        self._node, self._stem = node, node.name + suffix
        self._counts: Counter[str] = Counter()

    def node(self, part: str, op: Op, *inputs: str) -> Node:
        origin = self._node
        if not part:
            return replace(origin, op=op, inputs=inputs)
        self._counts[part] += 1
        count = self._counts[part]
        name = f"{self._stem}/{part}{count if count > 1 else ''}"
        return Node(name, op, inputs, origin.module, origin.source, origin.text)


@dataclass(frozen=True, eq=False)
class ExactConv2d(ExactLayer):
    """An exact convolution; zero padding, shapes and geometry as `Conv2d`, formula as `ExactLayer`."""

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def layer(self, weight: FloatArray, bias: FloatArray | None) -> Conv2d:
        return Conv2d(weight, bias, self.stride, self.padding, self.dilation, self.groups)


@dataclass(frozen=True, eq=False)
class ExactLinear(ExactLayer):
    """An exact dense layer; shapes as `Linear`, formula as `ExactLayer`."""

    def layer(self, weight: FloatArray, bias: FloatArray | None) -> Linear:
        return Linear(weight, bias)
