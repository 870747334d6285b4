from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fdabnn_deploy.frontend.capture import capture
from fdabnn_deploy.frontend.capture.function_module_testing import FunctionModule
from fdabnn_deploy.ir.sign_zero import SignZero
from fdabnn_deploy.verify.zeros.zeros_at_signs import count_sign_zeros


class Signs(nn.Module):
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Identity()
        self.register_buffer("weight", torch.tensor([[1.0, 0.0], [1.0, -2.0]]))

    def forward(self, x: Tensor) -> Tensor:
        return torch.sign(x.flatten(1)) @ torch.sign(self.weight) + (x.flatten(1) > 0).float()


def test_counts_zeros_of_activations_only_and_reports_their_effect() -> None:
    captured = capture(Signs().eval(), (2, 1, 1))
    images = np.array([[1.0, -1.0], [0.0, 2.0], [-0.0, 0.0]], dtype=np.float32).reshape(3, 2, 1, 1)
    report = count_sign_zeros(captured, images)
    # Three zeros at the sign and the same three at the comparison; the odd image out is repeated to fill a batch of two.
    assert report.zeros == {"model": 2 * (1 + 2 + 2)}
    # The comparison is deployed as it is written.
    assert report.changed == 1 + 2 + 2
    assert report.images == 3
    # Second image: sign (0, 1) -> (1, 1): logits (1, -1) -> (2, -1); third: sign (0, 0) -> (1, 1).
    assert report.largest_change == 2.0
    assert 0 <= report.top1_agreement <= 1
    exact = count_sign_zeros(captured, images, "exact")
    assert (exact.changed, exact.largest_change, exact.top1_agreement) == (0, 0.0, 1.0)
    assert exact.zeros == report.zeros


def test_no_zeros() -> None:
    captured = capture(Signs().eval(), (2, 1, 1))
    report = count_sign_zeros(captured, np.full((4, 2, 1, 1), 0.5, dtype=np.float32))
    assert report.total == 0
    assert report.top1_agreement == 1.0
    assert report.largest_change == 0.0


def mended(x: Tensor) -> Tensor:
    y = torch.sign(x)
    y[y == 0] = 1
    return y


SPELLINGS: dict[str, tuple[Callable[[Tensor], Tensor], bool]] = {
    "sign": (torch.sign, True),
    "sgn": (torch.sgn, True),
    "difference": (lambda x: (x > 0).float() - (x < 0).float(), True),
    "nested where": (lambda x: torch.where(x > 0, 1.0, torch.where(x < 0, -1.0, 0.0)), True),
    "scaled": (lambda x: 0.3 * torch.sign(x), True),
    "straight-through": (lambda x: (torch.sign(x) - torch.tanh(x)).detach() + torch.tanh(x), True),
    "strict": (lambda x: 2 * (x > 0).float() - 1, False),
    "not strict": (lambda x: torch.where(x < 0, -1.0, 1.0), False),
    "mended": (mended, False),
    "heaviside": (lambda x: torch.heaviside(x, torch.tensor(1.0)), False),
}


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize(("sign_zero", "change"), [("plus", 1), ("minus", -1), ("exact", 0)])
def test_every_way_of_writing_a_sign(name: str, sign_zero: SignZero, change: float) -> None:
    spell, three_valued = SPELLINGS[name]
    captured = capture(FunctionModule(spell).eval(), (2, 1, 2))
    images = np.array([[1, 0, -0.0, -1], [2, 3, 4, 0]], dtype=np.float32).reshape(2, 2, 1, 2)
    report = count_sign_zeros(captured, images, sign_zero)
    assert report.zeros == {"model": 3}
    assert report.values == 8
    assert report.changed == (3 if three_valued and change else 0)
    scale = 0.3 if name == "scaled" else 1.0
    assert report.largest_change == pytest.approx(scale * abs(change) if three_valued else 0)


def test_outputs_of_any_type_and_of_one_number_per_image() -> None:
    images = np.array([[1.0, -1.0], [0.0, 2.0]], dtype=np.float32).reshape(2, 2, 1, 1)
    for after, largest in (
        (lambda y: y[:, 0], 1.0),
        (lambda y: torch.sign(y[:, 0]) * 2, 2.0),
        # A comparison of a sign is a step of two values, deployed as written.
        (lambda y: y > 0, 0.0),
        (lambda y: (y > 0).long(), 0.0),
    ):
        network = FunctionModule(lambda x, after=after: after(torch.sign(x.flatten(1)))).eval()  # type: ignore[misc]
        report = count_sign_zeros(capture(network, (2, 1, 1)), images)
        assert report.largest_change == largest
