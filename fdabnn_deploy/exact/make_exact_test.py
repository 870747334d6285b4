from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.exact.make_exact import make_exact
from fdabnn_deploy.exact.record import Numerics
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import FloatArray, Op
from fdabnn_deploy.ir.reference import evaluate, evaluate_all
from fdabnn_deploy.transforms.pass_testing import Build, kinds

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(16, 3, 8, 8)).astype(np.float32)


def conv(inputs: int, outputs: int, kernel: int = 3) -> ops.Conv2d:
    weight = RNG.normal(size=(outputs, inputs, kernel, kernel)).astype(np.float32)
    return ops.Conv2d(weight, RNG.normal(size=outputs).astype(np.float32), padding=(kernel // 2,) * 2)


def binary(inputs: int, outputs: int) -> ops.BinaryConv2d:
    signs = np.where(RNG.random((outputs, inputs, 3, 3)) < 0.5, -1, 1).astype(np.int8)
    return ops.BinaryConv2d(signs, padding=(1, 1))


def affine(channels: int) -> ops.Affine:
    return ops.Affine(RNG.normal(size=channels), RNG.normal(size=channels))


def residual_network() -> Graph:
    """Stem, a binary layer with a shortcut, a 1x1 convolution, a mean over 64 and over 9 values, a dense layer."""
    build = Build(3, 8, 8)
    stem = build(conv(3, 8), "x")
    y = build(affine(8), build(binary(8, 8), build(ops.Sign(), stem)))
    y = build(ops.Add(), y, stem)
    y = build(conv(8, 8, 1), y)
    z = build(
        ops.PRelu(np.float32(0.25) * np.ones(8, dtype=np.float32)), build(binary(8, 8), build(ops.Sign(), y))
    )
    z = build(affine(8), z)
    y = build(ops.Relu(), build(ops.Add(), y, z))
    y = build(ops.AvgPool2d((3, 3), (1, 1), (1, 1)), y)
    y = build(ops.GlobalAvgPool(), y)
    return build.graph(build(ops.Linear(RNG.normal(size=(5, 8)).astype(np.float32)), y))


def summed_in_any_order(op: ops.Conv2d | ops.Linear, x: FloatArray, seed: int) -> FloatArray:
    """A float layer whose products are added one by one, each sum rounded to float32, in a random order; a bias comes first or last."""
    rng = np.random.default_rng(seed)
    if isinstance(op, ops.Conv2d):
        sides = ((0, 0), (0, 0), *((p, p) for p in op.padding))
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, sides), op.weight.shape[2:], axis=(2, 3))  # type: ignore[call-overload,unused-ignore]
        columns = windows.transpose(0, 2, 3, 1, 4, 5).reshape(len(x), *windows.shape[2:4], -1)
    else:
        columns = x
    rows = op.weight.reshape(len(op.weight), -1)
    first = bool(rng.integers(2))
    bias = np.zeros(len(rows), np.float32) if op.bias is None else op.bias
    total = np.broadcast_to(bias if first else np.float32(0), (*columns.shape[:-1], len(rows))).astype(
        np.float32
    )
    for k in rng.permutation(rows.shape[1]):
        total = total + columns[..., k, None] * rows[:, k]
    total = total if first else total + bias
    return total.transpose(0, 3, 1, 2) if isinstance(op, ops.Conv2d) else total


def test_float_sums_are_the_same_in_every_order() -> None:
    graph = make_exact(residual_network(), [IMAGES]).graph
    tensors = evaluate_all(graph, [IMAGES * 3])
    layers = [node for node in graph.nodes_of(ops.Conv2d, ops.Linear) if getattr(node.op, "groups", 1) == 1]
    assert len(layers) == 5 + 5 + 2
    for node in layers:
        for seed in range(3):
            assert isinstance(node.op, ops.Conv2d | ops.Linear)
            found = summed_in_any_order(node.op, tensors[node.inputs[0]], seed)
            assert np.array_equal(found, tensors[node.name]), node.name


