from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest
import torch
from torch import nn
from torch.nn import DataParallel
from torch.optim.swa_utils import AveragedModel

from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.frontend.checkpoint import from_module
from fdabnn_deploy.frontend.checkpoint.copying import check_copyable, copy_module, without_wrapper

X = torch.zeros(1, 3, 8, 8)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 2)).eval()


def test_what_cannot_be_copied_is_shared_and_what_was_computed_has_no_history(tmp_path: Path) -> None:
    module = net()
    computed = module[0].weight * 2  # type: ignore[index]
    kept = {"lock": threading.Lock(), "numbers": (i for i in range(3)), "computed": computed}
    kept["nested"] = [{"computed": computed}, [threading.Event()], module[0]]  # type: ignore[index]
    for name, value in kept.items():
        setattr(module, name, value)
    with (tmp_path / "log").open("w") as module.log:  # type: ignore[assignment]
        own = copy_module(module, "the network")
    assert own.lock is module.lock
    assert own.nested[0]["computed"] is own.computed  # type: ignore[index]
    assert own.nested[2] is own[0]  # type: ignore[index]
    assert own[0] is not module[0]  # type: ignore[index]
    assert isinstance(own.computed, torch.Tensor)
    assert own.computed.is_leaf
    assert torch.equal(own.computed, computed)
    assert own.computed.data_ptr() != computed.data_ptr()
    assert torch.equal(own(X), module(X))


def test_a_module_that_ran_with_gradients_and_kept_what_it_computed() -> None:
    class Keeps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            kept: torch.Tensor = self.conv(x)
            self.output_ = kept
            return kept

    module = Keeps().eval()
    module(X)
    assert torch.equal(from_module(module, X).module(X), module(X))


def test_a_module_that_forbids_to_be_copied_is_copied_by_its_parts() -> None:
    class Container(nn.Module):
        """Asks its layer for what it does not have, `__deepcopy__` included, and has to be made with one."""

        def __new__(cls, layer: nn.Module) -> Self:
            return super().__new__(cls)

        def __init__(self, layer: nn.Module) -> None:
            super().__init__()
            self.layer, self.again = layer, [layer]

        def __deepcopy__(self, memo: dict[int, object]) -> Container:
            raise RuntimeError("there is only one of me")

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.layer(x)
            return result

    module = nn.Sequential(Container(net()))
    own: Any = copy_module(module, "the network")
    assert own[0].again[0] is own[0].layer
    assert own[0].layer is not module[0].layer
    assert torch.equal(own(X), module(X))
    assert all(a is not b for a, b in zip(own.parameters(), module.parameters(), strict=True))


def test_what_refuses_to_be_copied_at_all_is_said() -> None:
    class Single(nn.Parameter):
        def __deepcopy__(self, memo: dict[int, object]) -> Single:
            raise RuntimeError("there is only one of me")

    module = net()
    module.register_parameter("single", Single(torch.ones(1)))
    with pytest.raises(
        UsageError, match=r"cannot be copied \(there is only one of me\): export a module that is made new"
    ):
        copy_module(module, "the network")


def test_what_was_put_on_a_parameter_is_copied() -> None:
    own = net()
    weight: Any = own.get_parameter("0.weight")
    weight.org = weight * 2
    weight.bits = [1]
    copied: Any = copy_module(own, "the network").get_parameter("0.weight")
    assert torch.equal(copied.org, weight.org)
    assert copied.org is not weight.org
    assert copied.bits == [1]
    assert copied.bits is not weight.bits


def test_wrappers_come_off() -> None:
    inner = net()
    compiled: Any = torch.compile(inner)
    for wrapped in (DataParallel(inner), compiled, DataParallel(compiled)):
        assert without_wrapper(wrapped) is inner
    averaged = AveragedModel(inner)
    assert without_wrapper(averaged) is averaged.module
    assert without_wrapper(inner) is inner


def traced() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module: nn.Module = torch.jit.trace(net(), X)
    return module


def quantised() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module: nn.Module = torch.ao.quantization.quantize_dynamic(net(), {nn.Linear})
    return module


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (traced, "is TorchScript .*load_state_dict"),
        (lambda: net().to("meta"), r"is on the meta device, without numbers in 0\.weight, 0\.bias"),
        (
            lambda: nn.Sequential(nn.LazyConv2d(4, 3)),
            r"has lazy layers that have no weights yet \(0\.weight, 0\.bias\)",
        ),
        (quantised, r"is quantised by PyTorch \(3"),
    ],
)
def test_modules_without_code_or_weights(make: Callable[[], nn.Module], message: str) -> None:
    module = make()
    with pytest.raises(ModelRefusedError, match=message):
        check_copyable(module, "the network")
    with pytest.raises(ModelRefusedError, match=message):
        from_module(module, X)
