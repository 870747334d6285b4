"""Modules that can be traced although they are written in unusual ways, and the reasons where they cannot."""

from __future__ import annotations

import dataclasses
import threading
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend.capture import capture
from fdabnn_deploy.ir.reference import evaluate

SHAPE = (3, 6, 6)


class CustomLayer(nn.Module):
    """A binary convolution whose forward does something of its own, given as a function of (self, x)."""

    def __init__(self, forward: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.own = forward

    def forward(self, x: Tensor) -> Any:
        return self.own(self, x)


@dataclasses.dataclass
class Structure:
    logits: Tensor


class Pair(NamedTuple):
    logits: Tensor
    features: Tensor


def plain(layer: Any, x: Tensor) -> Tensor:
    return F.conv2d(torch.sign(x), torch.sign(layer.conv.weight))


def module(forward: Callable[[Any, Tensor], Any], **attributes: Any) -> nn.Module:
    torch.manual_seed(0)
    layer = CustomLayer(forward)
    for name, value in attributes.items():
        setattr(layer, name, value)
    return nn.Sequential(nn.Conv2d(3, 3, 1), layer).eval().requires_grad_(False)


def assert_captured(own: nn.Module, *, outputs: int = 1) -> tuple[str, ...]:
    x = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(1))
    captured = capture(own, SHAPE)
    with torch.no_grad():
        expected = torch.utils._pytree.tree_leaves(own(x))
    computed = evaluate(captured.graph, [x.numpy()])
    assert len(computed) == len(captured.outputs) == outputs
    for value, position in zip(computed, captured.outputs, strict=True):
        torch.testing.assert_close(torch.from_numpy(value), expected[position])
    return captured.notes


def counts(layer: Any, x: Tensor) -> Tensor:
    layer.seen.fill_(x.numel())
    layer.seen += 1
    return plain(layer, x)


def keeps(layer: Any, x: Tensor) -> Tensor:
    layer.output_ = plain(layer, x)
    result: Tensor = layer.output_
    return result


def computes_in_vain(layer: Any, x: Tensor) -> Tensor:
    layer.statistic = torch.erf(x).cumsum(0).max()
    return plain(layer, x)


@pytest.mark.parametrize("own", [
    module(counts, seen=torch.zeros(1)),
    module(keeps),
    module(keeps, output_=torch.zeros(5, 4, 4, 4)),
    module(computes_in_vain),
])  # fmt: skip
def test_what_no_output_depends_on_goes_first(own: nn.Module) -> None:
    assert assert_captured(own) == ()


@pytest.mark.parametrize(("returned", "kept", "notes"), [
    (lambda y: (y, None), 1, ["output 2 of 2 is None and was left out"]),
    (lambda y: (None, y), 1, ["output 1 of 2 is None and was left out"]),
    (lambda y: {"logits": y, "scale": 3, "table": torch.ones(2, 7)}, 1,
     ["output 2 of 3 is 3 and was left out", "output 3 of 3 does not depend on the input and was left out"]),
    (lambda y: [y, (y * 2, None)], 2, ["output 3 of 3 is None and was left out"]),
])  # fmt: skip
def test_outputs_that_are_none_or_constant_are_left_out(
    returned: Callable[[Tensor], Any], kept: int, notes: list[str]
) -> None:
    assert assert_captured(module(lambda layer, x: returned(plain(layer, x))), outputs=kept) == tuple(notes)


def test_a_model_without_an_output_that_depends_on_its_input() -> None:
    with pytest.raises(
        ModelRefusedError, match=r"no output of the model depends on its input .output 1 of 2 does not"
    ):
        capture(module(lambda layer, x: (torch.ones(2), None)), SHAPE)


def test_state_that_reaches_an_output_is_refused() -> None:
    def counted(layer: Any, x: Tensor) -> Tensor:
        layer.seen += 1
        result: Tensor = plain(layer, x) * layer.seen
        return result

    with pytest.raises(
        ModelRefusedError, match=r"depend on 1\.seen, which forward\(\) changes at every call"
    ):
        capture(module(counted, seen=torch.zeros(1)), SHAPE)


def test_a_number_that_is_taken_from_a_buffer_is_a_constant() -> None:
    assert_captured(module(takes_a_number, temperature=torch.tensor(0.5)))


def test_a_weight_that_is_clamped_in_place_is_no_state() -> None:
    def clamped(layer: Any, x: Tensor) -> Tensor:
        layer.conv.weight.clamp_(-0.1, 0.1)
        return plain(layer, x)

    assert_captured(module(clamped))


def branches_on_the_input(layer: Any, x: Tensor) -> Any:
    return plain(layer, x) if x.sum() > 0 else plain(layer, -x)


def takes_a_number(layer: Any, x: Tensor) -> Any:
    return plain(layer, x) * layer.temperature.item()


class Helper:
    """Code of the user's that is no module."""

    @staticmethod
    def sharpen(x: Tensor) -> Tensor:
        return x if bool(x.max() > 1) else 2 * x


REASONS = [
    (branches_on_the_input, "a branch on the value of a tensor computed from the input", "x.sum() > 0", "torch.where"),
    (lambda layer, x: Helper.sharpen(plain(layer, x)), "computed from the input in module '1'", "bool(x.max() > 1)", "torch.where"),
]  # fmt: skip


@pytest.mark.parametrize(("forward", "what", "statement", "remedy"), REASONS)
def test_what_cannot_be_traced_is_named_with_module_line_and_remedy(
    forward: Callable[[Any, Tensor], Any], what: str, statement: str, remedy: str
) -> None:
    own = module(forward)
    before = {name: value.clone() for name, value in own.state_dict().items()}
    with pytest.raises(ModelRefusedError) as error:
        capture(own, SHAPE)
    text = str(error.value)
    assert all(part in text for part in (what, "trace_test.py:", statement, remedy)), text
    assert "github" not in text
    assert all(torch.equal(value, before[name]) for name, value in own.state_dict().items())


def test_a_model_that_does_not_run_says_so_and_not_that_it_cannot_be_traced() -> None:
    with pytest.raises(
        ModelRefusedError,
        match=r"does not run on an input of shape \(2, 3, 2, 2\): RuntimeError: .*--input-shape",
    ):
        capture(module(plain), (3, 2, 2))

    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    with pytest.raises(
        ModelRefusedError,
        match=r"TypeError: .*missing 1 required positional argument.*more than that one input",
    ):
        capture(Two().eval(), SHAPE)


def test_dropout_that_is_on_in_eval_mode_is_refused_when_it_is_deployed() -> None:
    from fdabnn_deploy.transforms.deploy import deploy

    with pytest.raises(ModelRefusedError, match=r"'dropout' is on in eval mode.*training=self\.training"):
        deploy(capture(module(lambda layer, x: F.dropout(plain(layer, x))), SHAPE))


def test_threads_trace_one_after_the_other() -> None:
    filters = list(warnings.filters)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            assert_captured(module(plain))
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert warnings.filters == filters


def test_an_output_of_an_unknown_class_is_named_with_a_remedy() -> None:
    def structure(layer: Any, x: Tensor) -> Any:
        return Structure(plain(layer, x))

    with pytest.raises(
        ModelRefusedError, match="returns a Structure, which tracing does not look into; return tensors"
    ):
        capture(module(structure), SHAPE)
    assert_captured(module(lambda layer, x: {"a": (plain(layer, x), [x])}), outputs=2)
    assert_captured(module(lambda layer, x: Pair(plain(layer, x), x)), outputs=2)
