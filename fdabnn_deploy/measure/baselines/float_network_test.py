from __future__ import annotations

from typing import Any

import numpy as np

from fdabnn_deploy.exact.record import Cut, Numerics
from fdabnn_deploy.measure.baselines.float_network import Network, bias_of, changed, network_of, record_of
from fdabnn_deploy.prove.program import Program, Step


def dense(source: str, output: str, bias: Any = None) -> Step:
    weight = np.ones((2, 2, 1), dtype=np.float32)
    return Step("Gemm", "linear", (source,), output, {"weight": weight, "bias": bias, "windows": None})


def network() -> Network:
    """`x -> a -> (b, c) -> d = b + c`, and `e`, which nothing reads."""
    steps = (
        dense("x", "a"),
        Step("Relu", "relu", ("a",), "b"),
        Step("Neg", "neg", ("a",), "c"),
        Step("Add", "add", ("b", "c"), "d"),
        Step("Relu", "relu", ("d",), "e"),
    )
    program = Program({"x": (1, 2)}, {"w": np.ones(1)}, steps, ("d",), {"d": "sum"})
    reads = [["x", "w"], ["a"], ["a"], ["b", "c"], ["d"]]
    return network_of(program, reads, [[step.output] for step in steps], 1, Numerics())


def outputs(found: Network) -> list[str]:
    return [item.step.output for item in found.items]


def test_what_nothing_needs_goes() -> None:
    found = network()
    found.drop_dead()
    assert outputs(found) == ["a", "b", "c", "d"]
    found.aliases["d"] = "b"
    found.drop_dead()
    assert outputs(found) == ["a", "b"]


def test_uses_count_readers_and_outputs() -> None:
    found = network()
    assert found.uses() == {"x": 1, "w": 1, "a": 2, "b": 1, "c": 1, "d": 2}
    found.aliases |= {"c": "b", "b": "a"}
    assert found.resolve("c") == "a"
    assert found.uses()["a"] == 4


def test_operators_with_several_results_stay_for_any_of_them() -> None:
    found = network()
    found.writes[2] = ["c", "c2"]
    found.outputs = ("c2",)
    found.drop_dead()
    assert outputs(found) == ["a", "c"]


def test_a_changed_layer_is_no_operator_of_the_file() -> None:
    item = network().items[0]
    made = changed(item, "other", bias=np.arange(2))
    assert (item.origin, made.origin) == (0, None)
    assert made.step.output == "other"
    assert bias_of(made.step).tolist() == [0, 1]
    assert bias_of(item.step).tolist() == [0, 0]
    assert bias_of(dense("x", "y", np.array([3.0]))).tolist() == [3, 3]


def test_what_metadata_say_of_numerics() -> None:
    record = Numerics("exact", {"input": Cut(-1.0, 1.0, 8)})
    assert record_of({"numerics": record.to_text()}) == record
    for metadata in ({"numerics": Numerics().to_text()}, {"numerics": "damaged"}, {}):
        assert record_of(metadata) == Numerics()
