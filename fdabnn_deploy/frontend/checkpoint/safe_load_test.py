from __future__ import annotations

import argparse
import hashlib
import io
import os
import pickle
import sys
import tarfile
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.frontend.checkpoint.inert import Attributes
from fdabnn_deploy.frontend.checkpoint.safe_load import load_file


class Payload:
    """A pickle of it runs a shell command when it is opened without care."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.victim}",)


def saved(content: Any, *, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def refusal(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(ModelRefusedError) as error:
        load_file(path)
    text = str(error.value)
    assert text.startswith(str(path))
    return text


both_forms = pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])


@both_forms
def test_tensors_come_back_with_checksum_and_size(tmp_path: Path, legacy: bool) -> None:
    content = {"a.weight": torch.arange(6.0).view(2, 3), "n": torch.tensor(9), "h": torch.ones(2).half()}
    data = saved(content, legacy=legacy)
    (tmp_path / "a.pt").write_bytes(data)
    file = load_file(tmp_path / "a.pt")
    assert all(torch.equal(file.content[key], value) for key, value in content.items())
    assert (file.sha256, file.bytes) == (hashlib.sha256(data).hexdigest(), len(data))


@both_forms
def test_values_that_lie_beside_tensors(tmp_path: Path, legacy: bool) -> None:
    content = {
        "state_dict": {"w": torch.ones(1)},
        "best": np.float64(81.25),
        "loss": np.float32(0.5),
        "epoch": np.int64(-7),
        "flag": np.bool_(True),
        "mean": np.array([0.25, 0.5, 0.75]),
        "big_endian": np.array([1, 2], dtype=">i2"),
        "args": argparse.Namespace(lr=0.1, out=Path("runs/a")),
        "size": torch.Size([3]),
    }
    (tmp_path / "a.pt").write_bytes(saved(content, legacy=legacy))
    read = load_file(tmp_path / "a.pt").content
    assert (read["best"], read["loss"], read["epoch"], read["flag"]) == (81.25, 0.5, -7, True)
    assert read["mean"].tolist() == [0.25, 0.5, 0.75]
    assert read["big_endian"].tolist() == [1, 2]
    assert isinstance(read["args"], Attributes)
    assert (read["args"].lr, str(read["args"].out)) == (0.1, "runs/a")  # type: ignore[attr-defined]


def test_numpy_1_and_2_spell_their_core_differently(tmp_path: Path) -> None:
    data = saved({"best": np.float64(81.25), "mean": np.array([0.5])}, legacy=True)
    ours, other = b"cnumpy._core.multiarray", b"cnumpy.core.multiarray"
    if other in data:
        ours, other = other, ours
    assert ours in data
    (tmp_path / "a.pt").write_bytes(data.replace(ours, other))
    content = load_file(tmp_path / "a.pt").content
    assert (content["best"], content["mean"].tolist()) == (81.25, [0.5])


@both_forms
def test_tensors_saved_on_a_gpu(tmp_path: Path, legacy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:1")
    data = saved({"w": torch.ones(3)}, legacy=legacy)
    monkeypatch.undo()
    assert b"cuda:1" in data
    (tmp_path / "a.pt").write_bytes(data)
    assert load_file(tmp_path / "a.pt").content["w"].device.type == "cpu"


@pytest.mark.parametrize("form", ["zip", "legacy", "plain pickle", "beside tensors"])
def test_code_does_not_run(tmp_path: Path, form: str) -> None:
    victim = tmp_path / "victim"
    payload = Payload(victim)
    pickle.loads(pickle.dumps(payload))
    assert victim.exists()  # the payload is real
    victim.unlink()
    data = {
        "zip": lambda: saved(payload),
        "legacy": lambda: saved(payload, legacy=True),
        "plain pickle": lambda: pickle.dumps(payload),
        "beside tensors": lambda: saved({"state_dict": {"w": torch.ones(1)}, "extra": payload}),
    }[form]()
    text = refusal(tmp_path / "evil.pt", data)
    assert "run code" in text
    assert form == "plain pickle" or "posix.system" in text
    assert not victim.exists()


@both_forms
def test_a_whole_network_is_named_as_one(tmp_path: Path, legacy: bool) -> None:
    text = refusal(tmp_path / "a.pt", saved({"model": nn.Sequential(nn.Linear(2, 2))}, legacy=legacy))
    assert "whole pickled network" in text
    assert "torch.save(model.state_dict()" in text


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_script_and_export_archives(tmp_path: Path) -> None:
    module = nn.Linear(2, 2)
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(module, torch.ones(1, 2)), buffer)
    assert "TorchScript" in refusal(tmp_path / "a.pt", buffer.getvalue())
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(module, (torch.ones(1, 2),)), buffer)
    assert "torch.export" in refusal(tmp_path / "a.pt", buffer.getvalue())


def test_other_kinds_of_files_are_named(tmp_path: Path) -> None:
    npz = io.BytesIO()
    np.savez(npz, a=np.ones(2))
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("word/document.xml", "<a/>")
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as packed:
        packed.addfile(tarfile.TarInfo("a"))
    for data, kind in (
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "PNG"),
        (b"\xff\xd8\xff\xe0" + bytes(40), "JPEG"),
        (b"epoch,loss\n1,0.5\n", "text file"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
        (len(b'{"a":{}}').to_bytes(8, "little") + b'{"a":{}}' + bytes(8), "safetensors"),
        (b"\x08\x08\x12\x07pytorch" + b"\x3a\xff\xff\x01\xfe" + bytes(30), "ONNX"),
        (b"\x1c\x00\x00\x00TFL3" + bytes(40), "TFLite"),
        (b"\x1f\x8b\x08" + bytes(40), "gzip"),
        (pickle.dumps({"a": 1}), "plain pickle"),
        (bytes(100), "zeros"),
        (bytes(range(128, 256)), "unknown kind"),
        (npz.getvalue(), "npz"),
        (other.getvalue(), "word/document.xml"),
        (tar.getvalue(), "tar archive"),
        (b"", "is empty"),
    ):
        assert kind in refusal(tmp_path / "a.pt", data)


def test_a_missing_file_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        load_file(tmp_path / "a.pt")
    with pytest.raises(UsageError, match="is a folder"):
        load_file(tmp_path)


@both_forms
def test_every_truncation_gives_one_clear_error(tmp_path: Path, legacy: bool) -> None:
    data = saved(
        {"state_dict": {"a.weight": torch.randn(8, 8), "b": torch.randn(3)}, "epoch": 3}, legacy=legacy
    )
    for size in range(1, len(data), 1 if legacy else 7):
        text = refusal(tmp_path / "a.pt", data[:size])
        assert "damaged" in text or "cut off" in text or size < 32
        assert "\n" not in text


ZIP = saved({"state_dict": {"a.weight": torch.arange(64.0).view(8, 8)}, "epoch": 3})
LEGACY = saved({"state_dict": {"a.weight": torch.arange(64.0).view(8, 8)}, "epoch": 3}, legacy=True)


@settings(max_examples=150)
@given(st.booleans(), st.integers(0, 10**6), st.integers(1, 255))
def test_a_flipped_byte_never_gives_other_weights_or_a_crash(
    tmp_path_factory: pytest.TempPathFactory, legacy: bool, position: int, change: int
) -> None:
    data = bytearray(LEGACY if legacy else ZIP)
    data[position % len(data)] ^= change
    path = tmp_path_factory.getbasetemp() / "flipped.pt"
    path.write_bytes(data)
    try:
        content = load_file(path).content
    except ModelRefusedError:
        return
    # The legacy form has no checksums. In a zip, bytes outside the members (padding, dates) do not matter.
    if not legacy:
        assert torch.equal(content["state_dict"]["a.weight"], torch.arange(64.0).view(8, 8))
        assert content["epoch"] == 3


@pytest.mark.parametrize("size", [128, 384, 640, 896, 1152, 1408, 2, 200])
def test_safetensors_of_any_header_length_are_called_so(tmp_path: Path, size: int) -> None:
    header = b"{}" if size == 2 else b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    data = size.to_bytes(8, "little") + header.ljust(size) + bytes(4)
    text = refusal(tmp_path / "a.safetensors", data)
    assert "a safetensors file" in text or size == 2
    assert "run code" not in text


def test_a_mindspore_checkpoint_is_called_so(tmp_path: Path) -> None:
    tensor = b"\x08\x01\x12\x07Float32\x1a\x04" + bytes(4)
    value = b"\x0a\x0cconv1.weight\x12" + bytes([len(tensor)]) + tensor
    text = refusal(tmp_path / "a.ckpt", (b"\x0a" + bytes([len(value)]) + value) * 3)
    assert "a MindSpore checkpoint" in text
    assert "moving_mean" in text


def test_what_never_ends_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    for path in (tmp_path / "pipe.pt", Path("/dev/zero"), Path("/dev/urandom")):
        with pytest.raises(UsageError, match="which may never end: save what it gives to a file"):
            load_file(path)
    with pytest.raises(UsageError, match="holds a NUL character"):
        load_file(Path("a\0.pt"))


def test_an_archive_that_expands_too_far_is_not_unpacked(tmp_path: Path) -> None:
    stored = zipfile.ZipFile(io.BytesIO(saved({"w": torch.zeros(1 << 20)})))
    with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in stored.namelist():
            archive.writestr(name, stored.read(name))
    with pytest.raises(UsageError, match=r"expands to 4(\.\d+)? MiB, more than the 1 MiB .*--memory-limit"):
        load_file(tmp_path / "a.pt", 1 << 20)


class HistoryBuffer:
    """Stands for mmengine's, by its name in the pickle."""

    def __init__(self) -> None:
        self._log_history = np.arange(3.0)
        self._max_length = 10


class AttributeDict(dict[str, Any]):
    """Stands for Lightning's."""


@both_forms
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (HistoryBuffer, "mmengine.logging.history_buffer"),
        (AttributeDict, "lightning_fabric.utilities.data"),
        (AttributeDict, "pytorch_lightning.utilities.parsing"),
    ],
)
def test_what_frameworks_save_beside_the_weights(
    tmp_path: Path, legacy: bool, kind: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        module = types.ModuleType(".".join(parts[:end]))
        monkeypatch.setitem(sys.modules, module.__name__, module)
    setattr(module, kind.__name__, kind)
    monkeypatch.setattr(kind, "__module__", name)
    other = kind()
    if isinstance(other, dict):
        other.update(lr=0.1, layers=[1, 2])
    (tmp_path / "a.pt").write_bytes(saved({"state_dict": {"a.b": torch.ones(1)}, "x": other}, legacy=legacy))
    monkeypatch.undo()
    content = load_file(tmp_path / "a.pt").content
    assert torch.equal(content["state_dict"]["a.b"], torch.ones(1))
    if kind is AttributeDict:
        assert content["x"] == {"lr": 0.1, "layers": [1, 2]}
