"""From a captured module to its deployed graph: the passes in order, the coverage of its layers, and the refusals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fdabnn_deploy.frontend.capture import Captured, TrainedLayer
from fdabnn_deploy.frontend.lint.undeployable import refuse_undeployable
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import BinaryConv2d, BinaryLinear
from fdabnn_deploy.ir.sign_zero import SignZero
from fdabnn_deploy.transforms import passes
from fdabnn_deploy.transforms.signs.recognise_binary import Verdict, judge


@dataclass(frozen=True)
class PassReport:
    """The account of one pass; see `fdabnn_deploy.transforms.Outcome`."""

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
        binary_layers: how many binary operators it became: 1 for a 1-bit layer, 0 for a float one, 2 or 4 where zeros are the mean of
            two signs (`sign_zero` "exact").
        expected: whether the module's own code puts a sign on both sides, counted before any recognition, or its weights are
            stored as signs.
        why: why it is not 1-bit, empty where it is.
        remedy: what would change that.
        node: the name of its (first) binary operator's tensor in the deployed graph, empty for a float layer.
        half: the only side that is binary, "weights" or "activations"; empty where both are or none.
        place: its statement, as `at file:line (text)`; empty where nobody knows.
        ones: how many more binary operators it became, with filters of ones.
    """

    module: str
    kind: str
    weight_shape: tuple[int, ...]
    binary_layers: int
    expected: bool
    why: str
    remedy: str
    node: str
    half: str = ""
    place: str = ""
    ones: int = 0

    @property
    def one_bit(self) -> bool:
        """Whether it became one binary operator."""
        return self.binary_layers == 1


@dataclass(frozen=True)
class Deployed:
    """A deployed graph and how it came about.

    Attributes:
        graph: contains the operators of `fdabnn_deploy.ir.ops.DEPLOYED` only.
        coverage: every conv and dense layer whose result reaches the output.
        passes: what each pass did.
        weight_zeros: per module path, how many weights of its two or four binary layers are exactly 0.
        dropped_layers: how many dense layers went with the noise modules, or never reached the output.
    """

    graph: Graph
    coverage: tuple[LayerCoverage, ...]
    passes: tuple[PassReport, ...]
    weight_zeros: dict[str, int]
    dropped_layers: int

    @property
    def skipped(self) -> list[str]:
        """The reasons for which passes left nodes as they were."""
        return [line for report in self.passes for line in report.skipped]


def deploy(
    captured: Captured,
    observe: Callable[[str, Graph], None] | None = None,
    *,
    exact: bool = False,
    sign_zero: SignZero = "plus",
) -> Deployed:
    """Runs the passes.

    Args:
        captured: the module.
        observe: called with each pass's name and resulting graph, for tests and debugging.
        exact: whether the graph is to become exact: operators that cannot are refused with the others.
        sign_zero: what a zero counts as at a sign that is written so that it stays 0.

    Raises:
        ModelRefusedError: operators are left that no target has: all of them, with module path, source line and remedy.
    """
    deployed = run_passes(captured, observe, sign_zero=sign_zero)
    refuse_undeployable(deployed.graph, deployed.skipped, exact=exact)
    return deployed


def run_passes(
    captured: Captured,
    observe: Callable[[str, Graph], None] | None = None,
    *,
    sign_zero: SignZero = "plus",
) -> Deployed:
    """The same without a look at what is left: the graph may have operators that no target has."""
    graph = captured.graph
    reports: list[PassReport] = []
    verdicts: dict[str, Verdict] = {}
    for name, run in passes(sign_zero):
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
    binary = {node.name: node.module for node in graph.nodes_of(BinaryConv2d, BinaryLinear)}
    reaching = [layer for layer in captured.layers if layer.node in verdicts]
    coverage = tuple(
        _coverage(layer, captured.graph[layer.node], verdicts[layer.node], binary) for layer in reaching
    )
    counted = [(layer.module, verdicts[layer.node]) for layer in reaching]
    zeros = {module: verdict.zeros for module, verdict in counted if verdict.zeros and verdict.binary_layers}
    return Deployed(graph, coverage, tuple(reports), zeros, len(captured.layers) - len(reaching))


def _coverage(layer: TrainedLayer, node: Node, verdict: Verdict, binary: dict[str, str]) -> LayerCoverage:
    """The row of one layer; `binary` maps deployed binary nodes to their modules; those of this layer are removed."""
    count = verdict.binary_layers + verdict.ones
    own = [name for name, module in binary.items() if module == layer.module][:count]
    for name in own:
        binary.pop(name)
    return LayerCoverage(
        layer.module,
        layer.kind,
        layer.weight_shape,
        verdict.binary_layers,
        layer.expected_binary or verdict.binary_layers > 0,
        verdict.reason,
        verdict.remedy,
        own[0] if own else "",
        verdict.half,
        _place(node),
        verdict.ones,
    )


def _place(node: Node) -> str:
    if not node.source:
        return ""
    return f"at {node.source}" + (f" (`{node.text}`)" if node.text else "")
