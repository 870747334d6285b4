from __future__ import annotations

import numpy as np

from fdabnn_deploy.exact.record import Numerics
from fdabnn_deploy.measure.baselines.float_network import Network, network_of
from fdabnn_deploy.measure.baselines.grids import Grids
from fdabnn_deploy.prove.program import Program, Step

CONSTANTS = {"units": 8.0, "step": 0.125, "units2": 64.0, "two": 2.0}


def network(*steps: Step) -> Network:
    """Steps that read "x", with `CONSTANTS`; the last one makes the output."""
    constants = {name: np.array(value, dtype=np.float32) for name, value in CONSTANTS.items()}
    program = Program({"x": (1, 2)}, constants, steps, (steps[-1].output,))
    reads = [list(step.inputs) for step in steps]
    return network_of(program, reads, [[step.output] for step in steps], 1, Numerics("exact"))


SLICES = (
    Step("Mul", "mul", ("x", "units"), "in_units"),
    Step("Round", "round", ("in_units",), "rounded"),
    Step("Mul", "mul", ("rounded", "step"), "x0"),
    Step("Sub", "sub", ("x", "x0"), "rest"),
    Step("Mul", "mul", ("rest", "units2"), "rest_in_units"),
    Step("Round", "round", ("rest_in_units",), "x1"),
    Step("Pad", "pad", ("x1",), "padded", {"value": 0.0}),
    Step("Sub", "sub", ("rest", "x1"), "rest2"),
)


def test_slices_are_multiples_of_the_operand_and_remainders_zero() -> None:
    grids = Grids(network(*SLICES))
    assert [grids.of(name) for name in ("x", "in_units", "rounded", "x0")] == [
        ("x", 1.0),
        ("x", 8.0),
        ("x", 8.0),
        ("x", 1.0),
    ]
    assert grids.zeros == {"rest", "rest_in_units", "x1", "padded", "rest2"}
    assert [grids.exponent(name) for name in ("x", "rounded", "x0", "x1")] == [None, 3, 3, 6]
    assert grids.operands() == ["x"]


def test_a_grid_of_integers_has_no_products() -> None:
    grids = Grids(network(Step("Round", "round", ("x",), "y"), Step("Sub", "sub", ("x", "y"), "z")))
    assert (grids.of("y"), grids.exponent("y"), grids.zeros) == (("x", 1.0), 0, {"z"})


def test_products_of_the_network_are_its_own() -> None:
    scaled = Step("Mul", "mul", ("x", "two"), "y")
    activated = Step("Round", "round", ("y",), "z", activation=(0.0, np.inf))
    grids = Grids(network(scaled, Step("Relu", "relu", ("y",), "r"), Step("Sub", "sub", ("y", "x"), "d")))
    assert grids.of("y") == ("y", 1.0)
    assert not grids.zeros
    assert Grids(network(scaled, activated)).of("z") == ("z", 1.0)


def test_what_is_a_multiple_becomes_a_product_or_nothing() -> None:
    found = network(*SLICES)
    grids = Grids(found)
    made = {item.step.output: grids.plain(item) for item in found.items}
    assert made["x0"] is None
    assert found.resolve("x0") == "x"
    rounded = made["rounded"]
    assert rounded is not None
    assert (rounded.step.kind, rounded.step.inputs[0]) == ("mul", "x")
    assert found.constants[rounded.step.inputs[1]] == 8
    assert made["padded"] is found.items[6]


def test_zeros_end_where_a_padding_has_another_value() -> None:
    steps = (*SLICES[:4], Step("Pad", "pad", ("rest",), "ones", {"value": 1.0}))
    assert Grids(network(*steps)).zeros == {"rest"}
