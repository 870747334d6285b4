from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Input, Sign, Sub
from fdabnn_deploy.measure.baselines.build import build_baseline
from fdabnn_deploy.measure.baselines.small_files_testing import binary, dense, floats, run, write
from fdabnn_deploy.transforms.pass_testing import Build

pytestmark = pytest.mark.runtimes

onnx = pytest.importorskip("onnx")


def image_file(folder: Path, channels: int = 3) -> Path:
    build = Build(channels, 8, 8)
    return write(build.graph(build(binary(channels, 6), build(Sign(), "x"))), folder / "model.onnx")


def test_ranges_come_from_the_images(tmp_path: Path) -> None:
    path = image_file(tmp_path)
    x = floats(4, 3, 8, 8)
    for factor in (1, 50):
        baseline = build_baseline("int8", path, tmp_path / str(factor), x * np.float32(factor))
        found, expected = (
            run(p, x[:1] * np.float32(factor))[0]
            for p in (baseline.path, build_baseline("fp32", path, tmp_path).path)
        )
        # Eight bits of the range that the images have.
        assert np.abs(found - expected).max() < 0.03 * np.abs(expected).max()


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_images_of_any_number_of_channels_are_made_up(channels: int, tmp_path: Path) -> None:
    baseline = build_baseline("int8", image_file(tmp_path, channels), tmp_path)
    assert np.isfinite(run(baseline.path, floats(1, channels, 8, 8))[0]).all()


def test_a_free_batch_stays_free(tmp_path: Path) -> None:
    path = image_file(tmp_path)
    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    onnx.save(model, path)
    baseline = build_baseline("int8", path, tmp_path, floats(3, 3, 8, 8))
    assert run(baseline.path, floats(5, 3, 8, 8))[0].shape == (5, 6, 8, 8)


def test_what_is_not_quantised(tmp_path: Path) -> None:
    layer = binary(3, 6)
    nodes = [
        *(Node("x", Input((3, 8, 8))), Node("y", Input((3, 8, 8)))),
        *(Node("sum", Sub(), ("x", "y")), Node("sign", Sign(), ("sum",)), Node("z", layer, ("sign",))),
    ]
    two = write(Graph(nodes, ["z"]), tmp_path / "two.onnx")
    assert build_baseline("fp32", two, tmp_path).layers
    with pytest.raises(ModelRefusedError, match=r"two\.onnx has no int8 baseline: it has 2 inputs"):
        build_baseline("int8", two, tmp_path)
    build = Build(12)
    vectors = write(build.graph(build(Sign(), build(dense(12, 5), "x"))), tmp_path / "vectors.onnx")
    with pytest.raises(ModelRefusedError, match="it has no binary layer"):
        build_baseline("int8", vectors, tmp_path)
    with pytest.raises(
        UsageError, match=r"images of shape \(2, 3, 8, 9\) do not fit its input \[N, 3, 8, 8\]"
    ):
        build_baseline("int8", image_file(tmp_path), tmp_path, floats(2, 3, 8, 9))
