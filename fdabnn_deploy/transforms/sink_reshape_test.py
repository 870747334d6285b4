from __future__ import annotations

import numpy as np

from fdabnn_deploy.ir.ops import Add, Affine, PRelu, Reshape, Sign
from fdabnn_deploy.transforms.pass_testing import Build, check, kinds
from fdabnn_deploy.transforms.simplify import simplify
from fdabnn_deploy.transforms.sink_reshape import sink_reshape


def test_norm_activation_and_sign_stand_before_the_reshape() -> None:
    b = Build(3, 1, 6)
    sequence = b(Reshape((3, 6)), "x")
    norm = b(Affine(np.arange(1.0, 4), np.ones(3)), sequence)
    sign = b(Sign(), b(PRelu(np.array([0.1, 0.2, 0.3], np.float32)), norm))
    outcome = check(sink_reshape, b.graph(b(Reshape((3, 1, 6)), sign)), applied=3)
    assert kinds(simplify(outcome.graph).graph) == ["Input", "Affine", "PRelu", "Sign"]


def test_two_sequences_are_added_before_the_reshape() -> None:
    b = Build(3, 1, 6)
    sequence = b(Reshape((3, 6)), "x")
    total = b(Add(), sequence, b(Affine(np.full(3, 2.0), np.ones(3)), sequence))
    outcome = check(sink_reshape, b.graph(total), applied=2)
    assert kinds(outcome.graph)[-1] == "Reshape"


def test_other_reshapes_stay() -> None:
    b = Build(3, 2, 3)
    check(sink_reshape, b.graph(b(Sign(), b(Reshape((3, 6)), "x"))), applied=0)
