from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fdabnn_deploy.exact.make_exact import make_exact
from fdabnn_deploy.frontend.capture import capture
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Affine, BinaryConv2d, Clamp, Op, PRelu, Sign
from fdabnn_deploy.ir.sign_zero import SignZero
from fdabnn_deploy.transforms.deploy import deploy
from fdabnn_deploy.verify.gate import gate_testing
from fdabnn_deploy.verify.gate.gate_testing import ReluSign, check, check_spoilt, deployed, images
from fdabnn_deploy.verify.gate.layer_by_layer import check_layers, describe


@pytest.mark.parametrize("exact", [True, False])
def test_every_layer_of_a_faithful_graph_is_true(exact: bool) -> None:
    table = check(exact=exact)
    assert [describe(layer) for layer in table.layers if not layer.passed] == []
    assert (table.images, table.not_compared) == (4, 0)
    signs = [layer for layer in table.layers if layer.kind == "sign"]
    assert len(signs) == 3
    assert sum(layer.differing for layer in signs) == 0
    kinds = {layer.tensor: layer.kind for layer in table.layers}
    assert kinds["stem/conv2d"] == "float layer"
    assert kinds["dense/binary_linear"] == "binary layer"
    assert kinds["output"] == "float layer"
    assert kinds["block/add"] == "values"


def test_the_stated_errors_are_of_the_size_of_the_true_ones() -> None:
    for layer in check().layers:
        if layer.largest:
            assert layer.largest < layer.stated < 60 * layer.largest, layer


@pytest.mark.parametrize("exact", [True, False])
def test_zeros_at_a_sign_are_named(exact: bool) -> None:
    table = check(ReluSign, exact=exact)
    broken = [layer for layer in table.layers if not layer.passed]
    assert [layer.tensor for layer in broken] == ["block.conv1/sign", "block.conv2/sign"]
    share = broken[0].differing / broken[0].values
    assert 0.3 < share < 0.7
    text = describe(broken[0])
    assert "module 'block.conv1'" in text
    assert "are exactly 0 at the sign, where one bit has no 0; --sign-zero exact keeps zeros" in text


def _scaled(field: str, by: float) -> Callable[[Any], Op]:
    def scale(op: Any) -> Op:
        values = getattr(op, field)
        scaled: Op = replace(op, **{field: (values * by).astype(values.dtype)})
        return scaled

    return scale


def _one_tap(op: Any) -> Op:
    weight = op.weight.copy()
    weight.flat[5] = -weight.flat[5]
    spoilt: Op = replace(op, weight=weight)
    return spoilt


def _one_offset(op: Any) -> Op:
    offset = op.offset.copy()
    offset[3] += 2e-5
    spoilt: Op = replace(op, offset=offset)
    return spoilt


SPOILT: list[tuple[str, Callable[[Any], Op], str]] = [
    ("block.conv1/binary_conv", _one_tap, "block.norm1/affine"),
    ("block.conv1/binary_conv", lambda op: replace(op, padding_value=1.0 if op.padding_value == 0 else 0.0), "block.norm1/affine"),
    ("dense/binary_linear", _one_tap, "dense/binary_linear"),
    ("block.norm1/affine", _scaled("scale", 1.0001), "block.norm1/affine"),
    ("block.norm1/affine", _one_offset, "block.norm1/affine"),
    ("block.act/prelu", _scaled("slope", 1.0001), "block.act/prelu"),
    ("block/clamp", lambda op: replace(op, high=2.4), "block/clamp"),
    ("stem/conv2d/x0w0", _scaled("weight", 1.01), "stem/conv2d"),
    ("stem/conv2d/x1w0", _scaled("weight", 0.0), "stem/conv2d"),
    ("output/x0w0", _scaled("weight", 1.02), "output"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "spoil", "found"), SPOILT, ids=[f"{i} {case[0]}" for i, case in enumerate(SPOILT)]
)
def test_a_wrong_operator_is_named_and_no_other(name: str, spoil: Callable[[Any], Op], found: str) -> None:
    broken = [layer.tensor for layer in check_spoilt(name, spoil).layers if not layer.passed]
    assert broken == [found]


def test_a_sign_that_changes_elsewhere_is_named() -> None:
    captured, found, made = deployed()
    nodes = []
    for node in made.graph:
        if node.name == "block.conv2/sign":
            nodes.append(Node("shifted", Affine(np.ones(8), np.full(8, 0.01)), node.inputs))
        inputs = ("shifted",) if node.name == "block.conv2/sign" else node.inputs
        nodes.append(replace(node, inputs=inputs))
    table = check_layers(captured, found, Graph(nodes, made.graph.outputs), made.grids, images(4))
    (broken,) = [layer for layer in table.layers if not layer.passed]
    assert (broken.tensor, broken.kind) == ("block.conv2/sign", "sign")
    assert "changes at another value" in describe(broken)


