from __future__ import annotations

import numpy as np

from fdabnn_deploy.ir.ops import Add, Mul, Sub, TorchSign, Unary
from fdabnn_deploy.transforms.affine.drop_noise import drop_noise
from fdabnn_deploy.transforms.pass_testing import Build, check, kinds


def test_noise_with_alpha_zero_goes() -> None:
    b = Build(3, 2, 2)
    noise = b(Mul(), b.constant(0.0), b(Unary("sin"), "x"))
    outcome = check(drop_noise, b.graph(b(Add(), b(TorchSign(), "x"), noise)), applied=2)
    assert kinds(outcome.graph) == ["Input", "TorchSign"]


def test_zero_first_and_subtraction() -> None:
    b = Build(3, 2, 2)
    zero = b(Mul(), b(Unary("sin"), "x"), b.constant(-0.0))
    outcome = check(drop_noise, b.graph(b(Sub(), b(Add(), zero, "x"), zero)), applied=3)
    assert kinds(outcome.graph) == ["Input"]


def test_noise_with_alpha_above_zero_stays() -> None:
    b = Build(3, 2, 2)
    noise = b(Mul(), b.constant(1e-30), b(Unary("sin"), "x"))
    graph = b.graph(b(Add(), b(TorchSign(), "x"), noise))
    assert check(drop_noise, graph, applied=0).graph is graph


def test_a_zero_that_enlarges_the_tensor_stays() -> None:
    b = Build(1, 2, 2)
    check(drop_noise, b.graph(b(Add(), "x", b.constant(np.zeros((1, 3, 1, 1))))), applied=0)
