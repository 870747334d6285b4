"""`Digits` in ONNX Runtime against the NumPy of its specification, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from fdabnn_deploy.native.library import levels
from fdabnn_deploy.native.onnxruntime.custom_ops_testing import Arrays, bits_of, documented, open_node

pytestmark = pytest.mark.runtimes


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=0, max_size=3),
    st.lists(st.integers(-24, 24), min_size=1, max_size=4),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_digits(shape: list[int], exponents: list[int], limited: bool, seed: int) -> None:
    """Values of all sizes; halves, zeros of both signs, denormals, infinities and NaN among them."""
    generator = np.random.default_rng(seed)
    special = [
        0.5,
        -0.5,
        1.5,
        -2.5,
        0.0,
        -0.0,
        1e-45,
        -1e-40,
        8388607.5,
        2.0**23,
        1e30,
        np.inf,
        -np.inf,
        np.nan,
    ]
    drawn = generator.normal(size=shape) * 2.0 ** generator.integers(-30, 30, shape)
    x = np.where(generator.random(shape) < 0.4, generator.choice(special, shape), drawn).astype(np.float32)
    constants: Arrays = {"limits": np.sort(generator.normal(0, 100, 2)).astype(np.float32)} if limited else {}
    with np.errstate(all="ignore"):
        expected = documented("digits.md", "digits")(x, constants.get("limits"), exponents)
    names: dict[str, int] = {f"y{k}": TensorProto.FLOAT for k in range(len(expected))}
    inputs: Arrays = {"x": x, **constants}
    for level in levels():
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FDABNN_KERNELS", level)
            session = open_node("Digits", {**inputs}, names, constants, 2, exponents=exponents)
        for found, right in zip(session.run(None, {"x": x}), expected, strict=True):
            number = ~np.isnan(right)
            np.testing.assert_array_equal(np.isnan(found), ~number)
            np.testing.assert_array_equal(bits_of(found)[number], bits_of(right)[number], err_msg=level)


def test_digits_that_nobody_wants() -> None:
    x = np.random.default_rng(0).normal(size=(3, 20000)).astype(np.float32)
    expected = documented("digits.md", "digits")(x, None, [2, 9])
    session = open_node(
        "Digits", {"x": x}, {"y": TensorProto.FLOAT, "": 1, "r": TensorProto.FLOAT}, {}, 3, exponents=[2, 9]
    )
    for found, right in zip(session.run(None, {"x": x}), (expected[0], expected[2]), strict=True):
        np.testing.assert_array_equal(bits_of(found), bits_of(right))


@pytest.mark.parametrize(
    ("limits", "exponents", "message"),
    [
        ([1, -1], [0], "limits is not in order"),
        ([np.nan, 1], [0], "limits is not in order"),
        ([1, 2, 3], [0], r"limits is \[3\] and not \[2\]"),
        ([-1, 1], [], "exponents"),
        ([-1, 1], [0, 101], "attribute exponents is 101"),
        ([-1, 1], [0] * 5, "attribute exponents has 5 values"),
    ],
)
def test_refused_digits(limits: list[float], exponents: list[int], message: str) -> None:
    constants: Arrays = {"limits": np.array(limits, np.float32)}
    with pytest.raises(Exception, match=message):
        open_node(
            "Digits", {"x": np.zeros(3, np.float32), **constants}, {"y": 1}, constants, exponents=exponents
        )


def test_limits_have_to_be_constant() -> None:
    inputs: Arrays = {"x": np.zeros(3, np.float32), "limits": np.array([-1, 1], np.float32)}
    with pytest.raises(Exception, match="limits is no constant"):
        open_node("Digits", {**inputs}, {"y": 1}, {}, exponents=[0]).run(None, inputs)
