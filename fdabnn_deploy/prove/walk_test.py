"""Programs written by hand: what is proved and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fdabnn_deploy.prove.geometry import Windows
from fdabnn_deploy.prove.program import Program, Step
from fdabnn_deploy.prove.rows import Proof, Row
from fdabnn_deploy.prove.walk import prove

ONE_PIXEL = Windows((2, 3), (1, 1), (1, 1), (1, 1), ((0, 0), (0, 0)))


def f32(*values: float) -> Any:
    return np.array(values[0] if len(values) == 1 else values, dtype=np.float32)


class Builder:
    """Steps behind an input [1, 2, 4, 4] that is kept within +-4 and rounded to multiples of 1/16."""

    def __init__(self, guard: bool = True) -> None:
        self.constants: dict[str, Any] = {}
        self.steps: list[Step] = []
        if guard:
            self.guard()

    def constant(self, values: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(values, dtype=np.float32)
        return name

    def step(self, kind: str, output: str, *inputs: str, **attributes: Any) -> str:
        self.steps.append(Step(kind, kind, inputs, output, attributes))
        return output

    def guard(self) -> None:
        low, high = self.constant(-4), self.constant(4)
        self.step("compare", "is_below", "x", high, relation="<")
        self.step("select", "below", "is_below", "x", high)
        self.step("compare", "is_above", "below", low, relation=">")
        self.step("select", "kept", "is_above", "below", low)
        self.grid("kept", "grid", 16)

    def grid(self, source: str, output: str, units: float) -> None:
        self.step("mul", f"{output}/units", source, self.constant(units))
        self.step("round", f"{output}/rounded", f"{output}/units")
        self.step("mul", output, f"{output}/rounded", self.constant(1 / units))

    def conv(self, output: str, source: str, weight: Any, bias: Any = None) -> str:
        weight = np.asarray(weight, dtype=np.float32)[:, :, None]
        return self.step(
            "linear", output, source, weight=weight, bias=bias, groups=1, axis=1, windows=ONE_PIXEL
        )

    def prove(self) -> Proof:
        outputs = (self.steps[-1].output,)
        return prove(Program({"x": (1, 2, 4, 4)}, self.constants, tuple(self.steps), outputs))

    def row(self, tensor: str) -> Row:
        return next(row for row in self.prove().rows if row.tensor == tensor)

    def failure(self) -> str:
        (failure,) = self.prove().failures
        return failure


def test_a_sum_on_a_grid() -> None:
    net = Builder()
    net.conv("y", "grid", [[1.5, -0.25]], f32(0.125).reshape(1))
    row = net.row("y")
    assert net.prove().proved
    assert row.kind == "exact sum"
    # (1.5 + 0.25) * 4 + 0.125 in units of 1/64
    assert row.bound_units == 7.125 * 64
    assert row.room_bits == pytest.approx(24 - np.log2(7.125 * 64))


def test_signs_are_summed_as_integers() -> None:
    net = Builder()
    net.step("compare", "negative", "grid", net.constant(0), relation="<")
    net.step("select", "sign", "negative", net.constant(-1), net.constant(1))
    net.conv("y", "sign", [[1, -1]])
    assert net.row("sign").kind == "sign"
    assert net.row("y").kind == "exact integer"
    assert net.row("y").bound_units == 2


def test_a_bound_that_is_just_reached_and_just_missed() -> None:
    for weight, proved in ((2.0**18, True), (np.nextafter(np.float32(2.0**18), np.float32(np.inf)), False)):
        net = Builder()
        net.conv("y", "grid", [[weight, 0.0]])
        assert net.prove().proved == proved


def test_float_weights() -> None:
    net = Builder()
    net.conv("y", "grid", [[0.1, 0.2]])
    assert "order of summation" in net.failure()
    assert net.failure().startswith("y (linear): its sum may need 2^")


def test_without_guard() -> None:
    net = Builder(guard=False)
    net.grid("x", "grid", 16)
    assert "NaN may arrive" in net.failure()


def test_guard_without_round() -> None:
    net = Builder(guard=False)
    net.step("clip", "kept", "x", low=-4.0, high=4.0)
    assert "minimum and maximum of NaN" in net.failure()
    net = Builder()
    net.conv("y", "kept", [[1.0, 1.0]])
    assert "denormal" in net.failure()


def test_powers_of_two_that_lift_denormal_numbers_to_integers() -> None:
    net = Builder()
    net.step("mul", "huge", "kept", net.constant(2.0**100))
    net.step("round", "rounded", "huge")
    assert net.prove().proved
    net.steps.pop()
    net.step("mul", "larger", "huge", net.constant(2.0**25))
    net.step("round", "rounded", "larger")
    assert "denormal" in net.failure()


def test_constants_behind_a_convolution() -> None:
    net = Builder()
    net.conv("conv", "grid", [[0.5, 0.5]])
    net.step("mul", "scaled", "conv", net.constant([0.75]))
    net.step("add", "y", "scaled", net.constant([0.375]))
    assert net.prove().proved
    assert net.row("y").kind == "exact sum"
    net.step("mul", "again", "y", net.constant([0.1]))
    assert net.failure().startswith("again (mul): folded into the convolution")


def test_an_activation_keeps_constants_away_from_a_convolution() -> None:
    net = Builder()
    net.conv("conv", "grid", [[0.5, 0.5]])
    net.step("prelu", "act", "conv", slope=f32(0.3))
    net.step("mul", "scaled", "act", net.constant([0.1]))
    net.step("add", "y", "scaled", net.constant([0.7]))
    assert net.prove().proved
    assert net.row("y").kind == "pointwise"


def test_residuals() -> None:
    net = Builder()
    net.conv("conv", "grid", [[0.5, 0.5], [0.5, 0.25]])
    net.step("prelu", "other", "grid", slope=f32(0.3))
    net.step("sub", "difference", "other", "conv")
    assert net.prove().proved
    net.step("add", "sum", "other", "conv")
    assert "accumulated into its other operand" in net.failure()


def test_constants_in_a_row() -> None:
    net = Builder()
    net.step("add", "first", "grid", net.constant(0.1))
    net.step("add", "second", "first", net.constant(0.2))
    assert net.failure().startswith("second (add): two constant addends")
    net.step("max", "reader", "first", "first")
    assert net.prove().proved


def test_a_rounding_factor_in_front_of_a_convolution() -> None:
    net = Builder()
    net.step("prelu", "fine", "grid", slope=f32(0.3))
    net.step("mul", "scaled", "fine", net.constant(0.1))
    net.conv("y", "scaled", [[1.0, 0.0]])
    assert "directly in front rounds" in net.failure()


def test_the_remainder_of_a_rounding_is_small() -> None:
    net = Builder()
    net.step("prelu", "fine", "grid", slope=f32(0.3))
    net.grid("fine", "coarse", 4)
    net.step("sub", "rest", "fine", "coarse")
    net.grid("rest", "rest_grid", 2**20)
    net.conv("y", "rest_grid", [[1.0, 1.0]])
    assert net.row("y").bound_units == pytest.approx(2 * 2**17, rel=1e-6)


def test_means() -> None:
    for axes, reason in (([2, 3], ""), ([1, 2, 3], ""), ([0, 1], "batch")):
        net = Builder()
        net.step("mean", "y", "grid", axes=axes, keep=False)
        assert net.prove().proved == (not reason)
        assert reason in "".join(net.prove().failures)
    net = Builder()
    net.step("slice", "part", "grid", ranges=[(0, 1, 1), (0, 2, 1), (0, 3, 1), (0, 3, 1)])
    net.step("mean", "y", "part", axes=[2, 3], keep=True)
    assert "divides by 9" in net.failure()


def test_thresholds_between_integers_meet_no_zero() -> None:
    net = Builder()
    net.step("compare", "negative", "grid", net.constant(0), relation="<")
    net.step("select", "sign", "negative", net.constant(-1), net.constant(1))
    net.conv("conv", "sign", [[1, -1]])
    for offset, text in ((0.5, "-0.0 cannot arrive"), (0.0, "NaN cannot arrive")):
        net.step("add", f"t{offset}", "conv", net.constant(offset))
        net.step("compare", f"n{offset}", f"t{offset}", net.constant(0), relation="<")
        net.step("select", f"s{offset}", f"n{offset}", net.constant(-1), net.constant(1))
        assert text in net.row(f"s{offset}").why


def test_other_signs() -> None:
    net = Builder()
    net.step("compare", "positive", "grid", net.constant(0), relation=">")
    net.step("select", "sign", "positive", net.constant(1), net.constant(-1))
    assert "not the sign x < 0" in net.failure()


def test_unknown_operators_and_what_reads_them() -> None:
    net = Builder()
    net.step("unknown", "y", "grid", reason="the prover does not know this operator")
    net.step("neg", "z", "y")
    assert net.failure() == "y (unknown): the prover does not know this operator"
    assert [row.kind for row in net.prove().rows[-2:]] == ["unproved", "unproved"]
    assert net.row("z").why == "behind y, which is not proved"


def test_max_pooling_over_a_padding_by_minus_infinity() -> None:
    windows = Windows((2, 3), (2, 2), (2, 2), (1, 1), ((0, 0), (0, 0)))
    for border, proved in ((1, True), (2, False)):
        net = Builder()
        net.step(
            "pad", "padded", "grid", pads=[(0, 0), (0, 0), (border, border), (border, border)], value=-np.inf
        )
        net.step("maximum", "y", "padded", windows=windows)
        assert net.prove().proved == proved
    net = Builder()
    net.step("pad", "padded", "grid", pads=[(0, 0), (0, 0), (1, 1), (1, 1)], value=-np.inf)
    net.step("neg", "y", "padded")
    assert "infinity" in net.failure()


def test_moves_keep_channels_apart() -> None:
    net = Builder()
    net.step("mul", "uneven", "grid", net.constant(np.reshape([1.0, 256.0], (2, 1, 1))))
    net.step("transpose", "turned", "uneven", order=[0, 2, 3, 1])
    net.step("reshape", "flat", "turned", target=[0, -1])
    weight = np.zeros((1, 32, 1), dtype=np.float32)
    weight[0, 1::2] = 1
    net.step("linear", "y", "flat", weight=weight, bias=None, groups=1, axis=1, windows=None)
    # 16 values of the second channel, at most 1024, in units of 16
    assert net.row("y").bound_units == 16 * 1024 / 16


def test_activations_of_fused_operators() -> None:
    net = Builder()
    net.conv("conv", "grid", [[0.5, 0.5]])
    step = net.steps.pop()
    net.steps.append(Step(step.op, step.kind, step.inputs, step.output, step.attributes, (0.0, 1.0)))
    net.step("mul", "y", "conv", net.constant([0.1]))
    assert net.prove().proved


def test_shapes_that_do_not_fit_are_refused() -> None:
    net = Builder()
    net.step("transpose", "turned", "grid", order=[1, 0])
    assert net.failure().startswith("turned (transpose): its order")
    net = Builder()
    net.step("mean", "y", "grid", axes=[2, 2, 7], keep=True)
    assert net.failure().startswith("y (mean): its parameters do not fit")
