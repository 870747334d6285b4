"""Layer checks: every binary layer alone, sign in front, nothing behind (multiplier 1, bias 0).

In a whole network a wrong binary layer can hide behind float rounding. Alone it cannot: its outputs are the
integer accumulators, magnitude at most K = kh*kw*C/groups < 2^24, which float32 holds exactly whatever the
order of the sum. So a layer, run on the tensor that the layer really gets, must equal the reference operator
in every value. All checks of a network share one graph, hence one file: `in_<i>` -> sign -> binary layer ->
`out_<i>`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import BinaryConv2d, BinaryLinear, FloatArray, Input, Sign
from fdabnn_deploy.runtimes.base import Session
from fdabnn_deploy.verify.metrics import Difference, compare

MAX_IMAGES = 8


@dataclass(frozen=True)
class LayerCheck:
    """One binary layer and the tensors recorded around it.

    Attributes:
        node: name of the binary layer in the deployed graph.
        module: path of the PyTorch module it comes from.
        kind: of the operator.
        taps: K, the bound of its accumulators.
        recorded: what the layer's sign reads in the network, float32 [N, ...].
        expected: the accumulators that the reference operator computes from it.
    """

    node: str
    module: str
    kind: str
    taps: int
    recorded: FloatArray
    expected: FloatArray


@dataclass(frozen=True)
class LayerCheckResult:
    """How a layer check came out on a runtime.

    Attributes:
        node: name of the binary layer.
        module: path of the PyTorch module it comes from.
        kind: of the operator.
        taps: K.
        values: accumulators compared.
        differing: how many are not equal; anything but 0 is an error.
        first: the first that differs, a the reference and b the runtime.
    """

    node: str
    module: str
    kind: str
    taps: int
    values: int
    differing: int
    first: Difference | None

    @property
    def passed(self) -> bool:
        """Whether every accumulator is equal."""
        return self.differing == 0


@dataclass(frozen=True)
class LayerChecks:
    """All binary layers of a network; `graph` has one input and one output per layer, in their order."""

    graph: Graph
    layers: tuple[LayerCheck, ...]

    def check(self, session: Session) -> tuple[LayerCheckResult, ...]:
        """Runs the checks' file on a runtime and compares every accumulator with `==`."""
        outputs = session.run([check.recorded for check in self.layers])
        results = []
        for check, output in zip(self.layers, outputs, strict=True):
            found = compare(check.expected, output)
            results.append(
                LayerCheckResult(
                    check.node,
                    check.module,
                    check.kind,
                    check.taps,
                    found.values,
                    found.differing,
                    found.first,
                )
            )
        return tuple(results)


def read_tensors(graph: Graph) -> list[str]:
    """The names of the tensors that `build` asks for: what the signs of the binary layers read."""
    signs = (graph.producers(node)[0] for node in graph.nodes_of(BinaryConv2d, BinaryLinear))
    return list(dict.fromkeys(sign.inputs[0] for sign in signs))


def build(graph: Graph, tensors: Mapping[str, FloatArray]) -> LayerChecks | None:
    """Takes every binary layer out of a deployed graph.

    Args:
        graph: the deployed graph.
        tensors: what the graph computed on some images, by tensor name, those of `read_tensors`; the first `MAX_IMAGES` images are used.

    Returns:
        The checks, or None where the graph has no binary layer.
    """
    nodes: list[Node] = []
    outputs: list[str] = []
    layers: list[LayerCheck] = []
    inputs: list[Node] = []
    for i, node in enumerate(graph.nodes_of(BinaryConv2d, BinaryLinear)):
        (sign,) = graph.producers(node)
        assert isinstance(sign.op, Sign), f"{node} does not read a sign"
        (source,) = sign.inputs
        inputs.append(Node(f"in_{i}", Input(graph.shape(source)[1:])))
        nodes.append(Node(f"sign_{i}", Sign(), (f"in_{i}",), node.module, node.source))
        nodes.append(Node(f"out_{i}", node.op, (f"sign_{i}",), node.module, node.source))
        outputs.append(f"out_{i}")
        recorded = np.ascontiguousarray(tensors[source][:MAX_IMAGES])
        expected = node.op.reference(sign.op.reference(recorded))
        taps = node.op.taps  # type: ignore[attr-defined]
        layers.append(LayerCheck(node.name, node.module, node.op.kind, taps, recorded, expected))
    if not layers:
        return None
    return LayerChecks(Graph([*inputs, *nodes], outputs), tuple(layers))
