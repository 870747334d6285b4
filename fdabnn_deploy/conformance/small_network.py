"""A small network in which every deployed operator that takes floats occurs."""

from __future__ import annotations

import math

import numpy as np

from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.ir.ops.drawing import floats, signs


def network(seed: int = 0) -> Graph:
    """A small network of two inputs and two outputs in which every deployed operator that takes floats occurs."""
    rng = np.random.default_rng(seed)
    border = np.linspace(-0.4, 0.3, 24, dtype=np.float32).reshape(6, 2, 2)
    ramp = np.array([0.5, 1.0, 0.25], np.float32)
    nodes = [
        Node("image", ops.Input((3, 9, 9))),
        Node("bias", ops.Input((4,))),
        Node("limited", ops.Saturate(-3.0, 3.0), ("image",)),
        Node("gridded", ops.RoundToGrid(8), ("limited",)),
        Node("stem", ops.Conv2d(floats(rng, (4, 3, 3, 3)), floats(rng, (4,)), padding=(1, 1)), ("gridded",)),
        Node("norm1", ops.Affine(rng.normal(size=4), rng.normal(size=4)), ("stem",)),
        Node("sign1", ops.Sign(), ("norm1",)),
        Node("conv1", ops.BinaryConv2d(signs(rng, (4, 4, 3, 3)), padding=(1, 1)), ("sign1",)),
        Node("act1", ops.PRelu(floats(rng, (4,))), ("conv1",)),
        Node("sum1", ops.Add(), ("act1", "norm1")),
        Node("clip1", ops.Clamp(-3.0, 3.0), ("sum1",)),
        Node("pool1", ops.MaxPool2d((2, 2), (2, 2), ceil_mode=True), ("clip1",)),
        Node("sign2", ops.Sign(), ("pool1",)),
        Node("conv2", ops.BinaryConv2d(signs(rng, (6, 4, 3, 3)), (2, 2), (1, 1), padding_value=1), ("sign2",)),
        Node("norm2", ops.Affine(rng.normal(size=6) / 8, rng.normal(size=6)), ("conv2",)),
        Node("part", ops.Slice(((0, 4, 1), (0, 5, 2), (0, 5, 2))), ("pool1",)),
        Node("wide", ops.Pad(((1, 1), (0, 0), (0, 0))), ("part",)),
        Node("sum2", ops.Sub(), ("wide", "norm2")),
        Node("placed", ops.PositionAffine(ramp.reshape(1, 3, 1), ramp.reshape(1, 1, 3) - 1), ("sum2",)),
        Node("border", ops.BorderOffset(border, np.array([0, 1, 0]), np.array([1, 1, 0])), ("placed",)),
        Node("act2", ops.Relu(), ("border",)),
        Node("mean2", ops.AvgPool2d((2, 2), (1, 1)), ("act2",)),
        Node("joined", ops.Concat(), ("mean2", "mean2")),
        Node("turned", ops.Permute((1, 3, 2)), ("joined",)),
        Node("flat", ops.Reshape((48,)), ("turned",)),
        Node("sign3", ops.Sign(), ("flat",)),
        Node("dense", ops.BinaryLinear(signs(rng, (4, 48))), ("sign3",)),
        Node("product", ops.Mul(), ("dense", "bias")),
        Node("largest", ops.Maximum(), ("product", "dense")),
        Node("means", ops.GlobalAvgPool(), ("joined",)),
        Node("sums", ops.GlobalSum(), ("joined",)),
        Node("features", ops.Add(), ("means", "sums")),
        Node("classifier", ops.Linear(floats(rng, (5, 12)), floats(rng, (5,))), ("features",)),
        Node("probabilities", ops.Softmax(), ("classifier",)),
    ]  # fmt: skip
    return Graph(_with_movers(nodes, rng), ["probabilities", "largest"])


def _with_movers(nodes: list[Node], rng: np.random.Generator) -> list[Node]:
    """With the operators that move values and do not stand in the network yet: each moves `joined`, and is added to `flat`."""
    position = next(i for i, node in enumerate(nodes) if node.name == "sign3")
    before, behind = nodes[:position], nodes[position + 1 :]
    present, last = {type(node.op) for node in nodes}, "flat"
    for kind in ops.MOVERS:
        op = kind.fitting(rng, (12, 2, 2))
        if kind in present or op is None:
            continue
        name = kind.__name__.lower()
        count = -math.prod(op.infer((ops.BATCH, 12, 2, 2)))
        before += [
            Node(name, op, ("joined",)),
            Node(f"{name}/flat", ops.Reshape((count,)), (name,)),
            Node(f"{name}/part", ops.Slice(((0, 48, 1),)), (f"{name}/flat",)),
            Node(f"{name}/sum", ops.Add(), (last, f"{name}/part")),
        ]
        last = f"{name}/sum"
    return [*before, Node("sign3", ops.Sign(), (last,)), *behind]


def network_inputs(count: int, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """Inputs [count, ...] for `network`."""
    rng = np.random.default_rng(seed)
    return floats(rng, (count, 3, 9, 9)), floats(rng, (count, 4))