def test_the_float_network_rounds_otherwise_in_another_order() -> None:
    """That the test above can fail."""
    graph = residual_network()
    tensors = evaluate_all(graph, [IMAGES])
    node = graph.nodes_of(ops.Conv2d)[0]
    assert isinstance(node.op, ops.Conv2d)
    found = [summed_in_any_order(node.op, tensors[node.inputs[0]], seed) for seed in range(2)]
    assert not np.array_equal(found[0], found[1])


def test_the_exact_graph_is_close_to_the_float_one() -> None:
    graph = residual_network()
    exact = make_exact(graph, [IMAGES]).graph
    float_tensors, tensors = evaluate_all(graph, [IMAGES]), evaluate_all(exact, [IMAGES])
    stem = graph.nodes_of(ops.Conv2d)[0].name
    spread = float_tensors[stem].std()
    assert np.abs(tensors[stem] - float_tensors[stem]).max() < 2e-6 * spread * 10
    (output,) = graph.outputs
    assert exact.outputs == (output,)
    assert np.abs(tensors[output] - float_tensors[output]).max() < 2e-3 * np.ptp(float_tensors[output])


def test_additions_behind_layers_are_subtractions_and_scales_are_held() -> None:
    exact = make_exact(residual_network(), [IMAGES]).graph
    found = kinds(exact)
    assert found.count("Add") == 1
    first = exact.nodes_of(ops.BinaryConv2d)[0]
    (reader,) = exact.consumers(first.name)
    assert isinstance(reader.op, ops.Clamp)
    assert (reader.op.low, reader.op.high) == (-128, np.inf)
    (third,) = [
        node
        for node in exact
        if isinstance(node.op, ops.Affine) and np.all(node.op.scale32 == np.float32(1 / 9))
    ]
    assert isinstance(exact[third.inputs[0]].op, ops.Clamp)


def test_scales_behind_a_single_convolution_are_held() -> None:
    """Two of them, so that neither is folded into the weights before."""
    build = Build(3, 8, 8)
    layer = ops.Conv2d(RNG.integers(-2, 3, (4, 3, 1, 1)).astype(np.float32))
    y = build(layer, build(ops.Sign(), "x"))
    exact = make_exact(
        build.graph(build(ops.Maximum(), build(affine(4), y), build(affine(4), y))), [IMAGES]
    ).graph
    (conv,) = exact.nodes_of(ops.Conv2d)
    assert kinds(exact).count("Affine") == 2
    assert [type(node.op) for node in exact.consumers(conv.name)] == [ops.Clamp, ops.Clamp]


def test_slices_of_zeros_are_left_out() -> None:
    """The first slice holds small integers as they are; a bias may have to be in two slices."""
    weight = RNG.integers(-1, 2, (4, 3, 3, 3)).astype(np.float32)
    for bias, count in ((None, 1), (RNG.normal(size=4).astype(np.float32), 2)):
        build = Build(3, 8, 8)
        graph = build.graph(build(ops.Conv2d(weight, bias), build(ops.Sign(), "x")))
        exact = make_exact(graph, [IMAGES])
        assert [row.parts for row in exact.grids] == [2]
        assert len(exact.graph.nodes_of(ops.Conv2d)) == count
        (expected,), (found,) = evaluate(graph, [IMAGES]), evaluate(exact.graph, [IMAGES])
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_record_gives_the_graph_again_without_data() -> None:
    exact = make_exact(residual_network_again(), [IMAGES], {"input": (-2.0, 2.0)})
    record = Numerics.from_text(exact.numerics.to_text())
    again = make_exact(residual_network_again(), record=record)
    assert str(again.graph) == str(exact.graph)
    for a, b in zip(exact.graph, again.graph, strict=True):
        for key, value in a.op.attributes().items():
            assert np.array_equal(value, b.op.attributes()[key])
    assert all(row.error is None and row.clipped is None for row in again.grids)


