from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fdabnn_models.layers import fused
from fdabnn_models.layers.binary import FDAConv2d, FDALinear
from fdabnn_models.layers.norm import prelu_norm
from fdabnn_models.layers.sign import fda_sign, fourier_sign_derivative

pytestmark = pytest.mark.skipif(
    not fused.serves(torch.zeros(1), 1), reason="the fused passes exist for x86-64 with AVX2"
)
# Every width with a form of its own, the rest of a vector, and weights of several hidden units.
BINARISE = [(1000, 16, 1), (700, 32, 1), (513, 64, 1), (40, 144, 2), (37, 19, 3), (64, 576, 9), (3, 1, 1)]
NORM = [(1000, 16, 1), (700, 32, 32), (513, 64, 64), (300, 64, 1), (37, 19, 1), (5, 3, 3)]


def distance(value: Tensor, exact: Tensor) -> float:
    return float((value.double() - exact).norm() / (exact.norm() + 1e-30))


@pytest.mark.parametrize("n", [9, 14, 18, 19])
def test_polynomial_is_the_series(n: int) -> None:
    t = torch.linspace(-1, 1, 20001, dtype=torch.float64)
    exact = fourier_sign_derivative(t, n, 0.1)
    coefficients = fused.series_polynomial(n, 0.1)
    value = torch.zeros_like(t, dtype=torch.float32)
    for coefficient in coefficients.flip(0):
        value = value * (t * t).float() + coefficient
    assert (value - exact).abs().max() < 4e-7 * exact.abs().max()


