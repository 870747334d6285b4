from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from fdabnn_deploy.errors import UsageError
from fdabnn_models.training.state import VERSION, checksum, is_sound, read_state, write_state


def state() -> dict[str, Any]:
    return {
        "recipe": {"arch": "tiny", "epochs": 3, "lr": 0.1, "amp": False},
        "data": "ab",
        "finished": 1,
        "rows": [{"epoch": 1, "train_loss": 2.0}],
        "model": {
            "weight": torch.arange(12.0).view(3, 4),
            "n": torch.tensor(9),
            "half": torch.ones(3).bfloat16(),
        },
        "optimizer": {
            "state": {0: {"momentum_buffer": torch.randn(3, 4)}},
            "param_groups": [{"lr": 0.1, "params": [0]}],
        },
    }


def read(path: Path) -> dict[str, Any]:
    return read_state(path, torch.device("cpu"))


def test_state_comes_back_as_it_was(tmp_path: Path) -> None:
    path, content = tmp_path / "net.pt.state", state()
    write_state(path, content)
    back = read(path)
    assert back.pop("state_version") == VERSION
    assert checksum(back) == checksum(content)


def test_every_flipped_bit_of_a_tensor_is_found(tmp_path: Path) -> None:
    path, content = tmp_path / "net.pt.state", state()
    write_state(path, content)
    raw = path.read_bytes()
    start = raw.index(content["model"]["weight"].numpy().tobytes())
    for offset in range(0, 48, 5):
        damaged = bytearray(raw)
        damaged[start + offset] ^= 1 << offset % 8
        path.write_bytes(damaged)
        with pytest.raises(
            UsageError, match=r"(is damaged: its content|is not a readable training state).*delete it"
        ):
            read(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"finished": 4}, "says that 4 of 3 epochs are finished"),
        ({"finished": -1}, "says that -1 of 3"),
        ({"rows": []}, "1 of 3 epochs are finished, with 0 rows"),
        ({"model": {"weight": torch.tensor([1.0, float("nan")])}}, "values of weight that are not finite"),
        ({"more": 1}, "is damaged: its content does not fit its checksum"),
    ],
)
def test_impossible_states_are_refused(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    path = tmp_path / "net.pt.state"
    write_state(path, {**state(), **change})
    with pytest.raises(UsageError, match=reason):
        read(path)


def test_state_of_version_1_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "net.pt.state"
    torch.save({"state_version": 1, **state()}, path)
    with pytest.raises(UsageError, match=rf"state version 1, this one reads {VERSION}\); delete it"):
        read(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="is a pipe"):
        read(tmp_path / "pipe")


def test_order_of_keys_does_not_count_but_values_do() -> None:
    assert checksum({"a": 1, "b": [2.0]}) == checksum({"b": [2.0], "a": 1})
    assert checksum({"a": 1}) != checksum({"a": 1.0})
    assert checksum(torch.zeros(2, 3)) != checksum(torch.zeros(3, 2))
    with pytest.raises(TypeError):
        checksum(object())


def test_loss_of_a_run_that_learns() -> None:
    assert is_sound(2.3, 10)
    assert not is_sound(23.1, 10)
    assert not is_sound(float("nan"), 10)
    assert not is_sound(float("inf"), 10)
