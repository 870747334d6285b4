from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fdabnn_deploy.exact.record import Cut, Numerics
from fdabnn_deploy.measure.baselines.exact_limits import (
    Limited,
    clamp_choices,
    drop_barriers,
    drop_input_limits,
    drop_limits,
)
from fdabnn_deploy.measure.baselines.float_network import Network, network_of
from fdabnn_deploy.prove.program import Program, Step


def network(*steps: Step, record: Any = None, **constants: float) -> Network:
    """Steps that read "x"; the last one makes the output."""
    values = {name: np.array(value, dtype=np.float32) for name, value in constants.items()}
    program = Program({"x": (1, 2)}, values, steps, (steps[-1].output,))
    reads = [list(step.inputs) for step in steps]
    writes = [[step.output] for step in steps]
    return network_of(program, reads, writes, 1, record or Numerics("exact"))


def layer(source: str, output: str, weight: float = -1.0, activation: Any = None) -> Step:
    attributes = {"weight": np.full((2, 2, 1), weight, np.float32), "bias": None, "windows": None}
    return Step("Conv", "linear", (source,), output, attributes, activation)


def clip(source: str, output: str, low: float, high: float, op: str = "Clip") -> Step:
    return Step(op, "clip", (source,), output, {"low": low, "high": high})


def relu(source: str, output: str) -> Step:
    return Step("Relu", "relu", (source,), output)


def choices(source: str) -> tuple[Step, ...]:
    """`limited`, by comparisons with the constants `low` and `high`."""
    return (
        Step("Less", "compare", (source, "high"), "below", {"relation": "<"}),
        Step("Where", "select", ("below", source, "high"), "upper"),
        Step("Greater", "compare", ("upper", "low"), "above", {"relation": ">"}),
        Step("Where", "select", ("above", "upper", "low"), "limited"),
    )


def source_of(found: Network, low: float, high: float, *others: str) -> str:
    """The tensor that a reduction "sum" of "limited" reads after its limits were dropped."""
    drop_limits(found, [Limited("limited", frozenset({"sum", *others}), Cut(low, high, 8))])
    return found.resolve("limited")


END = layer("limited", "sum")


def test_the_records_limits_go_in_every_form() -> None:
    least = Step("MINIMUM", "min", ("m", "high"), "limited")
    most = Step("MAXIMUM", "max", ("x", "low"), "m")
    limits = {"low": -2.5, "high": 3.5}
    for steps in ([clip("x", "limited", -2.5, 3.5)], [most, least], list(choices("x"))):
        assert source_of(network(*steps, END, **limits), -2.5, 3.5) == "x"


def test_other_limits_stay() -> None:
    limits = {"low": -2.5, "high": 3.0}
    for steps in (
        [clip("x", "limited", -2.5, 3.0)],
        [clip("x", "limited", -math.inf, 3.5)],
        [Step("MINIMUM", "min", ("x", "high"), "limited")],
        list(choices("x")),
        [relu("x", "limited")],
        [layer("x", "limited")],
    ):
        assert source_of(network(*steps, END, **limits), -2.5, 3.5) == "limited"


def test_the_networks_limits_in_front_stay() -> None:
    found = network(clip("x", "own", -2.5, 3.5), clip("own", "limited", -2.5, 3.5), END)
    assert source_of(found, -2.5, 3.5) == "own"


def test_limits_that_others_read_stay() -> None:
    other = Step("Add", "add", ("limited", "sum"), "y")
    steps = [clip("x", "limited", -2.0, 2.0), END, other]
    assert source_of(network(*steps), -2.0, 2.0) == "limited"
    assert source_of(network(*steps), -2.0, 2.0, "y") == "x"


def test_limits_of_two_reductions_go_together() -> None:
    found = network(
        clip("x", "limited", -2.0, 2.0), END, layer("limited", "b"), Step("Add", "add", ("sum", "b"), "y")
    )
    cut = Cut(-2.0, 2.0, 8)
    drop_limits(found, [Limited("limited", frozenset({name}), cut) for name in ("sum", "b")])
    assert found.resolve("limited") == "x"


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 6.0), (0.0, 2.5)])
def test_activations_of_the_network_stay(low: float, high: float) -> None:
    assert source_of(network(clip("x", "limited", low, high), END), low, high) == "limited"


@pytest.mark.parametrize("op", ["RELU6", "RELU_N1_TO_1", "RELU_0_TO_1"])
def test_so_do_activations_of_tflite(op: str) -> None:
    found = network(relu("x", "r"), clip("r", "limited", 0.0, 6.0, op), END)
    assert source_of(found, 0.0, 6.0) == "limited"


