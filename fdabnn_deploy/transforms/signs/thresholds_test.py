from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import FloatArray, Op
from fdabnn_deploy.ir.reference import evaluate
from fdabnn_deploy.transforms.pass_testing import Build, check, kinds
from fdabnn_deploy.transforms.signs.thresholds import thresholds

RNG = np.random.default_rng(0)


def dense(*chain: Op, taps: int, channels: int = 1) -> Graph:
    """A row of +1 weights, so that its accumulator is the sum of the input's signs."""
    b = Build(taps)
    y = b(ops.BinaryLinear(np.ones((channels, taps), dtype=np.int8)), b(ops.Sign(), "x"))
    for op in chain:
        y = b(op, y)
    return b.graph(b(ops.Sign(), y))


def every_accumulator(taps: int) -> FloatArray:
    """Inputs that lead to -taps, -taps + 2, ..., taps."""
    return np.where(np.arange(taps)[None] < np.arange(taps + 1)[:, None], 1, -1).astype(np.float32)


def affine(scale: object, offset: object) -> ops.Affine:
    scale, offset = np.broadcast_arrays(
        np.asarray(scale, dtype=np.float64).reshape(-1), np.asarray(offset, dtype=np.float64).reshape(-1)
    )
    return ops.Affine(scale.copy(), offset.copy())


def found(graph: Graph) -> list[tuple[float, float]]:
    (node,) = graph.nodes_of(ops.Affine)
    assert isinstance(node.op, ops.Affine)
    return list(zip(node.op.scale.tolist(), node.op.offset.tolist(), strict=True))


def assert_thresholds(graph: Graph) -> None:
    """Every affine before a sign is a threshold, and a second run changes nothing."""
    for node in graph.nodes_of(ops.Affine):
        assert isinstance(node.op, ops.Affine)
        assert set(np.abs(node.op.scale)) == {1.0}
        assert set(np.mod(node.op.offset, 1)) == {0.5}
    again = thresholds(graph)
    assert (again.applied, again.graph, again.skipped) == (0, graph, ())


SCALES = st.one_of(
    st.sampled_from(
        [0.0, -0.0, 1e-45, -1e-45, 1e-30, 1e-8, -1e-8, 1e6, -1e6, 1e30, -1e38, 1e39, 1.0, -1.0, 0.1, -0.3]
    ),
    st.floats(-3, 3, width=32),
)
OFFSETS = st.one_of(
    st.sampled_from([0.0, -0.0, 1e-45, -1e-45, 0.5, -0.5, 1e30, -1e38, 1e39]), st.floats(-300, 300, width=32)
)


@given(
    taps=st.integers(1, 300),
    parameters=st.lists(st.tuples(SCALES, OFFSETS), min_size=1, max_size=8),
    tie=st.none() | st.integers(-300, 300),
)
def test_any_affine(taps: int, parameters: list[tuple[float, float]], tie: int | None) -> None:
    scale, offset = np.array(parameters, dtype=np.float64).T.copy()
    if tie is not None:
        # As near as float32 gets to a zero at an integer, on either side of it.
        offset = -scale * tie
    graph = dense(ops.Affine(scale, offset), taps=taps, channels=len(parameters))
    outcome = thresholds(graph)
    with np.errstate(all="ignore"):
        x = every_accumulator(taps)
        assert np.array_equal(evaluate(graph, [x])[0], evaluate(outcome.graph, [x])[0])
    # Only overflow to NaN, which is +1, can break the order of an affine.
    assert (
        outcome.applied
        or np.isinf(scale.astype(np.float32)).any()
        or np.isinf(offset.astype(np.float32)).any()
    )
    if outcome.applied:
        assert_thresholds(outcome.graph)