def residual_network_again() -> Graph:
    """The same network on every call."""
    global RNG  # noqa: PLW0603
    RNG = np.random.default_rng(1)
    return residual_network()


def test_a_record_of_another_graph_is_refused() -> None:
    graph = residual_network_again()
    record = make_exact(graph, [IMAGES]).numerics
    name = next(iter(record.cuts))
    less = {key: cut for key, cut in record.cuts.items() if key != name}
    with pytest.raises(ModelRefusedError, match=f"say nothing about {name}"):
        make_exact(graph, record=replace(record, cuts=less))
    with pytest.raises(ModelRefusedError, match="about elsewhere, which this model has not"):
        make_exact(graph, record=replace(record, cuts={**record.cuts, "elsewhere": record.cuts[name]}))


def test_no_input_leaves_the_limits() -> None:
    exact = make_exact(residual_network(), [IMAGES]).graph
    hostile = np.full((5, 3, 8, 8), np.nan, dtype=np.float32)
    for i, value in enumerate((np.inf, -np.inf, 1e38, 1e-45)):
        hostile[i] = value
    (outputs,) = evaluate(exact, [hostile])
    assert np.all(np.isfinite(outputs))
    assert np.array_equal(outputs[0], outputs[4])
    assert np.array_equal(outputs[0], outputs[2])
    assert not np.array_equal(outputs[0], outputs[1])


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        (ops.Softmax(), r"softmax in module 'm2'\): exponentials differ between runtimes.*--numerics float"),
        (
            ops.AvgPool2d((3, 3), (1, 1), (1, 1), count_include_pad=False),
            r"count_include_pad=True.*--numerics float",
        ),
    ],
)
def test_what_has_no_exact_form_is_refused_with_the_remedy(op: Op, reason: str) -> None:
    build = Build(3, 8, 8)
    source = build(ops.GlobalAvgPool(), "x") if isinstance(op, ops.Softmax) else build(ops.Relu(), "x")
    with pytest.raises(ModelRefusedError, match=reason):
        make_exact(build.graph(build(op, source)), [IMAGES])


def test_parameters_beyond_float32_are_kept_away_from_denormals_and_overflow() -> None:
    build = Build(3, 8, 8)
    y = "x"
    for exponent in (-30, 25, -30, 40, -30, 40, 40):
        y = build(
            ops.Relu(), build(ops.Affine(np.full(3, 1.1 * 2.0**exponent), np.full(3, -(2.0**exponent))), y)
        )
    graph = make_exact(build.graph(y), [IMAGES]).graph
    assert any(node.name.endswith("/coarser") and isinstance(node.op, ops.RoundToGrid) for node in graph)
    tensors = evaluate_all(graph, [IMAGES * 1e6])
    for node in graph:
        values = np.abs(tensors[node.name][tensors[node.name] != 0])
        if node.name != "x":
            assert np.all((values >= 2.0**-126) & (values < 2.0**126)), node


def test_reports_say_what_was_clipped() -> None:
    exact = make_exact(residual_network(), [IMAGES], {"m5": (-0.1, 0.1)})
    rows = {row.kind: row for row in exact.grids}
    assert rows["Linear"].parts == 2
    assert rows["Linear"].weight_bits is not None
    assert all(row.clipped == 0 for row in exact.grids)
    assert [row.parts for row in exact.grids if row.kind == "Conv2d"] == [5, 5]
    seen_little = make_exact(residual_network_again(), (), {})
    assert all(row.clipped is None for row in seen_little.grids)


def test_names_of_the_float_graph_stay() -> None:
    graph = residual_network()
    exact = make_exact(graph, [IMAGES]).graph
    assert {node.name for node in graph} <= {node.name for node in exact}
    assert isinstance(exact[graph.nodes_of(ops.Add)[0].name].op, ops.Sub)
    added: list[Node] = [node for node in exact if node.name not in graph]
    assert all(node.name.split("/")[0] in graph for node in added)