def test_a_lower_limit_of_0_goes_where_nothing_is_negative() -> None:
    behind = [
        [relu("x", "r")],
        [layer("x", "r", activation=(0.0, math.inf))],
        [relu("x", "a"), Step("AveragePool", "average", ("a",), "r")],
        [relu("x", "a"), layer("a", "r", 0.5)],
        [relu("x", "a"), relu("x", "b"), Step("Add", "add", ("a", "b"), "r")],
        [relu("x", "a"), Step("Max", "max", ("x", "a"), "r")],
    ]
    for steps in behind:
        assert source_of(network(*steps, clip("r", "limited", 0.0, 6.0), END), 0.0, 6.0) == "r"
    for steps in (
        [layer("x", "r")],
        [relu("x", "a"), layer("a", "r")],
        [relu("x", "a"), Step("Add", "add", ("a", "x"), "r")],
    ):
        assert source_of(network(*steps, clip("r", "limited", 0.0, 6.0), END), 0.0, 6.0) == "limited"


def test_an_upper_limit_alone_goes_behind_a_relu_which_stays() -> None:
    least = Step("MINIMUM", "min", ("r", "high"), "limited")
    assert source_of(network(relu("x", "r"), least, END, high=3.5), 0.0, 3.5) == "r"
    twice = [relu("x", "a"), Step("MEAN", "mean", ("a",), "m"), relu("m", "r"), least]
    assert source_of(network(*twice, END, high=3.5), 0.0, 3.5) == "m"


def test_limits_of_a_graph_input_go_behind_what_moves_its_values() -> None:
    record = Numerics("exact", {"x": Cut(-1.0, 1.0, 8)})
    steps = (Step("Reverse", "reverse", ("x",), "turned"), *choices("turned"), layer("limited", "y"))
    found = network(*steps, record=record, low=-1.0, high=1.0)
    drop_input_limits(found, ["limited"])
    assert found.resolve("limited") == "turned"
    other = network(relu("x", "r"), clip("r", "limited", -1.0, 1.0), layer("limited", "y"), record=record)
    drop_input_limits(other, ["limited"])
    assert other.resolve("limited") == "limited"


def test_choices_that_stay_become_a_clamp() -> None:
    found = network(*choices("x"), END, low=-1.0, high=1.0)
    clamp_choices(found)
    (step,) = (item.step for item in found.items if item.step.output == "limited")
    assert (step.op, step.kind, step.inputs, step.attributes) == (
        "Clip",
        "clip",
        ("x",),
        {"low": -1.0, "high": 1.0},
    )


def barrier(low: float, high: float, *front: Step, reader: Step | None = None) -> bool:
    """Whether a clamp of the tensor "f" to these limits counts as a fusion barrier."""
    reader = reader or Step("Mul", "mul", ("held", "two"), "y")
    found = network(*front, clip("f", "held", low, high), reader, two=2.0)
    drop_barriers(found)
    return found.resolve("held") == "f"


def test_fusion_barriers_go() -> None:
    assert barrier(-8.0, math.inf, layer("x", "f"))
    assert barrier(-2048.0, math.inf, layer("x", "f"), reader=Step("Add", "add", ("held", "two"), "y"))
    assert barrier(-16.0, 16.0, layer("x", "a"), relu("a", "f"))
    assert barrier(-16.0, 16.0, layer("x", "f", activation=(0.0, 6.0)))
    assert barrier(-8.0, 8.0, clip("x", "f", 0.0, 6.0, "RELU6"))
    least, most = Step("MAXIMUM", "max", ("f", "low"), "m"), Step("MINIMUM", "min", ("m", "high"), "held")
    end = Step("Mul", "mul", ("held", "high"), "y")
    found = network(layer("x", "f", activation=(0.0, 6.0)), least, most, end, low=-16.0, high=16.0)
    drop_barriers(found)
    assert found.resolve("held") == "f"


def test_other_clamps_stay() -> None:
    front = layer("x", "f")
    assert not barrier(-4.0, math.inf, front)
    assert not barrier(-12.0, math.inf, front)
    assert not barrier(-math.inf, 8.0, front)
    assert not barrier(-8.0, 8.0, front)
    assert not barrier(-8.0, 16.0, layer("x", "a"), relu("a", "f"))
    assert not barrier(-8.0, math.inf, front, reader=Step("Sign", "relu", ("held",), "y"))
    assert not barrier(-1.0, 1.0, layer("x", "a"), relu("a", "f"))
