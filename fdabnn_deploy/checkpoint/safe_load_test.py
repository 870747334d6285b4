from __future__ import annotations

import argparse
import hashlib
import io
import os
import pickle
import tarfile
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

from fdabnn_deploy.checkpoint.inert import Attributes
from fdabnn_deploy.checkpoint.safe_load import load_file
from fdabnn_deploy.errors import ModelRefusedError, UsageError


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
