from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend.checkpoint.copying import copy_module
from fdabnn_deploy.frontend.checkpoint.fit import describe_fit, fit_keys

STATE = {"conv.weight": torch.ones(2), "fc.weight": torch.zeros(1)}


def under(prefix: str, state: dict[str, Tensor] = STATE) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in state.items()}


PREFIXES = (
    "", "module.", "_orig_mod.", "module._orig_mod.", "model.", "net.", "model.net.", "backbone.", "model.module.", "student.encoder.",
    "_fsdp_wrapped_module.",
)  # fmt: skip


@pytest.mark.parametrize("prefix", PREFIXES)
def test_any_prefix_comes_off(prefix: str) -> None:
    fitted = fit_keys(under(prefix), STATE.keys())
    assert fitted.state.keys() == STATE.keys()
    assert not fitted.notes


def test_prefixes_that_the_network_has_stay() -> None:
    wanted = {"model.conv.weight", "model.fc.weight"}
    assert fit_keys(under("module.model."), wanted).state.keys() == wanted
    assert fit_keys(under("model."), wanted).state.keys() == wanted


@pytest.mark.parametrize(
    "state",
    [
        {"features.module.0.weight": 1, "classifier.weight": 2},  # DataParallel around a part
        {"features._orig_mod.0.weight": 1, "classifier._orig_mod.weight": 2},  # torch.compile of parts
        {"module.features._orig_mod.0.weight": 1, "module.classifier.weight": 2},
        {"_orig_mod.model.features.0.weight": 1, "_orig_mod.model.classifier.weight": 2},
    ],
)
def test_wrappers_inside_come_off(state: dict[str, int]) -> None:
    wanted = {"features.0.weight", "classifier.weight"}
    tensors = {key: torch.tensor(value) for key, value in state.items()}
    found = fit_keys(tensors, wanted).state
    assert {key: int(value) for key, value in found.items()} == {
        "features.0.weight": 1,
        "classifier.weight": 2,
    }


def test_a_module_of_the_networks_own_that_is_called_so_stays() -> None:
    wanted = {"features.module.0.weight", "features.0.weight"}
    state = {key: torch.ones(1) for key in wanted}
    assert fit_keys(state, wanted).state.keys() == wanted


@pytest.mark.parametrize(
    ("prefix", "others"),
    [
        (
            "model.",
            ["criterion.weight", "train_acc.confmat", "val_loss.sum", "loss_fn.pos_weight"],
        ),  # Lightning
        ("", ["data_preprocessor.mean", "data_preprocessor.std"]),  # mmengine
        ("backbone.", ["data_preprocessor.mean", "loss_cls.weight"]),  # mmengine
        ("", ["conv.total_ops", "conv.total_params", "total_ops"]),  # thop
        ("module.", ["n_averaged"]),  # weight averaging
        ("model.", ["ema_model.conv.weight"]),
        ("student.", ["teacher.conv.weight", "teacher.bn.weight"]),
    ],
)
def test_what_belongs_to_the_training_is_left_out_and_said(prefix: str, others: list[str]) -> None:
    state = {**{name: torch.ones(1) for name in others}, **under(prefix)}
    fitted = fit_keys(state, STATE.keys(), "a.pt")
    assert fitted.state.keys() == STATE.keys()
    assert all(torch.equal(fitted.state[key], STATE[key]) for key in STATE)
    told = [name for name in others if name != "n_averaged"]
    assert bool(fitted.notes) == bool(told)
    assert all(name in fitted.notes[0] for name in told)


def test_nothing_is_left_out_of_an_incomplete_network() -> None:
    state = {"conv.weight": torch.ones(1), "criterion.weight": torch.ones(1)}
    assert fit_keys(state, STATE.keys()).state.keys() == state.keys()


def test_another_layer_is_not_left_out() -> None:
    state = {**under("model."), "head.weight": torch.ones(1)}
    fitted = fit_keys(state, STATE.keys())
    assert fitted.state.keys() == {*STATE, "head.weight"}
    assert describe_fit(fitted, STATE) == "2 of the network's 2 tensors are there, under the prefix 'model.'"


def test_a_key_beside_the_prefix_never_replaces_one_under_it() -> None:
    fitted = fit_keys({**under("a.b."), "fc.weight": torch.ones(5)}, STATE.keys())
    assert torch.equal(fitted.state["fc.weight"], STATE["fc.weight"])
    assert "(outside) fc.weight" in fitted.state


def test_the_same_network_twice_is_not_guessed_at() -> None:
    with pytest.raises(ModelRefusedError, match=r"2 times, under 'left\.', 'right\.'; save the one you mean"):
        fit_keys({**under("left."), **under("right.")}, STATE.keys())


@pytest.mark.parametrize(
    ("prefix", "average"),
    [
        ("model.", "ema_model."),
        ("model.", "model_ema.module."),
        ("student.", "teacher."),
        ("student.backbone.", "teacher.backbone."),
        ("encoder.", "ema_encoder."),
        ("encoder.", "encoder_swa."),
        ("", "ema."),
    ],
)
def test_a_network_is_taken_beside_its_average_and_that_is_said(prefix: str, average: str) -> None:
    counter = {f"{prefix}bn.num_batches_tracked": torch.ones(1)}
    other = {key: value + 1 for key, value in STATE.items()}
    state = {**under(average, other), **under(prefix), **counter}
    fitted = fit_keys(state, {*STATE, "bn.num_batches_tracked"}, "a.pt")
    assert all(torch.equal(fitted.state[key], STATE[key]) for key in STATE)
    (note,) = fitted.notes
    assert f"{average!r} was left out" in note
    command = note.partition("save it alone: ")[2].replace("torch.save(", "save(")
    saved: list[Any] = []
    eval(command, {"save": lambda found, _: saved.append(found), "state_dict": state})
    assert all(torch.equal(saved[0][key], value) for key, value in other.items())


@pytest.mark.parametrize(
    ("first", "second"),
    [("online_model.", "ema_model."), ("ema.", "teacher."), ("model.", "net."), ("q.", "target_q.")],
)
def test_two_networks_of_which_none_is_said_to_be_the_trained_one_are_refused(
    first: str, second: str
) -> None:
    with pytest.raises(ModelRefusedError, match="2 times, under") as error:
        fit_keys({**under(first), **under(second)}, STATE.keys(), "a.pt")
    assert repr(first) in str(error.value)
    assert repr(second) in str(error.value)


def pruned(amount: float) -> tuple[nn.Module, dict[str, Any]]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    for layer in (net[0], net[2]):
        prune.l1_unstructured(layer, "weight", amount=amount)
    return net, net.state_dict()


def test_pruning_is_applied() -> None:
    net, state = pruned(0.25)
    done = copy_module(net, "the network")
    for layer in (done[0], done[2]):  # type: ignore[index]
        prune.remove(layer, "weight")
    fitted = fit_keys(under("model.", state), done.state_dict().keys())
    assert fitted.state.keys() == done.state_dict().keys()
    assert all(torch.equal(fitted.state[key], value) for key, value in done.state_dict().items())
    assert fitted.notes == (
        "pruning (weight_orig and weight_mask) was applied to 2 tensors: 29 weights are 0",
    )


def test_a_network_that_is_pruned_itself_keeps_its_masks() -> None:
    net, state = pruned(0.25)
    assert fit_keys(state, net.state_dict().keys()).state.keys() == state.keys()
