from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from fdabnn_models.layers.binary import FDAConv2d, FDALinear, Scale
from fdabnn_models.layers.sign import binary_sign


def randomise(layer: FDAConv2d | FDALinear) -> None:
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)


@pytest.mark.parametrize(("scale", "shape"), [("tensor", (1, 1, 1, 1)), ("channel", (6, 1, 1, 1))])
def test_scale_is_the_mean_magnitude(scale: Scale, shape: tuple[int, ...]) -> None:
    layer = FDAConv2d(4, 6, 3, scale=scale)
    magnitude = layer.weight.detach().abs()
    got = layer.weight_scale()
    assert got.shape == shape
    assert not got.requires_grad
    if scale == "tensor":
        torch.testing.assert_close(got.flatten(), magnitude.mean().reshape(1))
    else:
        torch.testing.assert_close(got.flatten(), torch.stack([w.mean() for w in magnitude]))


@pytest.mark.parametrize("scale", ["tensor", "channel"])
@pytest.mark.parametrize(("stride", "padding"), [(1, 1), (2, 1), (1, 0)])
def test_convolution_without_noise_is_binary(scale: Scale, stride: int, padding: int) -> None:
    layer = FDAConv2d(5, 7, 3, stride=stride, padding=padding, scale=scale)
    randomise(layer)
    x = torch.randn(2, 5, 8, 9)
    signs = F.conv2d(binary_sign(x).double(), binary_sign(layer.weight).double(), None, stride, padding)
    # The zeros of the padding come after the sign: an accumulator is an integer, and even beside no border.
    assert torch.equal(signs, signs.round())
    expected = signs * layer.weight_scale().double().view(1, -1, 1, 1)
    torch.testing.assert_close(layer(x).double(), expected, rtol=1e-5, atol=1e-5)


def test_effective_weight_without_noise_holds_two_values_per_scale() -> None:
    layer = FDAConv2d(5, 7, 3, scale="channel")
    weight = layer.effective_weight()
    assert all(row.abs().unique().numel() == 1 for row in weight)
    assert torch.equal(binary_sign(weight), binary_sign(layer.weight))


def test_convolution_with_noise_follows_the_formula() -> None:
    layer = FDAConv2d(5, 7, 3, padding=1, bias=True)
    randomise(layer)
    layer.alpha.fill_(0.07)
    x = torch.randn(2, 5, 6, 6)

    def e(t: torch.Tensor, noise: torch.nn.Module) -> torch.Tensor:
        w1, w2 = noise.get_parameter("fc1.weight"), noise.get_parameter("fc2.weight")
        return torch.relu(t @ w1.T) @ w2.T + 0.1 * torch.sin(t)

    flat = layer.weight.flatten(1)
    weight = (binary_sign(flat) + 0.07 * e(flat, layer.weight_noise)).view_as(layer.weight)
    inputs = binary_sign(x) + 0.07 * e(x.permute(0, 2, 3, 1), layer.act_noise).permute(0, 3, 1, 2)
    expected = F.conv2d(inputs, weight * layer.weight.abs().mean(), layer.bias, padding=1)
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 0.05])
def test_dense_layer_is_the_one_by_one_convolution(alpha: float) -> None:
    dense, conv = FDALinear(70, 6, bias=True), FDAConv2d(70, 6, 1, bias=True)
    randomise(dense)
    state = dense.state_dict()
    state["weight"] = state["weight"].view(6, 70, 1, 1)
    conv.load_state_dict(state)
    for layer in (dense, conv):
        layer.alpha.fill_(alpha)
    x = torch.randn(3, 70)
    torch.testing.assert_close(dense(x), conv(x.view(3, 70, 1, 1)).flatten(1), rtol=1e-4, atol=1e-4)


def test_gradient_reaches_latent_weights_input_and_noise_modules() -> None:
    layer = FDAConv2d(4, 6, 3, padding=1)
    randomise(layer)
    layer.alpha.fill_(0.1)
    x = torch.randn(2, 4, 5, 5, requires_grad=True)
    layer(x).square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_buffers_are_saved() -> None:
    layer = FDAConv2d(4, 6, 3)
    state = layer.state_dict()
    assert state["alpha"].dtype == torch.float32
    assert state["n"].dtype == torch.int64
    assert {name for name in state if "noise" in name} == {
        f"{side}_noise.fc{i}.weight" for side in ("act", "weight") for i in (1, 2)
    }


def test_unknown_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="'tensor' or 'channel'"):
        FDAConv2d(4, 6, 3, scale="filter")  # type: ignore[arg-type]


@pytest.mark.parametrize("layer", [FDAConv2d(5, 7, 3, padding=1), FDALinear(5, 7)], ids=["conv", "dense"])
def test_a_finished_layer_leaves_its_noise_out_and_computes_the_same_bits(
    layer: FDAConv2d | FDALinear, monkeypatch: pytest.MonkeyPatch
) -> None:
    randomise(layer)
    layer.eval()
    x = torch.randn(2, 5, 6, 6) if isinstance(layer, FDAConv2d) else torch.randn(4, 5)
    silent = layer(x)
    with monkeypatch.context() as patch:
        patch.setattr(layer, "_noisy", lambda: True)
        assert torch.equal(layer(x), silent)
    called: list[object] = []
    for noise in (layer.weight_noise, layer.act_noise):
        noise.register_forward_hook(lambda *_: called.append(1))
    layer(x)
    assert not called
    layer.alpha.fill_(0.5)
    assert not torch.equal(layer(x), silent)
    assert len(called) == 2