@given(
    taps=st.integers(1, 120),
    slopes=st.lists(st.floats(-4, 4, width=32), min_size=3, max_size=3),
    limits=st.tuples(st.floats(-90, 90, width=32), st.floats(-90, 90, width=32)),
    seed=st.integers(0, 2**32 - 1),
)
def test_chains_are_replaced_where_monotone_and_left_where_not(
    taps: int, slopes: list[float], limits: tuple[float, float], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    pool: list[Op] = [
        ops.PRelu(np.array(slopes, dtype=np.float32)),
        ops.PRelu(np.array(slopes[0], dtype=np.float32)),
        ops.Relu(),
        ops.Clamp(min(limits), max(limits)),
        affine(rng.normal(size=3), 20 * rng.normal(size=3)),
    ]
    chain = [pool[i] for i in rng.integers(0, len(pool), rng.integers(1, 5))]
    graph = dense(*chain, taps=taps, channels=3)
    y = np.arange(-taps, taps + 1, dtype=np.float32)[:, None].repeat(3, axis=1)
    for op in chain:
        y = op.reference(y)
    flips = np.abs(np.diff(ops.Sign().reference(y), axis=0)).sum(axis=0) / 2
    outcome = thresholds(graph)
    x = every_accumulator(taps)
    assert np.array_equal(evaluate(graph, [x])[0], evaluate(outcome.graph, [x])[0])
    if np.all(flips <= 1):
        if outcome.applied:
            assert kinds(outcome.graph) == ["Input", "Sign", "BinaryLinear", "Affine", "Sign"]
        assert_thresholds(outcome.graph)
    else:
        assert (outcome.applied, outcome.graph) == (0, graph)
        assert f"channel {int(np.argmax(flips > 1))}" in outcome.skipped[0]


def test_every_direction_and_constants() -> None:
    scale, offset = [1.0, -1.0, 0.0, -0.0, 0.0, 2.0, -2.0], [-0.25, 1.0, 3.0, 0.0, -1e-45, 100.0, -100.0]
    outcome = thresholds(dense(affine(scale, offset), taps=5, channels=7))
    assert outcome.applied == 1
    assert found(outcome.graph) == [(1, -0.5), (-1, 1.5), (1, 5.5), (1, 5.5), (1, -5.5), (1, 5.5), (1, -5.5)]


def test_a_zero_counts_as_plus_one_whatever_its_sign() -> None:
    # +0 at 3 in the first channel, -0.0 + -0.0 at 0 in the second.
    outcome = thresholds(dense(affine([1.0, -1.0], [-3.0, -0.0]), taps=9, channels=2))
    assert found(outcome.graph) == [(1, -2.5), (-1, 0.5)]


def test_a_tie_that_float32_makes_is_honoured() -> None:
    # The reals put the zero just above 3, but fl(3 * fl(0.1)) == fl(0.3): the deployed model says +1 at 3.
    scale, offset = np.float32(0.1), np.float32(-0.3)
    assert 3 * float(scale) + float(offset) < 0 == np.float32(3) * scale + offset
    outcome = thresholds(dense(affine(0.1, -0.3), taps=9))
    assert found(outcome.graph) == [(1, -2.5)]


def test_an_overflow_is_part_of_the_chain() -> None:
    # Infinity times 0 is NaN, which counts as +1.
    assert found(thresholds(dense(affine(1e39, -1.0), taps=2)).graph) == [(1, 0.5)]
    assert found(thresholds(dense(affine(-1e39, -1.0), taps=2)).graph) == [(-1, 0.5)]
    folded = ops.PRelu(np.array(-1, dtype=np.float32))
    refused = thresholds(dense(affine(1e39, 0.0), folded, affine(-1.0, -1.0), taps=2))
    assert refused.applied == 0
    assert "the sign changes at 2 accumulators, the first of them 0 and 1;" in refused.skipped[0]


def test_a_non_monotone_channel_is_named() -> None:
    slope = np.array([0.25, -0.5, 0.25, -1.0], dtype=np.float32)
    graph = dense(ops.PRelu(slope), affine([1.0] * 4, -2.0), taps=8, channels=4)
    outcome = thresholds(graph)
    assert outcome.graph is graph
    (line,) = outcome.skipped
    assert line.startswith("binarylinear2: not monotone: module 'm2', channel 1 (and 1 more channels): ")
    assert "behind prelu3, affine4 the sign changes at 2 accumulators, the first of them -3 and 2;" in line


def test_negative_slopes_that_keep_the_order_are_no_obstacle() -> None:
    # Behind the negative slope everything is above the offset anyway.
    outcome = thresholds(
        dense(ops.PRelu(np.array(-0.5, dtype=np.float32)), affine(2.0, 0.5), ops.Relu(), taps=8)
    )
    assert found(outcome.graph) == [(1, 8.5)]


def test_names_and_origins_stay() -> None:
    b = Build(6)
    acc = b(ops.BinaryLinear(np.ones((1, 6), dtype=np.int8)), b(ops.Sign(), "x"))
    first = b(affine(2.0, 1.0), acc)
    last = b(affine(3.0, 0.0), b(ops.Relu(), first))
    sign = b(ops.Sign(), b(ops.Clamp(-1.0, 1.0), last))
    graph = b.graph(sign)
    after = thresholds(graph).graph
    assert [node.name for node in after] == ["x", "sign1", acc, last, sign]
    assert after[last].module == graph[last].module
    # Without an affine the new node is called after the sign.
    after = thresholds(dense(ops.Relu(), taps=3)).graph
    assert [node.name for node in after] == ["x", "sign1", "binarylinear2", "sign4_threshold", "sign4"]
    assert found(after) == [(1, 3.5)]


@pytest.mark.parametrize("padding_value", [0, 1])
def test_convolutions_with_borders(padding_value: int) -> None:
    for groups in (1, 2):
        b = Build(8, 5, 6)
        weight = RNG.choice([-1, 1], (12, 8 // groups, 3, 3)).astype(np.int8)
        conv = ops.BinaryConv2d(weight, (2, 1), (1, 1), groups=groups, padding_value=padding_value)
        y = b(ops.PRelu(RNG.uniform(0, 1, 12).astype(np.float32)), b(conv, b(ops.Sign(), "x")))
        y = b(affine(RNG.normal(size=12), 8 * RNG.normal(size=12)), y)
        outcome = check(thresholds, b.graph(b(ops.Sign(), y)), applied=1)
        assert kinds(outcome.graph) == ["Input", "Sign", "BinaryConv2d", "Affine", "Sign"]
        assert_thresholds(outcome.graph)


def test_what_others_read_stays() -> None:
    for shown in range(4):
        b = Build(8)
        acc = b(ops.BinaryLinear(np.ones((3, 8), dtype=np.int8)), b(ops.Sign(), "x"))
        scaled = b(affine([1.0, 2.0, -1.0], 0.25), acc)
        sign = b(ops.Sign(), scaled)
        outputs = [sign, *([acc], [scaled], [b(ops.Relu(), acc)], [b(ops.Relu(), scaled)])[shown]]
        check(thresholds, b.graph(*outputs), applied=0)


def test_a_pool_or_nothing_in_between_is_left_alone() -> None:
    check(thresholds, dense(taps=4), applied=0)
    b = Build(4, 4, 4)
    acc = b(ops.BinaryConv2d(np.ones((2, 4, 1, 1), dtype=np.int8)), b(ops.Sign(), "x"))
    y = b(ops.MaxPool2d((2, 2), (2, 2)), b(affine([1.0, -1.0], 0.25), acc))
    check(thresholds, b.graph(b(ops.Sign(), y)), applied=0)


def test_several_chains_in_a_row() -> None:
    b = Build(16)
    y = b(
        affine(RNG.normal(size=9), 2.0),
        b(ops.BinaryLinear(RNG.choice([-1, 1], (9, 16)).astype(np.int8)), b(ops.Sign(), "x")),
    )
    y = b(
        affine(RNG.normal(size=5), 0.0),
        b(ops.BinaryLinear(RNG.choice([-1, 1], (5, 9)).astype(np.int8)), b(ops.Sign(), y)),
    )
    assert_thresholds(check(thresholds, b.graph(b(ops.Sign(), y)), applied=2).graph)


def test_a_large_layer_takes_little_time() -> None:
    taps, channels = 4608, 512
    scale = RNG.normal(size=channels) * np.exp(4 * RNG.normal(size=channels))
    graph = dense(affine(scale, 300 * scale * RNG.normal(size=channels)), taps=taps, channels=channels)
    start = time.process_time()
    outcome = thresholds(graph)
    assert time.process_time() - start < 1
    assert outcome.applied == 1
    x = every_accumulator(taps)[RNG.integers(0, taps + 1, 300)]
    assert np.array_equal(evaluate(graph, [x])[0], evaluate(outcome.graph, [x])[0])
