from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Affine, BinaryConv2d, BinaryLinear, FloatArray, GlobalAvgPool, Input, Sign
from fdabnn_deploy.ir.reference import evaluate, evaluate_all
from fdabnn_deploy.runtimes.base import Session
from fdabnn_deploy.verify import layer_checks

RNG = np.random.default_rng(0)


def weight(*shape: int) -> NDArray[np.int8]:
    return RNG.choice(np.array([-1, 1], np.int8), shape)


def network() -> Graph:
    """A binary convolution with a scale behind it, and a binary dense layer."""
    scale = Affine(np.full(4, 0.013), np.linspace(-1, 1, 4))
    nodes = [
        Node("x", Input((3, 6, 6))),
        Node("s1", Sign(), ("x",)),
        Node("conv", BinaryConv2d(weight(4, 3, 3, 3), stride=(2, 2), padding=(1, 1)), ("s1",), "a.conv"),
        Node("scaled", scale, ("conv",)),
        Node("pool", GlobalAvgPool(), ("scaled",)),
        Node("s2", Sign(), ("pool",)),
        Node("fc", BinaryLinear(weight(5, 4)), ("s2",), "fc"),
    ]
    return Graph(nodes, ["fc"])


class ReferenceSession(Session):
    """Runs a graph on the reference executor, with one accumulator changed where asked."""

    def __init__(self, graph: Graph, wrong: tuple[int, tuple[int, ...]] | None = None) -> None:
        self.graph = graph
        self.wrong = wrong

    def run(self, inputs: Sequence[FloatArray]) -> list[FloatArray]:
        outputs = evaluate(self.graph, inputs)
        if self.wrong is not None:
            output, index = self.wrong
            outputs[output] = outputs[output].copy()
            outputs[output][index] += 2
        return outputs

    def run_all(self, inputs: Sequence[FloatArray]) -> dict[str, FloatArray]:
        return evaluate_all(self.graph, inputs)

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(self.graph.shape(name)[1:] for name in self.graph.inputs)

    def native_inputs(self, inputs: Sequence[FloatArray]) -> object:
        return inputs

    def run_native(self, prepared: object) -> None:
        raise NotImplementedError


def build() -> layer_checks.LayerChecks:
    graph = network()
    images = RNG.standard_normal((layer_checks.MAX_IMAGES + 3, 3, 6, 6)).astype(np.float32)
    built = layer_checks.build(graph, evaluate_all(graph, [images]))
    assert built is not None
    return built


def test_every_binary_layer_stands_alone() -> None:
    built = build()
    assert [(check.node, check.module, check.kind, check.taps) for check in built.layers] == [
        ("conv", "a.conv", "BinaryConv2d", 27),
        ("fc", "fc", "BinaryLinear", 4),
    ]
    assert len(built.graph) == 6
    assert [built.graph.shape(name) for name in built.graph.outputs] == [(-1, 4, 3, 3), (-1, 5)]


def test_it_reads_what_the_layer_read_and_gives_integers() -> None:
    for check in build().layers:
        assert len(check.recorded) == layer_checks.MAX_IMAGES
        assert check.recorded.std() > 0
        np.testing.assert_array_equal(check.expected, np.rint(check.expected))
        assert 0 < np.abs(check.expected).max() <= check.taps


def test_equal_accumulators_pass() -> None:
    built = build()
    results = built.check(ReferenceSession(built.graph))
    assert [result.passed for result in results] == [True, True]
    assert results[0].values == layer_checks.MAX_IMAGES * 4 * 3 * 3
    assert results[0].first is None


def test_one_wrong_accumulator_is_found() -> None:
    built = build()
    results = built.check(ReferenceSession(built.graph, wrong=(0, (2, 1, 0, 2))))
    assert [result.passed for result in results] == [False, True]
    first = results[0].first
    assert first is not None
    assert first.index == (2, 1, 0, 2)
    assert first.b - first.a == 2


def test_a_network_without_binary_layers_has_no_layer_checks() -> None:
    graph = Graph([Node("x", Input((3, 4, 4))), Node("y", GlobalAvgPool(), ("x",))], ["y"])
    assert layer_checks.build(graph, {}) is None
