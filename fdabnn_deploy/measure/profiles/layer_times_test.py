from __future__ import annotations

import pytest

from fdabnn_deploy.measure.profiles.layer_times import INSERTED, executed, table, time_of
from fdabnn_deploy.measure.profiles.operators import Operator

OPERATORS = (
    Operator("a/sign", "a/sign", "LceQuantize", "a"),
    Operator("a/conv", "a/conv", "LceBconv2d", "a", macs=1_000_000, binary=True, packer=0),
    Operator("b/mul", "b/mul", "MUL", "b"),
    Operator("b/conv", "b/conv", "CONV_2D", "b", macs=500),
)


def op(kind: str, samples: list[int], **keys: object) -> dict[str, object]:
    return {"type": kind, "samples": samples, **keys}


def test_layers_are_joined_run_by_run() -> None:
    ops = [
        op("LceQuantize", [1000, 2000, 3000], nodes=[0]),
        op("LceBconv2d", [3000, 2000, 1000], nodes=[1]),
        op("Fused", [12_000, 12_000, 12_000], nodes=[2, 3]),
    ]
    run = executed(ops, OPERATORS)
    a, b = table(run, OPERATORS, peak=1e12, threads=2)
    assert (a.name, a.types, a.executed, a.samples) == ("a", ("LceQuantize", "LceBconv2d"), 2, (4000,) * 3)
    assert (a.median, a.share) == (4000, 0.25)
    assert a.binary_rate == pytest.approx(1e6 / 2000e-9)
    assert a.of_ceiling == pytest.approx(0.25)
    assert (b.name, b.binary_macs, b.float_macs, b.binary_rate, b.of_ceiling) == ("b", 0, 500, None, None)
    assert time_of(run, [0, 1]) == 4000
    assert time_of(run, [7]) is None


def test_names_that_the_runtime_lengthened_are_found() -> None:
    ops = [
        op("Conv", [1], name="a/conv_nchwc", node=None),
        op("Conv", [1], name="fused b/conv", node=None),
        op("ReorderOutput", [1], name="ReorderOutput_7", node=None),
        op("Conv", [1], name="x", node="b/conv"),
    ]
    assert [each.operators for each in executed(ops, OPERATORS)] == [(1,), (3,), (), (3,)]
    assert [row.name for row in table(executed(ops, OPERATORS), OPERATORS, None, 1)] == ["a", "b", INSERTED]


def test_what_was_merged_into_a_convolution_leads_back_to_it() -> None:
    """ONNX Runtime calls the convolution by the multiplication behind it."""
    operators = (
        Operator("a/conv", "a/conv", "Conv", "a", macs=7),
        Operator("bn/mul", "bn/mul", "Mul", "bn", reads=(0,)),
        Operator("bn/add", "bn/add", "Add", "bn", reads=(1,)),
        Operator("in", "in", "Conv", "in"),
    )
    run = executed(
        [op("Conv", [1], name="bn/add_nchwc", nodes=[9]), op("Conv", [1], name="in", nodes=[3])], operators
    )
    assert [each.operators for each in run] == [(0, 1, 2), (3,)]
    assert table(run, operators, None, 1)[0].name == "a"
