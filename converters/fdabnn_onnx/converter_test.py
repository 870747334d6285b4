from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from fdabnn_deploy.conformance import network
from fdabnn_deploy.errors import ModelRefusedError, NotWrittenError, UsageError
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import Input, TorchSign
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.installed import find_converter
from fdabnn_onnx.converter import CONVERTER
from fdabnn_onnx.op_counts import ONE_BIT, count_ops
from fdabnn_onnx.packed import is_packed

pytestmark = pytest.mark.runtimes

INFO = ModelInfo("network", (3, 9, 9))


def test_it_is_found_by_its_name() -> None:
    assert find_converter("onnx") is CONVERTER


def test_writes_a_checked_file_and_counts_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    artifact = CONVERTER.convert(network(), INFO, path, ConvertOptions())
    assert (artifact.target, artifact.path) == ("onnx", path)
    assert artifact.op_counts == count_ops(onnx.load(path))
    assert len(artifact.notes) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "a.onnx", tmp_path / "b.onnx"
    for path in (first, second):
        CONVERTER.convert(network(), INFO, path, ConvertOptions(batch=None))
    assert first.read_bytes() == second.read_bytes()


def test_packed_kernels(tmp_path: Path) -> None:
    standard, packed = tmp_path / "standard.onnx", tmp_path / "packed.onnx"
    counts = CONVERTER.convert(network(), INFO, standard, ConvertOptions()).op_counts
    artifact = CONVERTER.convert(network(), INFO, packed, ConvertOptions(kernels="packed"))
    assert "register_custom_ops_library" in artifact.notes[0]
    one_bit = {name: count for name, count in counts.items() if name.endswith(ONE_BIT)}
    assert artifact.op_counts[f"BinaryConv{ONE_BIT}"] == sum(one_bit.values()) > 0
    assert not artifact.op_counts.keys() & one_bit.keys()
    assert packed.stat().st_size < standard.stat().st_size
    forms = CONVERTER.variants(network(), INFO, artifact, ConvertOptions(), tmp_path)
    assert list(forms) == ["batch 4"]
    assert is_packed(onnx.load(forms["batch 4"]))


def test_a_refused_graph_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    path.write_text("old")
    graph = Graph([Node("x", Input((2,))), Node("y", TorchSign(), ("x",))], ["y"])
    with pytest.raises(ModelRefusedError):
        CONVERTER.convert(graph, INFO, path, ConvertOptions())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotWrittenError, match=r"cannot write .*network\.onnx: Not a directory"):
        CONVERTER.convert(network(), INFO, tmp_path / "file" / "network.onnx", ConvertOptions())


def test_a_folder_in_the_files_place(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    path.mkdir()
    with pytest.raises(NotWrittenError, match="cannot write"):
        CONVERTER.convert(network(), INFO, path, ConvertOptions())
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("batch", [0, -1])
def test_a_batch_size_has_to_be_positive(tmp_path: Path, batch: int) -> None:
    with pytest.raises(UsageError, match="positive"):
        CONVERTER.convert(network(), INFO, tmp_path / "n.onnx", ConvertOptions(batch))
