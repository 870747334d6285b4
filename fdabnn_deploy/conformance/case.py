"""One operator in a graph of its own, and how far a result may be off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fdabnn_deploy.conformance.drawn_arrays import floats
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import (
    DEPLOYED,
    AvgPool2d,
    BinaryConv2d,
    BinaryLinear,
    Conv2d,
    FloatArray,
    GlobalAvgPool,
    GlobalSum,
    Input,
    Linear,
    Op,
    Sign,
    Softmax,
)
from fdabnn_deploy.ir.reference import evaluate

KINDS: tuple[type[Op], ...] = tuple(sorted(DEPLOYED - {Input}, key=lambda kind: kind.__name__))
"""The operators that compute something."""

ROUNDING = 2.0**-24
"""The largest relative error of one float32 operation."""

SMALLEST_NORMAL = 2.0**-126


@dataclass(frozen=True)
class Case:
    """One operator in a graph of its own.

    Attributes:
        name: for test reports.
        graph: inputs, the operator as node "y", and a `Sign` before it where the operator takes signs.
        inputs: one array [N, ...] per graph input.
    """

    name: str
    graph: Graph
    inputs: tuple[FloatArray, ...]

    @property
    def op(self) -> Op:
        """The operator in question."""
        return self.graph["y"].op

    def violations(self, outputs: Sequence[FloatArray]) -> int:
        """How many values are further from the reference than `allowed_error`, or all where shape or type are wrong."""
        (expected,) = evaluate(self.graph, self.inputs)
        if len(outputs) != 1 or outputs[0].shape != expected.shape or outputs[0].dtype != np.float32:
            return max(expected.size, 1)
        error = np.abs(outputs[0].astype(np.float64) - expected)
        return int(
            np.count_nonzero(~((outputs[0] == expected) | (error <= allowed_error(self.op, self.inputs))))
        )


def allowed_error(op: Op, inputs: Sequence[FloatArray]) -> FloatArray | float:
    """The bound on `|float32 result - reference|`, per output value; 0 where an operator has to be exact.

    A sum of K products in any order, with or without FMA, is off by at most `K u sum |x w|` to first order, u = 2^-24 (Higham, Accuracy
    and Stability of Numerical Algorithms, 3.1); 3 u more for the bias, a division or a reciprocal, and the reference's own rounding.
    For softmax the error of `x - max` is a relative one of the exponential, which itself is taken to be good to 4 units.
    """
    magnitude = [np.abs(value) for value in inputs]
    if isinstance(op, Conv2d | Linear):
        bias = None if op.bias is None else np.abs(op.bias)
        total = replace(op, weight=np.abs(op.weight), bias=bias).reference(*magnitude)
        return np.asarray(total * (np.prod(op.weight.shape[1:]) + 3) * ROUNDING)
    if isinstance(op, AvgPool2d | GlobalAvgPool | GlobalSum):
        terms = np.prod(op.kernel) if isinstance(op, AvgPool2d) else np.prod(inputs[0].shape[2:])
        return np.asarray(op.reference(*magnitude) * (terms + 3) * ROUNDING)
    if isinstance(op, Softmax):
        distance = inputs[0].max(axis=1, keepdims=True) - inputs[0]
        units = distance + 2 * inputs[0].shape[1] + 8
        result = op.reference(*inputs)
        if op.log:
            return np.asarray((units + np.abs(result)) * 2 * ROUNDING)
        return np.asarray(result * units * 2 * ROUNDING + SMALLEST_NORMAL)
    return 0.0


def make_case(name: str, op: Op, shapes: Sequence[tuple[int, ...]], rng: np.random.Generator) -> Case:
    """A case with inputs [2, *shape] that hold special values; 1-bit layers get a sign in front."""
    names = [f"x{i}" for i in range(len(shapes))]
    nodes = [Node(name, Input(shape)) for name, shape in zip(names, shapes, strict=True)]
    if isinstance(op, BinaryConv2d | BinaryLinear):
        nodes.append(Node("sign", Sign(), ("x0",)))
        names = ["sign"]
    graph = Graph([*nodes, Node("y", op, tuple(names))], ["y"])
    return Case(name, graph, tuple(floats(rng, (2, *shape), special=True) for shape in shapes))
