"""Which readers of the input take its normalisation in, and what stands in front of the others."""

from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Op
from fdabnn_deploy.ir.reference import evaluate
from fdabnn_deploy.transforms.take_pixels import PixelFormat, take_pixels

FORM = PixelFormat((0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 3, 6, 6), np.uint8)


def conv(seed: int = 0, groups: int = 1) -> ops.Conv2d:
    weight = np.random.default_rng(seed).normal(size=(6, 3 // groups, 3, 3)).astype(np.float32)
    return ops.Conv2d(weight, None, padding=(1, 1), groups=groups)


def kinds(graph: Graph) -> list[str]:
    return [node.op.kind for node in graph]


def check(graph: Graph, form: PixelFormat, inside: bool) -> Graph:
    """The graph that takes pixels, which computes what the other does with the normalised image."""
    mean, std = (np.array(values).reshape(-1, 1, 1) for values in (form.mean, form.std))
    fed = PIXELS[:, ::-1].copy() if form.reversed_channels else PIXELS
    made = take_pixels(graph, form, inside_layers=inside).graph
    image = ((PIXELS / 255 - mean) / std).astype(np.float32)
    for a, b in zip(evaluate(made, [fed]), evaluate(graph, [image]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    return made


@pytest.mark.parametrize("reversed_channels", [False, True], ids=["rgb", "bgr"])
@pytest.mark.parametrize(
    "first",
    [ops.Relu(), conv(groups=3), ops.MaxPool2d((2, 2), (2, 2)), ops.Sign(), ops.Reshape((108,))],
    ids=lambda op: op.kind,
)
def test_everybody_else_reads_the_normalised_image(first: Op, reversed_channels: bool) -> None:
    graph = Graph([Node("x", ops.Input((3, 6, 6))), Node("y", first, ("x",))], ["y"])
    form = PixelFormat(FORM.mean, FORM.std, reversed_channels)
    made = check(graph, form, inside=True)
    order = ["Conv2d"] if reversed_channels else []
    assert kinds(made) == ["Input", "CentredPixels", *order, "Affine", first.kind]


def test_convolutions_take_it_in_and_float_numerics_keeps_it_in_front() -> None:
    nodes = [Node("x", ops.Input((3, 6, 6))), Node("a", conv(), ("x",)), Node("b", conv(1), ("x",))]
    graph = Graph([*nodes, Node("y", ops.Add(), ("a", "b"))], ["y"])
    assert kinds(check(graph, FORM, inside=True)) == [
        "Input", "CentredPixels", "PixelConv2d", "PixelConv2d", "Add",
    ]  # fmt: skip
    assert kinds(check(graph, FORM, inside=False))[1:3] == ["CentredPixels", "Affine"]


def test_a_border_whose_readers_take_it_in_goes() -> None:
    border = Node("p", ops.Pad(((0, 0), (0, 1), (2, 0))), ("x",))
    nodes = [Node("x", ops.Input((3, 6, 6))), border, Node("a", conv(), ("p",))]
    assert kinds(check(Graph(nodes, ["a"]), FORM, inside=True)) == ["Input", "CentredPixels", "PixelConv2d"]
    both = Graph([*nodes, Node("r", ops.Relu(), ("p",))], ["a", "r"])
    assert kinds(check(both, FORM, inside=True)).count("Pad") == 1
    ones = Node("p", ops.Pad(((0, 0), (1, 1), (1, 1)), 1.0), ("x",))
    assert "PixelConv2d" not in kinds(check(Graph([nodes[0], ones, nodes[2]], ["a"]), FORM, inside=True))


def test_an_input_that_is_an_output_comes_out_normalised() -> None:
    graph = Graph([Node("x", ops.Input((3, 6, 6))), Node("a", conv(), ("x",))], ["a", "x"])
    made = take_pixels(graph, FORM, inside_layers=True).graph
    assert made[made.outputs[1]].op.kind == "Affine"
