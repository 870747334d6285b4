from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.ops import Affine, Concat, MaxPool2d, Op, Pad, Permute, Reshape, Sign, Slice
from fdabnn_deploy.passes.pass_testing import Build, check, kinds
from fdabnn_deploy.passes.sink_sign import sink_sign


@pytest.mark.parametrize(
    "mover",
    [
        Reshape((12,)),
        Permute((2, 3, 1)),
        Slice(((0, 3, 1), (1, 2, 1), (0, 2, 1))),
        MaxPool2d((2, 2), (1, 1), (1, 1)),
        Pad(((0, 0), (1, 0), (1, 2)), 1.0),
        Pad(((0, 0), (1, 1), (1, 1)), -1.0),
    ],
)
def test_sign_goes_below(mover: Op) -> None:
    b = Build(3, 2, 2)
    outcome = check(sink_sign, b.graph(b(mover, b(Sign(), "x"))), applied=1)
    assert kinds(outcome.graph) == ["Input", mover.kind, "Sign"]


def test_zero_padding_of_signs_stays() -> None:
    b = Build(3, 2, 2)
    check(sink_sign, b.graph(b(Pad(((0, 0), (1, 1), (1, 1)), 0.0), b(Sign(), "x"))), applied=0)


def test_chain_and_concat() -> None:
    b = Build(3, 2, 2)
    sign = b(Sign(), "x")
    joined = b(
        Concat(), b(MaxPool2d((2, 2), (2, 2)), sign), b(Slice(((0, 3, 1), (0, 1, 1), (0, 1, 1))), sign)
    )
    outcome = check(sink_sign, b.graph(b(Reshape((6,)), joined)), applied=4)
    assert kinds(outcome.graph)[-1] == "Sign"
    assert kinds(outcome.graph).count("Sign") == 1


def test_concat_with_something_else_stays() -> None:
    b = Build(3, 2, 2)
    check(sink_sign, b.graph(b(Concat(), b(Sign(), "x"), "x")), applied=0)


@pytest.mark.parametrize(("scale", "offset", "applied"), [(0.5, 0.0, 1), (-0.5, 0.0, 0), (0.5, 1.0, 0)])
def test_uniform_positive_scale_behind_a_sign_goes_below(scale: float, offset: float, applied: int) -> None:
    b = Build(3, 2, 2)
    scaled = b(Affine(np.full(3, scale), np.full(3, offset)), b(Sign(), "x"))
    # The sign is sunk in the second sweep, once the scale is out of its way.
    check(sink_sign, b.graph(b(Reshape((12,)), scaled)), applied=2 * applied)
