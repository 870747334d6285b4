"""A look at a network before it is trained, as an export would see it: which layers stay float, which are slow, and what would be refused.

The network is captured and its passes run, with whatever weights it has; no file is made and no runtime is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend import checkpoint
from fdabnn_deploy.frontend.capture import Captured, capture
from fdabnn_deploy.frontend.lint.codes import CODES, Level
from fdabnn_deploy.frontend.lint.undeployable import undeployable_statements
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.pipeline.coverage import AllowedFloat
from fdabnn_deploy.transforms.deploy import Deployed, LayerCoverage, run_passes

_WORD = 32


@dataclass(frozen=True)
class Finding:
    """One thing that the command says.

    Attributes:
        code: of `fdabnn_deploy.frontend.lint.codes.CODES`.
        module: the path of the layer, empty where it is no layer's.
        text: what it is about, in one sentence.
        change: what would change it.
        allowed: whether the user accepts it: a float layer that `--allow-float` names.
    """

    code: str
    module: str
    text: str
    change: str
    allowed: bool = False

    @property
    def level(self) -> Level:
        """The level of its code; a note where it is accepted."""
        return "note" if self.allowed else CODES[self.code].level


@dataclass(frozen=True)
class LintedLayer:
    """A convolution or dense layer.

    Attributes:
        module: its path.
        kind: `conv2d` or `linear`.
        weight_shape: of its weight.
        binary_layers: how many 1-bit layers it becomes, 0 for a float layer.
        codes: of the findings on it.
    """

    module: str
    kind: str
    weight_shape: tuple[int, ...]
    binary_layers: int
    codes: tuple[str, ...]


@dataclass(frozen=True)
class Linted:
    """The result: all layers in their order, and all findings."""

    layers: tuple[LintedLayer, ...]
    findings: tuple[Finding, ...]

    def codes(self, module: str) -> tuple[str, ...]:
        """The codes of a layer."""
        return _codes(self.findings, module)

    def worst(self, *, strict: bool) -> int:
        """The exit code: 3 where something would be refused, or with `strict` where a layer is float or slow, else 0."""
        levels = {finding.level for finding in self.findings}
        return 3 if levels & ({"refused", "float", "slow"} if strict else {"refused"}) else 0


def _codes(findings: Sequence[Finding], module: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(finding.code for finding in findings if finding.module == module))


def lint_network(network: checkpoint.Source, allow_float: str | Iterable[str] = ()) -> Linted:
    """Looks at a network.

    Args:
        network: as `fdabnn_deploy.frontend.checkpoint` reads or takes it.
        allow_float: names or patterns of layers that may be float.

    Raises:
        UsageError: a name or pattern is of nothing in the network.
    """
    floats = AllowedFloat(allow_float)
    floats.check_module(network.module)
    try:
        captured = capture(network.module, network.info.input_shape, without_softmax=True)
    except ModelRefusedError as error:
        return Linted((), (_finding("B303", "", str(error)),))
    return lint_deployed(captured, run_passes(captured), floats)


def lint_deployed(captured: Captured, deployed: Deployed, floats: AllowedFloat) -> Linted:
    """Looks at a network that has been captured, and whose passes have run."""
    findings = [_finding("B403", "", note) for note in captured.notes]
    lines = undeployable_statements(deployed.graph, deployed.skipped, exact=True)
    findings += [_finding("B301", "", line) for line in lines]
    for layer in deployed.coverage:
        findings += _of_layer(deployed, layer, floats)
    meant = any(layer.binary_layers or layer.expected for layer in deployed.coverage)
    if not meant and not (deployed.coverage and all(layer.module in floats for layer in deployed.coverage)):
        findings.append(_finding("B303", "", "no layer has both a sign in front and binary weights"))
    binary = {layer.module for layer in deployed.coverage if layer.binary_layers}
    findings += [
        _finding("B205", layer.module, "the norm behind it stands behind a PReLU")
        for layer in captured.layers
        if layer.module in binary and _norm_behind_prelu(captured.graph, layer.node)
    ]
    findings += [
        _finding("B401", node.module, f"the sign {node.name} reads a {source.op.kind}")
        for node, source in _behind_relu(deployed.graph)
    ]
    layers = tuple(
        LintedLayer(
            layer.module,
            layer.kind,
            tuple(layer.weight_shape),
            layer.binary_layers,
            _codes(findings, layer.module),
        )
        for layer in deployed.coverage
    )
    return Linted(layers, tuple(findings))


def _finding(code: str, module: str, text: str, change: str = "", *, allowed: bool = False) -> Finding:
    return Finding(code, module, text, change or CODES[code].change, allowed)


def _of_layer(deployed: Deployed, layer: LayerCoverage, floats: AllowedFloat) -> list[Finding]:
    module = layer.module
    if not layer.binary_layers:
        allowed = module in floats
        if layer.expected:
            return [_finding("B302", module, layer.why, layer.remedy, allowed=allowed)]
        code = "B102" if layer.half else "B101"
        return [_finding(code, module, layer.why, layer.remedy, allowed=allowed)]
    findings = [_finding("B201", module, layer.why)] if layer.binary_layers > 1 else []
    graph = deployed.graph
    if layer.node not in graph:
        return findings
    node = graph[layer.node]
    findings += _of_binary(graph, node, module)
    if layer.ones:
        text = "its weights take two values per output channel that are not opposite"
        findings.append(_finding("B204", module, text))
    return findings


def _of_binary(graph: Graph, node: Node, module: str) -> list[Finding]:
    op, findings = node.op, []
    assert isinstance(op, ops.BinaryConv2d | ops.BinaryLinear)
    channels = op.weight.shape[1]
    if channels % _WORD:
        what = (
            "input channels"
            if isinstance(op, ops.BinaryLinear) or op.groups == 1
            else f"input channel{'s' * (channels > 1)} per group"
        )
        findings.append(_finding("B202", module, f"it has {channels} {what}, no multiple of {_WORD}"))
    if isinstance(op, ops.BinaryLinear):
        findings.append(_finding("B402", module, f"a dense layer of {op.weight.shape[1]} inputs"))
    elif any(op.padding) and op.padding_value == 0:
        findings.append(_finding("B203", module, f"it pads {_by(op.padding)} with zeros"))
    return findings


def _by(padding: Sequence[int]) -> str:
    return str(padding[0]) if padding[0] == padding[1] else "x".join(map(str, padding))


def _norm_behind_prelu(graph: Graph, name: str) -> bool:
    """Whether the first batch norm behind a layer, as captured, stands behind a PReLU."""
    activated = False
    while True:
        readers = graph.consumers(name)
        if len(readers) != 1:
            return False
        op, name = readers[0].op, readers[0].name
        if isinstance(op, ops.BatchNorm):
            return activated
        if not isinstance(op, ops.PRelu | ops.Mul | ops.Add | ops.MaxPool2d | ops.Reshape):
            return False
        activated = activated or isinstance(op, ops.PRelu)


def _behind_relu(graph: Graph) -> list[tuple[Node, Node]]:
    """Signs that read a ReLU, or a clamp that ends at 0, through what only moves values."""
    found = []
    for node in graph.nodes_of(ops.Sign):
        source = graph[node.inputs[0]]
        while isinstance(source.op, ops.Mover | ops.MaxPool2d | ops.AvgPool2d | ops.GlobalAvgPool):
            source = graph[source.inputs[0]]
        if isinstance(source.op, ops.Relu) or (isinstance(source.op, ops.Clamp) and source.op.low >= 0):
            found.append((node, source))
    return found
