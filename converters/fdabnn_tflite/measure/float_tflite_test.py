from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ir.ops import Add, Clamp, MaxPool2d, PRelu, Relu, Sign
from fdabnn_deploy.measure.baselines import small_files_testing as small
from fdabnn_deploy.measure.baselines.drop_signs import drop_signs, fill_weights
from fdabnn_deploy.transforms.pass_testing import Build
from fdabnn_tflite.measure import float_tflite
from fdabnn_tflite.runtime.pack import pack_tflite
from fdabnn_tflite.runtime.tflite_file import FLOAT32, read_tflite

pytestmark = pytest.mark.runtimes


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file whose binary layers are read as packed signs, too, and pooled as such."""
    build = Build(3, 8, 8)
    stem = build(PRelu(small.floats(64)), build(small.conv(3, 64), "x"))
    y = build(small.binary(64, 64, padding_value=1), build(Sign(), build(Add(), stem, build(Relu(), stem))))
    y = build(MaxPool2d((2, 2), (2, 2)), build(Sign(), y))
    y = build(Clamp(-1.0, 1.0), build(small.binary(64, 8), y))
    return small.write(build.graph(y), tmp_path_factory.mktemp("tflite") / "model.tflite")


def test_binary_operators_cannot_stay(path: Path) -> None:
    with pytest.raises(ModelRefusedError, match="its operator LceQuantize has no float form"):
        float_tflite.write_network(small.read_network(path), path.read_bytes())


def test_a_network_without_them_is_written_and_read_again(path: Path, tmp_path: Path) -> None:
    network = small.read_network(path)
    drop_signs(network)
    fill_weights(network)
    first = small.write_network(network, path, tmp_path / "first.tflite")
    second = small.write_network(small.read_network(first), first, tmp_path / "second.tflite")
    assert small.operators(second) == small.operators(first)
    x = small.floats(2, 3, 8, 8)
    (found,), (again,) = small.run(first, x), small.run(second, x)
    assert found.shape == (2, 8, 4, 4)
    assert np.isfinite(found).all()
    assert np.array_equal(found, again)


def test_packed_tensors_become_floats_of_all_channels(path: Path, tmp_path: Path) -> None:
    assert {"LceBMaxPool2d", "LceBconv2d"} <= set(read_tflite(path).op_counts())
    network = small.read_network(path)
    drop_signs(network)
    fill_weights(network)
    file = read_tflite(small.write_network(network, path, tmp_path / "float.tflite"))
    pool = next(operator for operator in file.operators if operator.name == "MAX_POOL_2D")
    assert [file.tensors[i].shape for i in (*pool.inputs, *pool.outputs)] == [(1, 8, 8, 64), (1, 4, 4, 64)]
    assert {file.tensors[i].type for operator in file.operators for i in operator.outputs} == {FLOAT32}


def test_nothing_unused_is_left_in_the_file(path: Path, tmp_path: Path) -> None:
    network = small.read_network(path)
    drop_signs(network)
    fill_weights(network)
    file = read_tflite(small.write_network(network, path, tmp_path / "float.tflite"))
    used = {i for operator in file.operators for i in (*operator.inputs, *operator.outputs)}
    assert used == set(range(len(file.tensors)))
    assert file.metadata == {}


def test_several_subgraphs_are_refused(path: Path) -> None:
    schema = importlib.import_module("ai_edge_litert.schema_py_generated")
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    # The checksum is one of the metadata, too.
    model.metadata, model.subgraphs = None, [model.subgraphs[0], model.subgraphs[0]]
    with pytest.raises(ModelRefusedError, match="it has 2 subgraphs"):
        float_tflite.read_network(pack_tflite(model, schema))
