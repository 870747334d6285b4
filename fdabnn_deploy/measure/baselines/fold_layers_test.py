from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import Clamp, PRelu, Relu, Sign, Sub
from fdabnn_deploy.measure.baselines import small_files_testing as small
from fdabnn_deploy.measure.baselines.drop_signs import drop_signs
from fdabnn_deploy.measure.baselines.fold_layers import fold_layers
from fdabnn_deploy.transforms.pass_testing import Build

pytestmark = pytest.mark.runtimes

pytest.importorskip("onnx")


def folded(graph: Graph, folder: Path, *, activations: bool = False) -> tuple[Path, Path]:
    """A file as exported, and folded."""
    before = small.write(graph, folder / "before.onnx")
    network = small.read_network(before)
    fold_layers(network, activations=activations)
    return before, small.write_network(network, before, folder / "after.onnx")


def test_scales_and_offsets_become_part_of_the_layer(tmp_path: Path) -> None:
    build = Build(3, 8, 8)
    y = build(Relu(), build(small.affine(6), build(small.conv(3, 6), "x")))
    before, after = folded(build.graph(y), tmp_path)
    assert small.operators(after) == Counter({"Conv": 1, "Relu": 1})
    x = small.floats(3, 3, 8, 8)
    np.testing.assert_allclose(small.run(after, x)[0], small.run(before, x)[0], rtol=1e-4, atol=1e-5)


def test_so_they_do_behind_a_dense_layer(tmp_path: Path) -> None:
    build = Build(12)
    before, after = folded(build.graph(build(small.affine(5), build(small.dense(12, 5), "x"))), tmp_path)
    assert small.operators(after) == Counter({"Gemm": 1})
    x = small.floats(3, 12)
    np.testing.assert_allclose(small.run(after, x)[0], small.run(before, x)[0], rtol=1e-4, atol=1e-5)


def test_what_others_read_too_stays(tmp_path: Path) -> None:
    build = Build(3, 8, 8)
    layer = build(small.conv(3, 6), "x")
    before, after = folded(build.graph(build(small.affine(6), layer), layer), tmp_path)
    assert small.operators(after) == small.operators(before)
    x = small.floats(2, 3, 8, 8)
    for found, expected in zip(small.run(after, x), small.run(before, x), strict=True):
        assert np.array_equal(found, expected)


def test_a_difference_of_two_tensors_stays(tmp_path: Path) -> None:
    build = Build(3, 8, 8)
    y = build(Sub(), build(small.conv(3, 6), "x"), build(small.conv(3, 6), "x"))
    before, after = folded(build.graph(y), tmp_path)
    assert small.operators(after) == small.operators(before)


@pytest.mark.parametrize(
    ("op", "limits"), [(Relu(), (0.0, np.inf)), (Clamp(-1.0, 1.0), (-1.0, 1.0)), (Clamp(0.0, 6.0), (0.0, 6.0)), (Clamp(-2.0, 1.0), None)]
)  # fmt: skip
def test_activations_that_a_layer_can_have(op: Relu | Clamp, limits: object, tmp_path: Path) -> None:
    build = Build(3, 8, 8)
    network = small.read_network(
        small.write(build.graph(build(op, build(small.conv(3, 6), "x"))), tmp_path / "model.onnx")
    )
    fold_layers(network, activations=True)
    assert [item.step.kind for item in network.items] == ["linear"] if limits else ["linear", "clip"]
    assert network.items[0].step.activation == limits


def test_a_scale_behind_a_prelu_goes_where_the_weights_are_free(tmp_path: Path) -> None:
    build = Build(4, 8, 8)
    slope = PRelu(np.full(6, 0.25, dtype=np.float32))
    y = build(small.affine(6), build(slope, build(small.binary(4, 6), build(Sign(), "x"))))
    y = build(small.affine(6), build(slope, build(small.conv(6, 6), y)))
    network = small.read_network(small.write(build.graph(y), tmp_path / "model.onnx"))
    drop_signs(network)
    fold_layers(network, activations=False)
    kinds = [item.step.kind for item in network.items]
    assert kinds == ["linear", "prelu", "add", "linear", "prelu", "mul", "add"]
