"""Packed models against the standard ones of the same graph, bit by bit in ONNX Runtime; and what is packed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto

from fdabnn_deploy.conformance import Case, chosen_cases, network, network_inputs, random_case
from fdabnn_deploy.conformance.hostile import normal_inputs
from fdabnn_deploy.exact.make_exact import make_exact
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import FloatArray, Op
from fdabnn_onnx.build_model import build_model
from fdabnn_onnx.packed import build_packed
from fdabnn_onnx.packed.filled_groups import filling
from fdabnn_onnx.runtime.onnxruntime import OnnxRuntimeSession
from fdabnn_onnx.verify import check_packed

pytestmark = pytest.mark.runtimes

INFO = ModelInfo("case", (1,))


def kinds(model: ModelProto) -> Counter[str]:
    """How many nodes there are of each kind."""
    return Counter(node.op_type for node in model.graph.node)


def packed_and_equal(graph: Graph, inputs: Sequence[FloatArray]) -> ModelProto:
    """The packed model of a graph, which gives the bits of the standard one with and without optimisations."""
    standard = build_model(graph, INFO, None)
    packed = build_packed(graph, INFO, None)
    check_packed(packed)
    for level in ("disabled", "all"):
        expected = OnnxRuntimeSession(standard.SerializeToString(), "s", optimization="disabled").run(inputs)
        found = OnnxRuntimeSession(packed.SerializeToString(), "p", 2, level).run(inputs)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32), err_msg=str(graph))
    return packed


def weights(seed: int, *shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    return np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), shape)


def floats(seed: int, *shape: int) -> FloatArray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def block() -> Graph:
    """Two residual layers, a third that is read by others as well, and a dense tail."""
    nodes = [
        Node("x", ops.Input((8, 7, 7))),
        Node("s0", ops.Sign(), ("x",)),
        Node("c0", ops.BinaryConv2d(weights(0, 8, 8, 3, 3), padding=(1, 1)), ("s0",)),
        Node("p0", ops.PRelu(floats(1, 8)), ("c0",)),
        Node("a0", ops.Affine(floats(2, 8).astype(np.float64), floats(3, 8).astype(np.float64)), ("p0",)),
        Node("r0", ops.Add(), ("a0", "x")),
        Node("s1", ops.Sign(), ("r0",)),
        Node(
            "c1", ops.BinaryConv2d(weights(4, 8, 8, 3, 3), (2, 2), padding=(1, 1), padding_value=1), ("s1",)
        ),
        Node("a1", ops.Affine(np.ones(8), floats(5, 8).astype(np.float64)), ("c1",)),
        Node("s2", ops.Sign(), ("a1",)),
        Node("f", ops.Reshape((8 * 4 * 4,)), ("s2",)),
        Node("d0", ops.BinaryLinear(weights(6, 40, 128)), ("f",)),
        Node("a2", ops.Affine(floats(7, 40).astype(np.float64), np.zeros(40)), ("d0",)),
        Node("s3", ops.Sign(), ("a2",)),
        Node("d1", ops.BinaryLinear(weights(8, 5, 40)), ("s3",)),
        Node("y", ops.Relu(), ("d1",)),
    ]
    return Graph(nodes, ["y", "r0"])


def test_a_network_of_layers() -> None:
    packed = packed_and_equal(block(), [floats(9, 3, 8, 7, 7)])
    found = kinds(packed)
    # The reshape reads s2 as floats, so that is what d0 packs.
    assert found == {
        "BinaryConv": 4,
        "PackSigns": 2,
        "Less": 1,
        "Where": 1,
        "Reshape": 1,
        "Unsqueeze": 1,
        "Squeeze": 1,
        "Relu": 1,
    }
    layers = {node.name: node for node in packed.graph.node if node.op_type == "BinaryConv"}
    assert list(layers["r0"].output) == ["r0", "r0/packed"]
    assert list(layers["r0"].input)[-1] == "x"
    assert list(layers["a1"].output) == ["a1"]


def test_a_layer_whose_values_nobody_reads_gives_signs_only() -> None:
    nodes = [
        Node("x", ops.Input((33, 5, 5))),
        Node("s0", ops.Sign(), ("x",)),
        Node("c0", ops.BinaryConv2d(weights(0, 34, 33, 1, 1)), ("s0",)),
        Node("s1", ops.Sign(), ("c0",)),
        Node("c1", ops.BinaryConv2d(weights(1, 3, 34, 3, 3)), ("s1",)),
    ]
    packed = packed_and_equal(Graph(nodes, ["c1"]), [floats(2, 2, 33, 5, 5)])
    assert kinds(packed) == {"PackSigns": 1, "BinaryConv": 2}
    assert list(packed.graph.node[1].output) == ["", "c0/packed"]


def test_a_sign_that_others_read_remains() -> None:
    nodes = [
        Node("x", ops.Input((4, 5, 5))),
        Node("s0", ops.Sign(), ("x",)),
        Node("c0", ops.BinaryConv2d(weights(0, 4, 4, 3, 3), padding=(1, 1)), ("s0",)),
        Node("y", ops.Add(), ("c0", "s0")),
    ]
    found = kinds(packed_and_equal(Graph(nodes, ["y"]), [floats(2, 2, 4, 5, 5)]))
    assert found == {"Less": 1, "Where": 1, "PackSigns": 1, "BinaryConv": 1}


def test_what_follows_a_tensor_that_others_read_stays_outside() -> None:
    nodes = [
        Node("x", ops.Input((4, 5, 5))),
        Node("s0", ops.Sign(), ("x",)),
        Node("c0", ops.BinaryConv2d(weights(0, 4, 4, 1, 1)), ("s0",)),
        Node("p0", ops.PRelu(floats(1, 4)), ("c0",)),
    ]
    found = kinds(packed_and_equal(Graph(nodes, ["c0", "p0"]), [floats(2, 1, 4, 5, 5)]))
    assert found == {"PackSigns": 1, "BinaryConv": 1, "PRelu": 1}


def test_a_shortcut_of_another_shape_stays_outside() -> None:
    nodes = [
        Node("x", ops.Input((4, 5, 5))),
        Node("z", ops.Input((4, 1, 1))),
        Node("s0", ops.Sign(), ("x",)),
        Node("c0", ops.BinaryConv2d(weights(0, 4, 4, 1, 1)), ("s0",)),
        Node("r0", ops.Add(), ("c0", "z")),
    ]
    found = kinds(packed_and_equal(Graph(nodes, ["r0"]), [floats(2, 1, 4, 5, 5), floats(3, 1, 4, 1, 1)]))
    assert found == {"PackSigns": 1, "BinaryConv": 1, "Add": 1}


@pytest.mark.parametrize(
    "op",
    [
        ops.BinaryConv2d(weights(0, 4, 2, 3, 3), groups=2),
        ops.BinaryConv2d(weights(0, 4, 4, 1, 1), padding=(1, 1)),
    ],
    ids=["groups of 2 channels", "padding beyond the kernel"],
)
def test_what_has_no_packed_form_stays_standard(op: Op) -> None:
    nodes = [Node("x", ops.Input((4, 5, 5))), Node("s", ops.Sign(), ("x",)), Node("c", op, ("s",))]
    found = kinds(packed_and_equal(Graph(nodes, ["c"]), [floats(2, 1, 4, 5, 5)]))
    assert found == {"Less": 1, "Where": 1, "Conv": 1}


@pytest.mark.parametrize("padding_value", [0, 1])
@pytest.mark.parametrize(
    ("width", "groups", "kernel"), [(6, 5, 3), (8, 3, 3), (12, 2, 1), (30, 2, 5), (48, 2, 3)]
)
def test_small_groups_are_filled_with_channels_that_add_nothing(
    width: int, groups: int, kernel: int, padding_value: int
) -> None:
    channels, out = width * groups, 6 * groups if kernel == 1 else 3 * groups
    out *= 1 + width // 6
    pads = (kernel // 2, kernel // 2)
    first = ops.BinaryConv2d(
        weights(0, out, width, kernel, kernel), (2, 1), pads, (1, 1), groups, padding_value
    )
    nodes = [
        Node("x", ops.Input((channels, 7, 6))),
        Node("s0", ops.Sign(), ("x",)),
        Node("c0", first, ("s0",)),
        Node("a0", ops.Affine(floats(2, out).astype(np.float64), floats(3, out).astype(np.float64)), ("c0",)),
        Node("s1", ops.Sign(), ("a0",)),
        Node("c1", ops.BinaryConv2d(weights(4, 5, out, 1, 1)), ("s1",)),
        Node(
            "c2",
            ops.BinaryConv2d(weights(5, out, width, kernel, kernel), padding=pads, groups=groups),
            ("s0",),
        ),
    ]
    packed = packed_and_equal(Graph(nodes, ["c1", "c2"]), [floats(6, 2, channels, 7, 6)])
    # Both layers of x read the same bits.
    assert kinds(packed) == {"Reshape": 2, "Pad": 1, "PackSigns": 1, "BinaryConv": 3}


def test_groups_that_read_what_a_packed_layer_makes() -> None:
    nodes = [
        Node("x", ops.Input((32, 5, 5))),
        Node("s0", ops.Sign(), ("x",)),
        Node("c0", ops.BinaryConv2d(weights(0, 32, 32, 3, 3), padding=(1, 1)), ("s0",)),
        Node("s1", ops.Sign(), ("c0",)),
        Node("c1", ops.BinaryConv2d(weights(1, 32, 8, 3, 3), groups=4), ("s1",)),
        Node("c2", ops.BinaryConv2d(weights(2, 4, 32, 1, 1)), ("s1",)),
    ]
    packed = packed_and_equal(Graph(nodes, ["c1", "c2"]), [floats(3, 2, 32, 5, 5)])
    assert kinds(packed) == {"PackSigns": 2, "BinaryConv": 3, "Reshape": 2, "Pad": 1}


@pytest.mark.parametrize(("width", "kernel", "more"), [
    (2, 3, None), (4, 3, 28), (8, 1, None), (10, 1, 22), (15, 3, None), (1, 3, None), (32, 3, 0), (48, 1, 16),
])  # fmt: skip
def test_filling_where_it_pays(width: int, kernel: int, more: int | None) -> None:
    channels = width * 8
    op = ops.BinaryConv2d(weights(0, channels, width, kernel, kernel), padding=(kernel // 2,) * 2, groups=8)
    shape = (ops.BATCH, channels, 14, 14)
    assert filling(op, shape, shape) == more


def test_the_whole_network_of_the_conformance_cases() -> None:
    graph, inputs = network(), network_inputs(4)
    packed = build_packed(graph, INFO, None)
    assert kinds(packed)["BinaryConv"] > 0
    # Its stem and softmax are float layers, which round alike where nothing is optimised.
    standard = OnnxRuntimeSession(
        build_model(graph, INFO, None).SerializeToString(), "s", optimization="disabled"
    )
    found = OnnxRuntimeSession(packed.SerializeToString(), "p", optimization="disabled").run(inputs)
    for a, b in zip(found, standard.run(inputs), strict=True):
        np.testing.assert_array_equal(a, b)


def test_float_layers_of_exact_numerics() -> None:
    nodes = [
        Node("x", ops.Input((3, 9, 9))),
        Node("stem", ops.Conv2d(floats(0, 8, 3, 3, 3), floats(1, 8), (2, 2), (1, 1)), ("x",)),
        Node("sign", ops.Sign(), ("stem",)),
        Node("conv", ops.BinaryConv2d(weights(2, 4, 8, 3, 3), padding=(1, 1)), ("sign",)),
    ]
    float_graph = Graph(nodes, ["conv", "stem"])
    rng = np.random.default_rng(0)
    exact = make_exact(float_graph, normal_inputs(float_graph, rng, 8))
    convolutions = sum(isinstance(node.op, ops.Conv2d) for node in exact.graph)
    assert convolutions > 1
    images = normal_inputs(float_graph, rng, 4)
    packed = packed_and_equal(exact.composed, images)
    found = kinds(packed)
    assert (found["ConvDifference"], found["Digits"], found["Conv"], found["Round"]) == (1, 2, 0, 0)
    # Of standard operators alone nothing says that their sums are exact.
    assert kinds(packed_and_equal(exact.graph, images))["Conv"] == convolutions


BINARY = [ops.BinaryConv2d, ops.BinaryLinear, ops.Sign]


@pytest.mark.parametrize(
    "case",
    [
        c
        for c in chosen_cases()
        if any(isinstance(n.op, (ops.BinaryConv2d, ops.BinaryLinear)) for n in c.graph)
    ],
    ids=lambda case: case.name,
)
def test_chosen_case(case: Case) -> None:
    packed_and_equal(case.graph, case.inputs)


@settings(max_examples=80)
@given(kind=st.sampled_from(BINARY), seed=st.integers(0, 2**32 - 1))
def test_random_case(kind: type[Op], seed: int) -> None:
    case = random_case(kind, np.random.default_rng(seed))
    packed_and_equal(case.graph, case.inputs)


def test_the_same_model_gives_the_same_bytes() -> None:
    first, second = (build_packed(block(), INFO, 1).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second
    assert onnx.load_from_string(first).opset_import[1].domain == "fdabnn"
