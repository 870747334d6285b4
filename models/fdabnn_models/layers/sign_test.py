from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fdabnn_models.layers.sign import binary_sign, fda_sign, fourier_sign_derivative


def written_out_series(t: Tensor, n: int, omega: float) -> Tensor:
    """s_n(t) of the paper's equation 9, term by term, in float64."""
    t = t.double()
    terms = [torch.sin((2 * i + 1) * omega * t) / (2 * i + 1) for i in range(n + 1)]
    return 4 / math.pi * torch.stack(terms).sum(0)


def written_out_derivative(t: Tensor, n: int, omega: float) -> Tensor:
    t = t.double()
    return (
        4 * omega / math.pi * torch.stack([torch.cos((2 * i + 1) * omega * t) for i in range(n + 1)]).sum(0)
    )


def test_sign_has_one_rule() -> None:
    t = torch.tensor([-2.0, -1e-30, -0.0, 0.0, 1e-30, math.inf, -math.inf, math.nan])
    assert binary_sign(t).tolist() == [-1, -1, 1, 1, 1, 1, -1, 1]
    assert fda_sign(t, torch.tensor(9)).tolist() == [-1, -1, 1, 1, 1, 1, -1, 1]


@given(t=st.floats(-1, 1, width=32), n=st.integers(0, 40), omega=st.floats(0.01, 3.0))
def test_closed_form_equals_series_inside_the_clip(t: float, n: int, omega: float) -> None:
    value = torch.tensor([t], dtype=torch.float64)
    got = fourier_sign_derivative(value, n, omega, bounded=True)
    torch.testing.assert_close(got, written_out_derivative(value, n, omega), rtol=1e-9, atol=1e-9)


@given(t=st.floats(-200, 200, width=32), n=st.integers(0, 40), omega=st.floats(0.01, 3.0))
def test_closed_form_equals_series_everywhere(t: float, n: int, omega: float) -> None:
    value = torch.tensor([t], dtype=torch.float64)
    got = fourier_sign_derivative(value, n, omega)
    torch.testing.assert_close(got, written_out_derivative(value, n, omega), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("k", [-3, -1, 0, 1, 2])
def test_closed_form_at_and_beside_multiples_of_pi(k: int) -> None:
    steps = torch.tensor([0.0, 1e-12, 1e-7, 9e-7, 1.1e-6, 1e-5, 1e-4])
    value = k * math.pi + torch.cat([steps, -steps]).double()
    torch.testing.assert_close(
        fourier_sign_derivative(value, 18, 1.0), written_out_derivative(value, 18, 1.0), rtol=1e-8, atol=1e-8
    )


@settings(max_examples=50)
@given(t=st.floats(-1, 1, width=32), n=st.integers(9, 18))
def test_float32_closed_form_keeps_float32_accuracy(t: float, n: int) -> None:
    value = torch.tensor([t], dtype=torch.float32)
    got = fourier_sign_derivative(value, torch.tensor(n), 0.1, bounded=True).double()
    torch.testing.assert_close(got, written_out_derivative(value, n, 0.1), rtol=1e-5, atol=5e-6)


@pytest.mark.parametrize("n", [0, 9, 18])
@pytest.mark.parametrize("omega", [0.1, 1.0])
def test_gradient_is_that_of_the_written_out_series(n: int, omega: float) -> None:
    t = torch.linspace(-3, 3, 101, dtype=torch.float64, requires_grad=True)
    upstream = torch.linspace(-1, 2, 101, dtype=torch.float64)
    (expected,) = torch.autograd.grad(written_out_series(t, n, omega), t, upstream)
    (got,) = torch.autograd.grad(fda_sign(t, torch.tensor(n), omega=omega, clip=False), t, upstream)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


def test_clip_zeroes_the_gradient_beyond_one_and_keeps_it_at_one() -> None:
    t = torch.tensor([-1.5, -1.0, 0.0, 1.0, 1.0000001, 7.0], dtype=torch.float64, requires_grad=True)
    (got,) = torch.autograd.grad(fda_sign(t, torch.tensor(9)).sum(), t)
    expected = written_out_derivative(t.detach(), 9, 0.1)
    expected[[0, 4, 5]] = 0
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-12)
