"""From a captured module to its deployed graph: the passes in order, the coverage of its layers, and the refusals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fdabnn_deploy.capture import Captured, TrainedLayer
from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.graph import Graph
from fdabnn_deploy.ops import DEPLOYED, BinaryConv2d, BinaryLinear, Opaque
from fdabnn_deploy.passes import PASSES
from fdabnn_deploy.passes.recognise_binary import Verdict, judge


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


def deploy(captured: Captured, observe: Callable[[str, Graph], None] | None = None) -> Deployed:
    """Runs the passes.

    Args:
        captured: the module.
        observe: called with each pass's name and resulting graph, for tests and debugging.

    Raises:
        ModelRefusedError: an operator is left that no target has; the message names it, its module path and its source line.
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
    _refuse_leftovers(graph, reports)
    binary = {node.name: node.module for node in graph.nodes_of(BinaryConv2d, BinaryLinear)}
    reaching = [layer for layer in captured.layers if layer.node in verdicts]
    coverage = tuple(_coverage(layer, verdicts[layer.node], binary) for layer in reaching)
    zeros = {layer.module: verdicts[layer.node].zeros for layer in reaching if verdicts[layer.node].zeros}
    return Deployed(graph, coverage, tuple(reports), zeros, len(captured.layers) - len(reaching))


def _refuse_leftovers(graph: Graph, reports: list[PassReport]) -> None:
    for node in graph:
        if type(node.op) in DEPLOYED:
            continue
        if isinstance(node.op, Opaque):
            raise ModelRefusedError(node.op.refusal)
        readers = [reader for reader in graph.consumers(node.name) if type(reader.op) in DEPLOYED]
        shown = readers[0] if node.op.kind == "Constant" and readers else node
        reasons = [line for report in reports for line in report.skipped if line.startswith(f"{shown.name}:")]
        because = f" ({reasons[0].split(': ', 1)[1]})" if reasons else ""
        raise ModelRefusedError(
            f"operator {shown.op.describe()} in module '{shown.module or 'the model itself'}' at {shown.source or 'an unknown line'} "
            f"cannot be deployed{because}; replace it by convolutions, pooling, activations and arithmetic with constants"
        )


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