def test_one_sign_of_a_small_layer_may_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    from fdabnn_deploy.verify.gate import layer_by_layer

    table = check()
    (last,) = [layer for layer in table.layers if layer.tensor == "sign"]
    assert (last.values, last.allowed) == (256, 1)
    assert replace(last, differing=1).passed
    assert not replace(last, differing=2).passed
    monkeypatch.setattr(layer_by_layer, "SHARE", 0.05)
    (last,) = [layer for layer in check().layers if layer.tensor == "sign"]
    assert last.allowed == 12


def test_values_that_limits_cut_off_are_named() -> None:
    captured, found, _ = deployed()
    narrow = make_exact(found.graph, [images(16) * 0.2])
    table = check_layers(captured, found, narrow.graph, narrow.grids, images(4))
    texts = [describe(layer) for layer in table.layers if not layer.passed]
    assert texts
    assert "were clipped" in texts[0]
    assert "beyond -" in texts[0]


class Ternary(nn.Module):
    """Of which every fourth weight is 0."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight = nn.Parameter(torch.randn(8, 3, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.sign(self.weight) * (self.weight.abs() > 0.3)
        return torch.conv2d(torch.where(x < 0, -1.0, 1.0), weight)


def test_weights_that_lost_a_value_are_named() -> None:
    captured = capture(Ternary().eval(), gate_testing.SHAPE)
    signs = torch.sign(captured.program.state_dict["weight"]).detach().numpy().astype(np.int8)
    graph = captured.graph
    (layer,) = [node for node in graph if node.op.kind == "TrainedConv2d"]
    binary = Graph(
        [
            graph["input"],
            Node("sign", Sign(), ("input",)),
            Node("output", BinaryConv2d(signs), ("sign",), "conv", trained=layer.trained),
        ],
        ["output"],
    )
    found = replace(deployed()[1], graph=binary, weight_zeros={"conv": 50})
    (broken,) = check_layers(captured, found, binary, (), images(2)).layers
    assert not broken.passed
    assert "50 of its weights are exactly 0 and count as +1" in describe(broken)


class Written(nn.Module):
    """Signs in other words, with a straight-through estimator whose terms cancel up to rounding."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv, self.weight = nn.Conv2d(3, 8, 3), nn.Parameter(torch.randn(8, 8, 3, 3))
        self.norm, self.last = nn.BatchNorm2d(8), nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        soft = torch.clamp(x, -1.0, 1.0)
        x = torch.where(x < 0, -1.0, 1.0).detach() - soft.detach() + soft
        x = self.norm(torch.conv2d(x, torch.where(self.weight < 0, -1.0, 1.0)))
        x = torch.conv2d(2 * (x >= 0).float() - 1, torch.where(self.weight < 0, -1.0, 1.0))
        logits: Tensor = self.last(
            torch.conv2d(torch.max_pool2d((x >= 2).float() - 0.5, 2), 0.25 * torch.sign(self.weight)).mean(
                (2, 3)
            )
        )
        return logits


@pytest.mark.parametrize("exact", [True, False])
def test_signs_in_other_words_are_found_and_true(exact: bool) -> None:
    captured = capture(Written().eval(), gate_testing.SHAPE)
    found = deploy(captured)
    made = make_exact(found.graph, [images(8)])
    table = check_layers(
        captured, found, made.graph if exact else found.graph, made.grids if exact else (), images(3)
    )
    assert [describe(layer) for layer in table.layers if not layer.passed] == []
    assert table.images == 3
    assert sum(layer.kind == "sign" for layer in table.layers) + table.not_compared >= 3


