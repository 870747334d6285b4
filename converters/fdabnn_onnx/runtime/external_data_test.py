from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fdabnn_deploy.errors import FdabnnError, ModelRefusedError, UsageError
from fdabnn_onnx.runtime.external_data import locations, read_model, with_data
from fdabnn_onnx.runtime.onnx_file import length_delimited
from fdabnn_onnx.runtime.onnxruntime import OnnxRuntime

SCALE = np.arange(1, 5, dtype=np.float32).reshape(1, 4)


def plain() -> onnx.ModelProto:
    """y = x * scale + 1, with constants as initialiser and in the nodes of branches."""
    branches = []
    for name, number in (("then_branch", 1), ("else_branch", 2)):
        constant = numpy_helper.from_array(np.full((1, 4), number, np.float32))
        node = helper.make_node("Constant", [], [name], value=constant)
        value = helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4])
        branches.append(helper.make_graph([node], name, [], [value]))
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["x", "scale"], ["m"]),
            helper.make_node("If", ["true"], ["b"], then_branch=branches[0], else_branch=branches[1]),
            helper.make_node("Add", ["m", "b"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(SCALE, "scale"), numpy_helper.from_array(np.array(True), "true")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def save(folder: Path, location: str = "a.data") -> Path:
    path = folder / "a.onnx"
    onnx.save(
        plain(), path, save_as_external_data=True, location=location, size_threshold=0, convert_attribute=True
    )
    return path


@pytest.mark.runtimes
def test_the_content_is_that_of_one_file(tmp_path: Path) -> None:
    path = save(tmp_path)
    assert set(locations(path.read_bytes())) == {"a.data"}
    assert read_model(path) == plain().SerializeToString()
    session = OnnxRuntime().open(path)
    x = np.full((3, 4), 2, np.float32)
    assert np.array_equal(session.run([x])[0], 2 * SCALE.repeat(3, 0) + 1)
    assert len(list(OnnxRuntime().settings(path))) == 8


def test_a_file_of_that_name_in_the_current_folder_is_never_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, elsewhere = tmp_path / "model", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    path = save(folder)
    data = folder / "a.data"
    (elsewhere / "a.data").write_bytes(bytes(len(data.read_bytes())))
    monkeypatch.chdir(elsewhere)
    assert read_model(path) == plain().SerializeToString()
    assert read_model(Path("..", "model", "a.onnx")) == plain().SerializeToString()
    data.unlink()
    with pytest.raises(UsageError, match=r"keeps its data in a\.data, which is not beside it: copy it to "):
        read_model(path)
    monkeypatch.chdir(folder)
    with pytest.raises(UsageError, match="which is not beside it"):
        read_model(Path("a.onnx"))


def relocated(path: Path, **entries: str) -> Path:
    model = onnx.load(path, load_external_data=False)
    (scale,) = (tensor for tensor in model.graph.initializer if tensor.name == "scale")
    for entry in scale.external_data:
        entry.value = entries.pop(entry.key, entry.value)
    for key, text in entries.items():
        scale.external_data.add(key=key, value=text)
    path.write_bytes(model.SerializeToString())
    return path


CASES: dict[str, tuple[dict[str, str], str]] = {
    "absolute": ({"location": "/etc/hostname"}, "is no file inside the model's folder"),
    "above": ({"location": "../a.data"}, "is no file inside the model's folder"),
    "above, deep": ({"location": "b/../../a.data"}, "is no file inside the model's folder"),
    "of Windows": ({"location": "C:\\a.data"}, "is no file inside the model's folder"),
    "above, of Windows": ({"location": "..\\a.data"}, "is no file inside the model's folder"),
    "nothing": ({"location": ""}, "it names no file"),
    "a zero": ({"location": "a\0.data"}, "it names no file"),
    "a folder": ({"location": "folder"}, "is no file"),
    "a link out": ({"location": "link"}, "leads out of the model's folder through a link"),
    "a folder's link out": ({"location": "out/secret"}, "leads out of the model's folder through a link"),
    "behind the end": ({"offset": "4096"}, "ends"),
    "far behind the end": ({"offset": "18446744073709551600"}, "ends"),
    "negative": ({"offset": "-4"}, "bytes at|no number"),
    "no number": ({"offset": "four"}, "its offset or length is no number"),
    "too long": ({"length": "17"}, "it names 17 bytes at 0, and its shape and type hold 16"),
    "too short": ({"length": "15"}, "it names 15 bytes at 0, and its shape and type hold 16"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "folder").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(bytes(4096))
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "out").symlink_to(tmp_path)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_data_elsewhere_or_of_another_size_are_refused(case: str, folder: Path) -> None:
    entries, reason = CASES[case]
    path = relocated(save(folder), **entries)
    with pytest.raises(ModelRefusedError, match=reason):
        read_model(path)


def test_links_inside_and_folders_below_are_taken(tmp_path: Path) -> None:
    path = save(tmp_path)
    (tmp_path / "below").mkdir()
    (tmp_path / "a.data").rename(tmp_path / "below" / "b.data")
    (tmp_path / "a.data").symlink_to(tmp_path / "below" / "b.data")
    assert read_model(path) == plain().SerializeToString()
    assert read_model(relocated(path, location="below/b.data")) == plain().SerializeToString()


def test_a_model_that_never_ends_is_not_read(endless_files: Callable[[str], list[Path]]) -> None:
    for path in endless_files(".onnx"):
        with pytest.raises(UsageError, match=f"{path.stem}.*may never end: save what it gives to a file"):
            read_model(path)


def test_a_device_is_no_data(tmp_path: Path) -> None:
    path = save(tmp_path)
    (tmp_path / "a.data").unlink()
    os.mkfifo(tmp_path / "a.data")
    with pytest.raises(FdabnnError, match=r"'a\.data' is no file"):
        read_model(path)


@pytest.mark.parametrize(
    "content", [b"", b"no model", b"\x3a\xff\xff\xff\xff\x0f", plain().SerializeToString()[:-9]]
)
def test_what_is_no_model_is_given_back(content: bytes, tmp_path: Path) -> None:
    assert with_data(content, tmp_path / "a.onnx") == content


def test_graphs_without_end_are_no_model(tmp_path: Path) -> None:
    content = b""
    for _ in range(400):
        content = length_delimited(1, length_delimited(5, length_delimited(6, content)))
    content = length_delimited(7, content)
    assert with_data(content, tmp_path / "a.onnx") == content