@pytest.mark.parametrize(("rows", "channels", "hidden"), BINARISE)
@pytest.mark.parametrize("threads", [1, 3])
def test_sign_with_noise_equals_its_formula(rows: int, channels: int, hidden: int, threads: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    t = torch.randn(rows, channels, generator=generator) * 3
    t[0, 0], t[-1, -1] = 0.0, -0.0
    w1, w2 = torch.randn(2, hidden, channels, generator=generator) * 0.3
    scale, grad = torch.rand(rows, generator=generator), torch.randn(rows, channels, generator=generator)
    old = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        fast = [value.clone().requires_grad_() for value in (t, w1, w2.t().contiguous())]
        y = fused.binarise(
            *fast, alpha=0.07, eta=0.1, series=fused.series_polynomial(12, 0.1), scale=scale, dtype=t.dtype
        )
        y.backward(grad)
    finally:
        torch.set_num_threads(old)
    slow = [value.double().requires_grad_() for value in (t, w1, w2.t())]
    noise = F.relu(slow[0] @ slow[1].t()) @ slow[2].t() + 0.1 * torch.sin(slow[0])
    exact = (fda_sign(slow[0], torch.tensor(12)) + 0.07 * noise) * scale[:, None].double()
    exact.backward(grad.double())
    assert distance(y.detach(), exact.detach()) < 1e-6
    for value, expected in zip(fast, slow, strict=True):
        assert value.grad is not None
        assert expected.grad is not None
        assert distance(value.grad, expected.grad) < 2e-6


@pytest.mark.parametrize(("rows", "channels", "slopes"), NORM)
@pytest.mark.parametrize("shortcut", [False, True])
def test_norm_equals_its_formula(rows: int, channels: int, slopes: int, shortcut: bool) -> None:
    generator = torch.Generator().manual_seed(channels)
    c = torch.randn(rows, channels, generator=generator) * 3 + 1
    slope, gamma = torch.rand(slopes, generator=generator), torch.randn(channels, generator=generator)
    beta, extra = torch.randn(channels, generator=generator), torch.randn(rows, channels, generator=generator)
    grad = torch.randn(rows, channels, generator=generator)
    values = [c, slope, gamma, beta, *([extra] if shortcut else [])]
    fast = [value.clone().requires_grad_() for value in values]
    y, mean, variance = fused.prelu_norm(
        fast[0],
        fast[1],
        fast[2],
        fast[3],
        fast[4] if shortcut else None,
        shift=torch.zeros(channels),
        eps=1e-5,
    )
    y.backward(grad)
    slow = [value.double().requires_grad_() for value in values]
    p = F.prelu(slow[0], slow[1])
    p.retain_grad()
    exact = F.batch_norm(p, None, None, slow[2], slow[3], True, 0.1, 1e-5)
    if shortcut:
        exact = exact + slow[4]
    exact.backward(grad.double())
    assert distance(y.detach(), exact.detach()) < 1e-6
    assert distance(mean, p.detach().mean(0)) < 1e-6
    assert distance(variance, p.detach().var(0, unbiased=False)) < 1e-6
    for index, (value, expected) in enumerate(zip(fast, slow, strict=True)):
        assert value.grad is not None
        assert expected.grad is not None
        if index == 1:
            # The terms of a slope's gradient cancel: its error is measured by them, not by what is left of them.
            assert p.grad is not None
            terms = (p.grad * slow[0].detach().clamp(max=0)).norm()
            assert (value.grad - expected.grad).norm() < 1e-6 * terms * rows**0.5
        else:
            assert distance(value.grad, expected.grad) < 2e-6


def test_bfloat16_rounds_the_results_of_float32() -> None:
    t, w1, w2 = torch.randn(200, 32), torch.randn(1, 32) * 0.2, torch.randn(32, 1) * 0.2
    series = fused.series_polynomial(9, 0.1)
    rounded = fused.binarise(t.bfloat16(), w1, w2, alpha=0.1, eta=0.1, series=series, dtype=torch.bfloat16)
    exact = fused.binarise(
        t.bfloat16().float(), w1, w2, alpha=0.1, eta=0.1, series=series, dtype=torch.float32
    )
    assert torch.equal(rounded, exact.bfloat16())


def layers() -> list[tuple[FDAConv2d | FDALinear, Tensor]]:
    torch.manual_seed(2)
    image = torch.randn(2, 16, 8, 8)
    return [
        (FDAConv2d(16, 24, 3, padding=1, scale="channel"), image.to(memory_format=torch.channels_last)),
        (FDAConv2d(16, 24, 3, stride=2), image),
        (FDALinear(40, 7, bias=True), torch.randn(5, 40)),
    ]


@pytest.mark.parametrize("index", range(3))
def test_layers_train_alike_with_and_without(index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = layers()[index]
    layer.alpha.fill_(0.08)
    x.requires_grad_()
    results: list[list[Tensor]] = []
    for serves in (fused.serves, lambda t, channels: False):
        monkeypatch.setattr(fused, "serves", serves)
        layer.zero_grad()
        x.grad = None
        y: Tensor = layer(x)
        (y * torch.linspace(-1, 1, y.numel()).view(y.shape)).sum().backward()
        gradients = [p.grad.double() for p in layer.parameters() if p.grad is not None]
        results.append([y.detach().double(), torch.autograd.grad(layer(x).sum(), x)[0].double(), *gradients])
    assert len(results[0]) == len(results[1])
    for fast, slow in zip(*results, strict=True):
        assert distance(fast, slow) < 3e-6


def test_norm_keeps_running_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    c, prelu = torch.randn(4, 16, 5, 5) + 2, nn.PReLU()
    norms = [nn.BatchNorm2d(16), nn.BatchNorm2d(16)]
    results = []
    for norm, serves in zip(norms, (fused.serves, lambda t, channels: False), strict=True):
        monkeypatch.setattr(fused, "serves", serves)
        results.append(prelu_norm(c, prelu, norm, c))
    assert distance(results[0].detach(), results[1].detach().double()) < 1e-6
    for fast, slow in zip(norms[0].buffers(), norms[1].buffers(), strict=True):
        assert distance(fast, slow.double()) < 1e-6


def test_evaluation_is_left_to_the_modules() -> None:
    layer, x = layers()[0]
    layer.eval()
    with torch.no_grad():
        assert not fused.serves(x, 16)
        binary = torch.where(x < 0, -1.0, 1.0)
        weight = torch.where(layer.weight < 0, -1.0, 1.0) * layer.weight_scale()
        assert torch.equal(layer(x), F.conv2d(binary, weight, padding=1))