class OfIntegers(nn.Module):
    """A binary layer, and signs of its integers in words of their own."""

    def __init__(self, signs: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.signs = signs
        self.a, self.b = nn.Parameter(torch.randn(8, 3, 3, 3)), nn.Parameter(torch.randn(8, 8, 3, 3))
        self.last = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.conv2d(torch.where(x < 0, -1.0, 1.0), torch.where(self.a < 0, -1.0, 1.0), padding=1)
        x = torch.conv2d(self.signs(x), torch.where(self.b < 0, -1.0, 1.0))
        logits: Tensor = self.last(x.mean((2, 3)))
        return logits


def above(mask: Callable[[Tensor], Tensor]) -> OfIntegers:
    """+1 where a mask is true, -1 elsewhere."""
    return OfIntegers(lambda x: torch.where(mask(x), 1.0, -1.0))


TIES: dict[str, Callable[[Tensor], Tensor]] = {
    "0.1 x > 0.6": lambda x: x * 0.1 > 0.6,
    "0.1 x - 0.6 > 0": lambda x: x * 0.1 - 0.6 > 0,
    "x / 10 >= 0.7": lambda x: x / 10 >= 0.7,
    "x >= 2.0000001": lambda x: x >= 2.0000001,
    "x > 0.99999999": lambda x: x > 0.99999999,
    "x + 0.1 > 1.1": lambda x: x + 0.1 > 1.1,
}


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("words", TIES)
def test_a_tie_that_float32_and_float64_see_differently_is_either(words: str, exact: bool) -> None:
    captured = capture(above(TIES[words]).eval(), gate_testing.SHAPE)
    found = deploy(captured)
    made = make_exact(found.graph, [images(8)])
    graph, grids = (made.graph, made.grids) if exact else (found.graph, ())
    table = check_layers(captured, found, graph, grids, images(4))
    assert [describe(layer) for layer in table.layers if not layer.passed] == []


def test_a_tie_excuses_no_other_threshold() -> None:
    captured = capture(above(TIES["0.1 x > 0.6"]).eval(), gate_testing.SHAPE)
    other = deploy(capture(above(lambda x: x > 3).eval(), gate_testing.SHAPE))
    mine = deploy(captured)
    # The same tensors, of which one sign changes between 3 and 4.
    assert [node.name for node in other.graph if node.op.kind.startswith("Binary")] == [
        node.name for node in mine.graph if node.op.kind.startswith("Binary")
    ]
    trained = {node.name: node.trained for node in mine.graph}
    graph = Graph(
        [replace(node, trained=trained.get(node.name, "")) for node in other.graph], other.graph.outputs
    )
    broken = [
        layer
        for layer in check_layers(captured, replace(mine, graph=graph), graph, (), images(4)).layers
        if not layer.passed
    ]
    assert "binary layer" in [layer.kind for layer in broken] or "sign" in [layer.kind for layer in broken]


ZEROS: list[tuple[Callable[[Tensor], Tensor], SignZero]] = [
    (lambda x: torch.sign(x - 1), "plus"),
    (lambda x: torch.sign(x - 1), "minus"),
    (lambda x: torch.sign(1 - x), "plus"),
    (lambda x: torch.sign(x * 2 + 2), "minus"),
    (lambda x: torch.sign(torch.clamp(x - 0.5, 0, 1)), "plus"),
    (lambda x: torch.sign(torch.relu(x)), "minus"),
    (lambda x: (x > 1).float() - (x < 1).float(), "plus"),
]


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("case", range(len(ZEROS)))
def test_zeros_are_those_of_the_trained_sign(case: int, exact: bool) -> None:
    signs, sign_zero = ZEROS[case]
    captured = capture(OfIntegers(signs).eval(), gate_testing.SHAPE)
    found = deploy(captured, exact=exact, sign_zero=sign_zero)
    made = make_exact(found.graph, [images(8)])
    graph, grids = (made.graph, made.grids) if exact else (found.graph, ())
    # Limits behind it are those of the changed graph, and may be too narrow.
    first, *_ = [
        layer for layer in check_layers(captured, found, graph, grids, images(4)).layers if not layer.passed
    ]
    text = describe(first)
    assert "values are exactly 0 at the sign, where one bit has no 0; --sign-zero exact keeps zeros" in text
    if first.kind == "sign":
        assert f"{first.differing} values are exactly 0" in text
    kept = deploy(captured, exact=exact, sign_zero="exact")
    made = make_exact(kept.graph, [images(8)])
    graph, grids = (made.graph, made.grids) if exact else (kept.graph, ())
    assert check_layers(captured, kept, graph, grids, images(4)).passed


def test_a_program_may_hold_tensors_without_axes() -> None:
    captured = capture(OfIntegers(lambda x: torch.sign(x) + 0 * torch.ones([])).eval(), gate_testing.SHAPE)
    found = deploy(captured)
    assert check_layers(captured, found, found.graph, (), images(1)).layers


def test_what_is_no_number_beside_a_number_is_wrong() -> None:
    table = check_spoilt("block.act/prelu", _scaled("slope", math.nan))
    (broken,) = [layer for layer in table.layers if not layer.passed]
    assert broken.tensor == "block.act/prelu"
    assert broken.largest == math.inf


def test_operators_are_spoilt_at_all() -> None:
    names = {node.name: type(node.op) for node in deployed()[2].graph}
    assert names["block.act/prelu"] is PRelu
    assert names["block/clamp"] is Clamp
