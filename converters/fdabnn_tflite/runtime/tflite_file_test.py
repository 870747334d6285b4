from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fdabnn_deploy.conformance import network
from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.ir.ops import BinaryConv2d, BinaryLinear
from fdabnn_deploy.native import runner_path
from fdabnn_tflite.runtime.flatbuffer import DamagedError, root
from fdabnn_tflite.runtime.tflite_file import DIGEST_KEY, IDENTIFIER, INT32, parse_tflite, read_tflite


@pytest.mark.runtimes
def test_a_file_is_read_without_tensorflow(tflite_path: Path) -> None:
    file = read_tflite(tflite_path)
    graph = network()
    assert [file.tensors[i].name for i in file.inputs] == list(graph.inputs)
    assert [file.tensors[i].name for i in file.outputs] == list(graph.outputs)
    assert [file.tensors[i].shape for i in file.inputs] == [(1, 9, 9, 3), (1, 4)]
    counts = file.op_counts()
    assert counts["LceBconv2d"] == len(graph.nodes_of(BinaryConv2d, BinaryLinear))
    assert sum(counts.values()) == len(file.operators)
    assert not [name for name in counts if name.startswith("builtin")]
    assert list(counts) == sorted(counts)
    assert file.metadata["mean"] == "[0.5, 0.25, 0.125]"
    weights = [tensor for tensor in file.tensors if tensor.name == "conv1/weight"]
    assert [(tensor.type, tensor.constant) for tensor in weights] == [(INT32, True)]
    for operator in file.operators:
        assert all(-1 <= index < len(file.tensors) for index in (*operator.inputs, *operator.outputs))


@pytest.mark.runtimes
def test_a_patched_file_has_other_outputs_and_batch_and_nothing_else(tflite_path: Path) -> None:
    file = read_tflite(tflite_path)
    assert file.patched(file.outputs, batch=1) == file.data
    wanted = tuple(operator.outputs[0] for operator in file.operators)
    # Its checksum is the old one, so it is read as a file without.
    changed = file.patched(wanted, batch=5).replace(DIGEST_KEY.encode(), b"x" * len(DIGEST_KEY))
    again = parse_tflite(changed)
    assert again.outputs == wanted
    assert again.operators == file.operators
    assert [again.tensors[i].shape[0] for i in again.inputs] == [5, 5]
    assert len(changed) - len(file.data) <= 4 * (len(wanted) + 1) + 16


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing\.tflite"):
        read_tflite(tmp_path / "nothing.tflite")
    with pytest.raises(UsageError, match="is a folder; name the TFLite file in it"):
        read_tflite(tmp_path)


def test_what_never_ends_is_not_read(endless_files: Callable[[str], list[Path]]) -> None:
    for path in endless_files(".tflite"):
        with pytest.raises(UsageError, match=f"{path.stem}.*may never end: save what it gives to a file"):
            read_tflite(path)


@pytest.mark.parametrize(
    "content", [b"", b"TFL3", b"PK\x03\x04" + bytes(100), b"\x00" * 4 + b"TFL3" + b"\xff" * 64]
)
def test_another_kind_of_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelRefusedError, match=r"other\.tflite is damaged or not a TFLite file"):
        read_tflite(path)


@pytest.mark.runtimes
def test_every_cut_file_is_refused(tflite_path: Path) -> None:
    data = tflite_path.read_bytes()
    for size in [*range(64), *range(64, len(data), 37), len(data) - 1]:
        with pytest.raises(DamagedError):
            parse_tflite(data[:size])


@pytest.mark.runtimes
def test_every_changed_bit_is_seen(tflite_path: Path) -> None:
    data = tflite_path.read_bytes()
    key = data.index(DIGEST_KEY.encode())
    rng = np.random.default_rng(0)
    for place in rng.choice(len(data), 400, replace=False):
        if key <= place < key + len(DIGEST_KEY):
            continue
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(rng.integers(8))
        with pytest.raises(DamagedError):
            parse_tflite(bytes(damaged))


@pytest.fixture
def unsigned(tflite_path: Path) -> bytes:
    """The same file as if another tool had written it, without a checksum."""
    return tflite_path.read_bytes().replace(DIGEST_KEY.encode(), b"x" * len(DIGEST_KEY))


@pytest.mark.runtimes
def test_a_file_without_checksum_is_read(unsigned: bytes) -> None:
    assert DIGEST_KEY not in parse_tflite(unsigned).metadata


@pytest.mark.runtimes
def test_constants_of_another_size_than_their_shape_are_refused(unsigned: bytes) -> None:
    file = parse_tflite(unsigned)
    index = next(i for i, tensor in enumerate(file.tensors) if tensor.name == "classifier/weight")
    shape = np.array(file.tensors[index].shape, dtype="<i4")
    assert shape.tolist() == [5, 12]
    damaged = unsigned.replace(shape.tobytes(), np.array([6, 12], dtype="<i4").tobytes())
    with pytest.raises(DamagedError, match=r"240 bytes and shape \(6, 12\)"):
        parse_tflite(damaged)


@pytest.mark.runtimes
def test_constants_without_values_are_constants(unsigned: bytes, tmp_path: Path) -> None:
    """TensorFlow's converter writes them for slices of length 0; nothing computes them."""
    model = root(unsigned, IDENTIFIER)
    tables = list(next(model.tables(2)).tables(0))
    tensor = next(table for table in tables if table.string(3) == "classifier/weight")
    shape, data = tensor.span(0, 4), list(model.tables(4))[tensor.number(2, "<I")].span(0, 1)
    assert shape is not None
    assert data is not None
    changed = bytearray(unsigned)
    struct.pack_into("<i", changed, shape[0], 0)
    struct.pack_into("<I", changed, data[0] - 4, 0)
    empty = parse_tflite(bytes(changed))
    weight = next(tensor for tensor in empty.tensors if tensor.name == "classifier/weight")
    assert weight.shape == (0, 12)
    assert weight.constant
    # The runner reads it alike: what it lacks is the runtime.
    path = tmp_path / "empty.tflite"
    path.write_bytes(changed)
    done = subprocess.run(
        [runner_path(), str(path), "--runtime", "/none"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("does not exist")) == (6, 1), done.stderr


@pytest.mark.runtimes
def test_operators_out_of_order_are_refused(unsigned: bytes) -> None:
    file = parse_tflite(unsigned)
    conv = next(operator for operator in file.operators if operator.name == "LceBconv2d")
    own = np.array([len(conv.inputs), *conv.inputs], dtype="<i4").tobytes()
    circular = np.array([len(conv.inputs), conv.outputs[0], *conv.inputs[1:]], dtype="<i4").tobytes()
    with pytest.raises(DamagedError, match="LceBconv2d reads a tensor that nothing has written"):
        parse_tflite(unsigned.replace(own, circular))
