from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend.capture import capture
from fdabnn_deploy.frontend.capture.function_module_testing import FunctionModule
from fdabnn_deploy.ir import ops

X = torch.randn(2, 10, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("function", "note"), [
    (lambda x: F.log_softmax(x * 2, dim=1), "log_softmax"),
    (lambda x: F.softmax(x * 2, dim=-1), "softmax"),
    (lambda x: (x * 2).softmax(1), "softmax"),
    (lambda x: torch.log_softmax(x * 2, dim=-1), "log_softmax"),
    (lambda x: nn.Softmax(dim=1)(x * 2), "softmax"),
    (lambda x: torch.softmax(input=x * 2, dim=1), "softmax"),
    (lambda x: F.softmax(x * 2, 1).detach().clone(), "softmax"),
])  # fmt: skip
def test_the_last_one_is_left_out_with_a_note(function: Callable[[Tensor], Tensor], note: str) -> None:
    module = FunctionModule(function).eval()
    captured = capture(module, (10,), without_softmax=True)
    assert captured.notes == (f"the final {note} was left out: it keeps the order of the scores",)
    assert not captured.graph.nodes_of(ops.Softmax)
    for scores in (module(X), copy.deepcopy(module)(X), captured.module(X)):
        assert torch.equal(scores, X * 2)
    assert type(module).__name__ == "FunctionModule"


@pytest.mark.parametrize("function", [
    lambda x: F.softmax(x, dim=1) + 1,
    lambda x: F.softmax(x, dim=0),
    lambda x: x * 2,
])  # fmt: skip
def test_others_stay(function: Callable[[Tensor], Tensor]) -> None:
    module = FunctionModule(function).eval()
    captured = capture(module, (10,), without_softmax=True)
    assert not captured.without_softmax
    assert torch.equal(module(X), function(X))


def test_scores_of_each_pixel_and_of_several_outputs() -> None:
    module = FunctionModule(lambda x: (F.log_softmax(x.view(2, 5, 2, 1), dim=1), F.softmax(x, 1), x)).eval()  # type: ignore[arg-type,return-value]
    captured = capture(module, (10,), without_softmax=True)
    assert captured.notes == (
        "the final log_softmax and softmax were left out: they keep the order of the scores",
    )
    assert [tuple(output.shape) for output in captured.module(X)] == [(2, 5, 2, 1), (2, 10), (2, 10)]
    assert torch.equal(module(X)[1], X)


def test_it_stays_where_nobody_asks() -> None:
    assert capture(FunctionModule(lambda x: F.softmax(x, 1)).eval(), (10,)).graph.nodes_of(ops.Softmax)


def test_what_it_reads_is_kept_as_it_was() -> None:
    def written_afterwards(x: Tensor) -> Tensor:
        y = x * 2
        p = y.softmax(1)
        y.neg_()
        return p

    module = FunctionModule(written_afterwards).eval()
    captured = capture(module, (10,), without_softmax=True)
    assert torch.equal(module(X), X * 2)
    assert torch.equal(captured.module(X), X * 2)


def test_a_class_that_nothing_can_be_derived_from() -> None:
    class Base(nn.Module):
        def __init_subclass__(cls, tag: int) -> None:
            super().__init_subclass__()

    class Net(Base, tag=1):
        def forward(self, x: Tensor) -> Tensor:
            return x.softmax(1)

    with pytest.raises(ModelRefusedError, match="no class can be derived from Net"):
        capture(Net().eval(), (10,), without_softmax=True)
