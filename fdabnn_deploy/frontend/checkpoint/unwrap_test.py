from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend.checkpoint.unwrap import find_state_dict, shorten

STATE = {"conv.weight": torch.ones(2), "fc.weight": torch.zeros(1)}
OTHER = {"conv.weight": torch.zeros(2), "fc.weight": torch.ones(1)}
LOSS = {"weight": torch.ones(3)}


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"weight": torch.ones(1)},
        {**STATE, "epoch": 3},
        {
            "state_dict": STATE,
            "best_acc": torch.tensor(0.9),
            "optimizer": {"state": {0: {"m": torch.ones(2)}}},
        },
        {"model_state_dict": STATE, "epoch": 1},
        {"net": STATE, "acc": 81.2},
        {"my_own_name": STATE},
        {"checkpoint": {"model": STATE, "criterion": LOSS}},
        {"state_dict": STATE, "optimizer": {"state": {"conv.weight": {"exp_avg": torch.ones(2)}}}},
    ],
)
def test_finds_the_state_dict_where_scripts_put_it(content: dict[str, Any]) -> None:
    found = find_state_dict(content, "a.pt")
    assert all(isinstance(value, Tensor) for value in found.state.values())
    assert found.state.keys() in (STATE.keys(), {"weight"})
    assert found.notes == ()


@pytest.mark.parametrize(
    ("content", "left"),
    [
        ({"state_dict": STATE, "ema": OTHER}, "ema"),
        ({"state_dict": STATE, "state_dict_ema": OTHER, "epoch": 3}, "state_dict_ema"),
        ({"model_ema": OTHER, "model": STATE}, "model_ema"),
        ({"model": STATE, "model_ema": {"module": OTHER}}, "model_ema/module"),
        ({"student": STATE, "teacher": OTHER}, "teacher"),
        (
            {"model": STATE, "model_ema": {"module": 1, "x": {f"module.{k}": v for k, v in OTHER.items()}}},
            "model_ema/x",
        ),
    ],
)
def test_the_trained_network_is_taken_beside_its_average_and_that_is_said(
    content: dict[str, Any], left: str
) -> None:
    found = find_state_dict(content, "a.pt")
    assert all(torch.equal(found.state[key], value) for key, value in STATE.items())
    (note,) = found.notes
    assert f"{left!r} was left out" in note
    # The remedy leads there.
    command = note.partition("save it alone: ")[2]
    saved: list[Any] = []
    loaded = {"torch.save(": "save(", "torch.load(FILE, weights_only=True)": "content"}
    for before, after in loaded.items():
        assert before in command
        command = command.replace(before, after)
    eval(command, {"save": lambda state, _: saved.append(state), "content": content})
    assert [value.tolist() for value in saved[0].values()] == [value.tolist() for value in OTHER.values()]


@pytest.mark.parametrize(
    "content",
    [
        {"online": STATE, "ema": OTHER},
        {"state_dict": STATE, "best_state_dict": OTHER},
        {"state_dict": STATE, "ema": OTHER, "previous": OTHER},
        {"generator": STATE, "discriminator": LOSS},
        {"net": STATE, "previous": OTHER},
        {"model": STATE, "net": OTHER},
    ],
)
def test_several_state_dicts_are_not_guessed_at(content: dict[str, Any]) -> None:
    with pytest.raises(ModelRefusedError, match="several state_dicts") as error:
        find_state_dict(content, "a.pt")
    assert f"{next(iter(content))!r}" in str(error.value)
    assert f"weights_only=True)[{next(iter(content))!r}]" in str(error.value)


@pytest.mark.parametrize("content", [{"epoch": 3}, {"best": torch.ones(1), "epoch": 3}, {}])
def test_no_state_dict(content: dict[str, Any]) -> None:
    with pytest.raises(ModelRefusedError, match="holds no state_dict"):
        find_state_dict(content, "a.pt")


def test_not_a_dict() -> None:
    with pytest.raises(ModelRefusedError, match="holds a Tensor"):
        find_state_dict(torch.ones(1), "a.pt")


def test_long_lists_are_cut() -> None:
    assert shorten(["a", "b"], 2) == "a, b"
    assert shorten(["a", "b", "c"], 2) == "a, b and 1 more"
