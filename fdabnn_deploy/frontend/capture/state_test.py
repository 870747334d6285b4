from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend.capture import capture

Forward = Callable[[Any, Tensor], Tensor]


class Stateful(nn.Module):
    count: Tensor
    kept: Tensor

    def __init__(self, forward: Forward) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(1))
        self.register_buffer("kept", torch.zeros(4, 2, 1, 1))
        self.own = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.own(self, x)


def signs(x: Tensor) -> Tensor:
    return torch.where(x < 0, -1.0, 1.0)


def in_front_of_a_sign(own: Any, x: Tensor) -> Tensor:
    own.count += 1
    return signs(x + 1e-6 * own.count)


def assigned(own: Any, x: Tensor) -> Tensor:
    own.count = own.count + 1
    return signs(x + 1e-6 * own.count)


def of_the_call_before(own: Any, x: Tensor) -> Tensor:
    y = signs(x + 1e-6 * own.count)
    own.count += 1
    return y


def from_the_fifth_call_on(own: Any, x: Tensor) -> Tensor:
    own.count += 1
    result: Tensor = x + (own.count > 5).float()
    return result


def once(own: Any, x: Tensor) -> Tensor:
    y: Tensor = x + own.count
    own.count.fill_(1)
    return y


@pytest.mark.parametrize(
    "forward", [in_front_of_a_sign, assigned, of_the_call_before, from_the_fifth_call_on, once]
)
def test_state_is_refused_by_name(forward: Forward) -> None:
    with pytest.raises(
        ModelRefusedError, match=r"outputs depend on count, which forward\(\) changes at every call"
    ):
        capture(Stateful(forward).eval(), (2, 1, 1))


def counted_only(own: Any, x: Tensor) -> Tensor:
    own.count += 1
    return signs(x)


def written_before_it_is_read(own: Any, x: Tensor) -> Tensor:
    own.kept[: len(x)] = 2 * x
    result: Tensor = own.kept[: len(x)]
    return result


def without_a_number(own: Any, x: Tensor) -> Tensor:
    own.count.clamp_(0, 1)
    result: Tensor = x + own.count / own.count
    return result


@pytest.mark.parametrize("forward", [counted_only, written_before_it_is_read, without_a_number])
def test_what_repeats_itself_is_no_state(forward: Forward) -> None:
    assert capture(Stateful(forward).eval(), (2, 1, 1)).outputs == (0,)
