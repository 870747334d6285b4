from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fdabnn_deploy.frontend.capture import capture
from fdabnn_deploy.ir.expression import Expression, literal
from fdabnn_deploy.ir.ops import FloatArray, TrainedLinear
from fdabnn_deploy.transforms.signs.binary_weight import BinaryWeight, binary_weight


class Spelled(nn.Module):
    """A dense layer of signs whose weight is written in a given way."""

    def __init__(self, weight: Tensor, spelling: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.spelling = spelling

    def effective(self) -> Tensor:
        w = self.weight
        scale = w.abs().mean(1, keepdim=True)
        match self.spelling:
            case "channel scale":
                return scale * torch.sign(w)
            case "tensor scale":
                return torch.where(w < 0, -1.0, 1.0) * w.abs().mean()
            case "straight-through":
                c = torch.clamp(w, -1, 1)
                return (scale * torch.sign(w)).detach() - c.detach() + c
            case "IR-Net":
                s = (w - w.mean(1, keepdim=True)) / w.std(1, keepdim=True)
                return torch.sign(s) * torch.pow(2, torch.round(torch.log2(s.abs().mean(1, keepdim=True))))
            case "comparison":
                return ((w >= 0).float() * 2 - 1) * -scale
            case "noise":
                return torch.sign(w) + 0.0 * torch.sin(w)
            case "half on":
                return torch.sign(w) + 0.05 * torch.sin(w)
            case "float":
                return w
        raise AssertionError(self.spelling)

    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.linear(torch.sign(x), self.effective())


def expression_of(weight: Tensor, spelling: str) -> tuple[Expression, FloatArray]:
    module = Spelled(weight, spelling).eval()
    node = capture(module, (weight.shape[1],)).graph.nodes_of(TrainedLinear)[0]
    assert isinstance(node.op, TrainedLinear)
    return node.op.weight, module.effective().detach().numpy()


@pytest.mark.parametrize(
    "spelling", ["channel scale", "tensor scale", "straight-through", "IR-Net", "comparison", "noise"]
)
def test_spellings_of_a_binary_weight(spelling: str) -> None:
    torch.manual_seed(1)
    expression, effective = expression_of(torch.randn(5, 7), spelling)
    weight = binary_weight(expression)
    assert isinstance(weight, BinaryWeight)
    assert weight.zeros == ()
    assert weight.float32_disagreements == 0
    assert np.all(weight.scale > 0)
    np.testing.assert_allclose(weight.scale[:, None] * weight.signs, effective, rtol=1e-6)


def test_zeros_are_a_third_value_and_listed() -> None:
    latent = torch.tensor([[0.5, 0.0, -0.5], [-0.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    weight = binary_weight(expression_of(latent, "channel scale")[0])
    assert isinstance(weight, BinaryWeight)
    assert weight.signs.tolist() == [[1, 1, -1], [1, 1, 1], [1, 1, 1]]
    # A channel whose scale is 0 has no unresolved zeros: its product is 0 whatever the signs are.
    assert weight.zeros == (1, 3)
    np.testing.assert_array_equal(weight.scale, [1 / 3, 2 / 3, 0])
    first, second = weight.planes()
    np.testing.assert_array_equal((first + second) / 2, [[1, 0, -1], [0, 1, 1], [1, 1, 1]])


def test_weights_stored_as_signs_need_no_sign_in_the_code() -> None:
    weight = binary_weight(expression_of(torch.tensor([[1.0, -1.0], [-0.5, 0.5]]), "float")[0])
    assert isinstance(weight, BinaryWeight)
    np.testing.assert_array_equal(weight.scale, [1, 0.5])


@pytest.mark.parametrize(
    ("latent", "spelling", "reason"),
    [
        ([[1.0, -2.0]], "float", "not passed through a sign"),
        ([[1.0, -2.0, 3.0]], "half on", "takes 3 different magnitudes in output channel 0"),
        ([[1.0, float("nan")]], "channel scale", "not finite"),
    ],
)
def test_reasons(latent: list[list[float]], spelling: str, reason: str) -> None:
    verdict = binary_weight(expression_of(torch.tensor(latent), spelling)[0])
    assert isinstance(verdict, str)
    assert reason in verdict


def test_two_values_that_are_not_opposite() -> None:
    w = Expression("parameter", (), np.array([[1, -1, 2], [0.5, 1, 2]], np.float32), "w")
    sign = Expression("sign", (w,), np.sign(w.value))
    offset = literal(np.array([[0.25], [0.5]], np.float32))
    weight = binary_weight(Expression("add", (sign, offset), sign.value + offset.value))
    assert isinstance(weight, BinaryWeight)
    np.testing.assert_array_equal(weight.values, [[1.25, -0.75, 1.25], [1.5, 1.5, 1.5]])
    np.testing.assert_array_equal(weight.offset, [0.25, 1.5])
    np.testing.assert_array_equal(weight.scale, [1.0, 0.0])
    assert len(weight.planes()) == 1


def test_stored_zeros_are_a_third_value() -> None:
    weight = binary_weight(literal(np.array([[1.0, 0.0, -1.0]], np.float32)))
    assert isinstance(weight, BinaryWeight)
    assert weight.zeros == (1,)
