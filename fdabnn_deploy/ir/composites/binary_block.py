"""The binary layer with what stands in front of it and behind it: sign, 1-bit layer, epilogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar, TypeVar

from fdabnn_deploy.ir.composites.composite import Composite
from fdabnn_deploy.ir.graph import Node
from fdabnn_deploy.ir.ops import (
    Add,
    Affine,
    Array,
    BinaryConv2d,
    BinaryLinear,
    Clamp,
    Op,
    PRelu,
    Shape,
    Sign,
)
from fdabnn_deploy.ir.ops.base import require
from fdabnn_deploy.ir.ranges import Values

T = TypeVar("T")

EPILOGUE: tuple[type[Op], ...] = (PRelu, Affine, Clamp, Add)
"""The operators of which an epilogue may consist; `Add` is the addition of a shortcut."""


@dataclass(frozen=True, eq=False)
class BinaryBlock(Composite):
    """`y = e_n(... e_1(layer(sign(x))))`: a binary convolution or dense layer between a sign and the next one.

    Each e is a `PRelu`, `Affine` (scale and offset per channel, a threshold of the next sign among them), `Clamp`, or the addition of
    a shortcut z, in the order of the graph and with the roundings of these operators. The next sign is that of y, which the block behind
    takes: a converter writes it as a second result where its format has one.

    Shapes: x [N, C, H, W] or [N, C], z as y, y as of the layer.

    Attributes:
        nodes: of the graph that the block was made from: the sign, unless x holds signs that were moved; the layer; the epilogue. They
            keep names and origins.
    """

    nodes: tuple[Node, ...]
    arity: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        kinds = [type(node.op) for node in self.nodes]
        if kinds[:1] == [Sign]:
            del kinds[0]
        require(kinds[:1] in ([BinaryConv2d], [BinaryLinear]), "a block has one binary layer")
        require(
            all(kind in EPILOGUE for kind in kinds[1:]), "an epilogue is of scales, limits and a shortcut"
        )
        require(kinds.count(Add) <= 1, "a block has one shortcut at most")

    @property
    def takes_sign(self) -> bool:
        """Whether the block takes the sign of its operand, which holds signs otherwise."""
        return isinstance(self.nodes[0].op, Sign)

    @property
    def layer(self) -> Node:
        """The node of the binary layer."""
        return self.nodes[1 if self.takes_sign else 0]

    @property
    def epilogue(self) -> tuple[Node, ...]:
        """The nodes behind the layer."""
        return self.nodes[2 if self.takes_sign else 1 :]

    @property
    def operands(self) -> tuple[str, ...]:
        """Names of x and, if there is a shortcut, z, in the graph that the block was made from.

        A shortcut may be the sign itself.
        """
        names = [self.nodes[0].inputs[0]]
        for before, node in pairwise(self.nodes):
            if isinstance(node.op, Add):
                names += [name for name in node.inputs if name != before.name]
        return tuple(names)

    def infer(self, *inputs: Shape) -> Shape:
        return self._walk(list(inputs), lambda op, shapes: op.infer(*shapes))

    def reference(self, *inputs: Array) -> Array:
        return self._walk(list(inputs), lambda op, arrays: op.reference(*arrays))

    def bounds(self, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
        def bounded(op: Op, known: list[tuple[Values, Shape]]) -> tuple[Values, Shape]:
            sizes = [size for _, size in known]
            result = op.infer(*sizes)
            return op.bounds([values for values, _ in known], sizes, result), result

        return self._walk(list(zip(inputs, shapes, strict=True)), bounded)[0]

    def _walk(self, operands: list[T], step: Callable[[Op, list[T]], T]) -> T:
        found = dict(zip(self.operands, operands, strict=True))
        for node in self.nodes:
            found[node.name] = step(node.op, [found[name] for name in node.inputs])
        return found[self.nodes[-1].name]

    def decompose(self, node: Node) -> tuple[Node, ...]:
        names = dict(zip(self.operands, node.inputs, strict=True))
        names[self.nodes[-1].name] = node.name
        return tuple(
            replace(
                part,
                name=names.get(part.name, part.name),
                inputs=tuple(names.get(name, name) for name in part.inputs),
            )
            for part in self.nodes
        )
