from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_models.architectures.resnet_cifar import resnet20
from fdabnn_models.training.initial import initialise


def test_weights_are_copied_and_the_schedule_stays(tmp_path: Path) -> None:
    torch.manual_seed(1)
    source, target = resnet20(), resnet20()
    state = {f"module.{name}": value + 0 for name, value in source.state_dict().items()}
    state["module.conv1.weight"] = torch.zeros(16, 1, 3, 3)
    state["module.other"] = torch.zeros(3)
    del state["module.linear.bias"]
    for name in state:
        if name.endswith(".alpha"):
            state[name] = torch.tensor(0.05)
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "a.pt")
    before = target.state_dict()["conv1.weight"].clone()
    found = initialise(target, tmp_path / "a.pt")
    now = target.state_dict()
    assert torch.equal(now["layer2.1.conv1.weight"], source.state_dict()["layer2.1.conv1.weight"])
    assert torch.equal(now["conv1.weight"], before)
    assert now["layer1.0.conv1.alpha"] == 0
    assert (found.absent, found.misshapen, found.unused) == (("linear.bias",), ("conv1.weight",), ("other",))
    assert found.lines()[1:] == [
        "  not in the file, so as made (1): linear.bias",
        "  of another shape, so as made (1): conv1.weight",
        "  only in the file (1): other",
    ]


def test_files_that_give_nothing_are_refused(tmp_path: Path) -> None:
    torch.save({"a.weight": torch.zeros(2, 2)}, tmp_path / "a.pt")
    with pytest.raises(
        UsageError, match=r"no weight of it fits the network; it has a\.weight, wanted are weight"
    ):
        initialise(nn.Linear(3, 2, bias=False), tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(b"text")
    with pytest.raises(ModelRefusedError):
        initialise(nn.Linear(3, 2), tmp_path / "b.pt")
