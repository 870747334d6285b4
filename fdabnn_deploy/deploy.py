"""From a captured module to its deployed graph: the passes in order, the coverage of its layers, and the refusals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fdabnn_deploy.capture import Captured, TrainedLayer
from fdabnn_deploy.graph import Graph
from fdabnn_deploy.ops import BinaryConv2d, BinaryLinear
from fdabnn_deploy.passes import PASSES
from fdabnn_deploy.passes.recognise_binary import Verdict, judge
from fdabnn_deploy.undeployable import refuse_undeployable


@dataclass(frozen=True)
class PassReport:
    """The account of one pass; see `fdabnn_deploy.passes.Outcome`."""

    name: str
    applied: int
    notes: tuple[str, ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class LayerCoverage:
    """One convolution or dense layer of the trained module.

    Attributes:
        module: its module path.
        kind: `conv2d` or `linear`.
        weight_shape: of its weight.
        one_bit: whether it became a binary operator.
        expected: whether the module's own code puts a sign on both sides, counted before any recognition.
        why: why it is not 1-bit, empty where it is.
        remedy: what would change that.
        node: the name of its tensor in the deployed graph, empty for a layer that is not 1-bit.
    """

    module: str
    kind: str
    weight_shape: tuple[int, ...]
    one_bit: bool
    expected: bool
    why: str
    remedy: str
    node: str


@dataclass(frozen=True)
class Deployed:
    """A deployed graph and how it came about.

    Attributes:
        graph: contains the operators of `fdabnn_deploy.ops.DEPLOYED` only.
        coverage: every conv and dense layer whose result reaches the output.
        passes: what each pass did.
        weight_zeros: per module path, how many trained binary weights were exactly 0 and count as +1.
        dropped_layers: how many dense layers went with the noise modules, or never reached the output.
    """

    graph: Graph
    coverage: tuple[LayerCoverage, ...]
    passes: tuple[PassReport, ...]
    weight_zeros: dict[str, int]
    dropped_layers: int


def deploy(
    captured: Captured, observe: Callable[[str, Graph], None] | None = None, *, exact: bool = False
) -> Deployed:
    """Runs the passes.

    Args:
        captured: the module.
        observe: called with each pass's name and resulting graph, for tests and debugging.
        exact: whether the graph is to become exact: operators that cannot are refused with the others.

    Raises:
        ModelRefusedError: operators are left that no target has: all of them, with module path, source line and remedy.
    """
    graph = captured.graph
    reports: list[PassReport] = []
    verdicts: dict[str, Verdict] = {}
    for name, run in PASSES:
        if name == "recognise_binary":
            verdicts = {
                layer.node: judge(graph, graph[layer.node])[0]
                for layer in captured.layers
                if layer.node in graph
            }
        outcome = run(graph)
        graph = outcome.graph
        reports.append(PassReport(name, outcome.applied, outcome.notes, outcome.skipped))
        if observe is not None:
            observe(name, graph)
    refuse_undeployable(graph, [line for report in reports for line in report.skipped], exact=exact)
    binary = {node.name: node.module for node in graph.nodes_of(BinaryConv2d, BinaryLinear)}
    reaching = [layer for layer in captured.layers if layer.node in verdicts]
    coverage = tuple(_coverage(layer, verdicts[layer.node], binary) for layer in reaching)
    zeros = {layer.module: verdicts[layer.node].zeros for layer in reaching if verdicts[layer.node].zeros}
    return Deployed(graph, coverage, tuple(reports), zeros, len(captured.layers) - len(reaching))


def _coverage(layer: TrainedLayer, verdict: Verdict, binary: dict[str, str]) -> LayerCoverage:
    """The row of one layer; `binary` maps the deployed binary nodes to their modules, and loses those that were claimed."""
    node = next((name for name, module in binary.items() if verdict.one_bit and module == layer.module), "")
    binary.pop(node, None)
    return LayerCoverage(
        layer.module,
        layer.kind,
        layer.weight_shape,
        verdict.one_bit,
        layer.expected_binary,
        verdict.reason,
        verdict.remedy,
        node,
    )
