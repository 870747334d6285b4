"""Thresholds of packed results against the signs that the graph's own arithmetic gives, for every number of differing bits."""

from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_tflite.lower.table import lower_graph
from fdabnn_tflite.writer.binary import BinaryLayer, BinaryPlan
from fdabnn_tflite.writer.function import Recorder
from fdabnn_tflite.writer.simplify import Function, simplify

TAPS = 4 * 9
CHANNELS = 12


def plan(*between: ops.Op, padding: int = 0) -> BinaryPlan:
    rng = np.random.default_rng(0)
    first, second = (
        rng.choice(np.array([-1, 1], np.int8), shape) for shape in ((CHANNELS, 4, 3, 3), (3, CHANNELS, 1, 1))
    )
    nodes = [Node("x", ops.Input((4, 6, 6))), Node("s", ops.Sign(), ("x",))]
    nodes.append(Node("c", ops.BinaryConv2d(first, padding=(padding, padding)), ("s",)))
    for i, op in enumerate(between):
        nodes.append(Node(f"y{i}", op, (nodes[-1].name,)))
    nodes.append(Node("t", ops.Sign(), (nodes[-1].name,)))
    nodes.append(Node("d", ops.BinaryConv2d(second), ("t",)))
    recorder = Recorder(Graph(nodes, ["d"]), False, 1)
    function = Function(recorder.ops, lower_graph(recorder, (recorder.argument((-1, 6, 6, 4)),)))
    simplify(function)
    return BinaryPlan(function)


def signs(
    layer: BinaryLayer, scale: FloatArray, offset: FloatArray
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Of every number p of bits that differ from the weights as the graph has them, per channel: whether the sign is -1."""
    sums = (TAPS - 2 * np.arange(TAPS + 1)).astype(np.float32)[:, None]
    return np.asarray(sums * scale + offset < 0)


@pytest.mark.parametrize("seed", range(20))
def test_thresholds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scale = (rng.integers(-3, 4, CHANNELS) / rng.choice([1, 4])).astype(np.float32)
    offset = rng.choice([-40, -3, -0.5, 0, 0.25, 7, 60], CHANNELS).astype(np.float32)
    between = ops.Affine(scale.astype(np.float64), offset.astype(np.float64))
    found = plan(between)
    layer = next(layer for layer in found.layers.values() if layer.packed)
    p = np.arange(TAPS + 1)[:, None]
    counted = (
        np.where(scale < 0, TAPS - p, p)
        if layer.scale is not None
        else np.broadcast_to(p, (TAPS + 1, CHANNELS))
    )
    np.testing.assert_array_equal(counted > layer.thresholds(), signs(layer, scale, offset))
    # With the opposite weights where the scale is negative.
    stored = layer.packed_weights().view(np.uint32) & 0xF
    plain = (np.asarray(layer.op.attributes["weight"]).transpose(3, 0, 1, 2) < 0) @ (1 << np.arange(4))
    opposite = (scale < 0)[:, None, None] & (layer.scale is not None)
    np.testing.assert_array_equal(stored[..., 0], np.where(opposite, plain ^ 0xF, plain))


def test_a_layer_that_pads_zeros_writes_floats() -> None:
    assert not any(layer.packed for layer in plan(padding=1).layers.values())
    assert any(layer.packed for layer in plan().layers.values())


def test_what_is_read_twice_or_is_no_number_per_channel_stays_outside() -> None:
    found = plan(
        ops.PRelu(np.full(CHANNELS, 0.5, np.float32)), ops.Affine(np.full(CHANNELS, 2.0), np.zeros(CHANNELS))
    )
    assert found.inside == set()
