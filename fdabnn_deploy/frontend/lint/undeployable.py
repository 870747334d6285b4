"""Everything in a graph that cannot be deployed, in one message: operator, module, source line and remedy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend.lint.remedies import GENERAL, remedy_for
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Graph, Node

_MOST = 24
_CHOICES = "write a sign as torch.sign(x), torch.where(x < 0, -1.0, 1.0) or (x >= 0).float() * 2 - 1, with one constant per channel at most"
_FLOAT = "or export with --numerics float, without the promise of equal bits"


def refuse_undeployable(graph: Graph, skipped: Sequence[str] = (), *, exact: bool = False) -> None:
    """Does nothing where every operator has a form in the targets.

    Args:
        graph: after the passes.
        skipped: what passes said of nodes that they left, `<node>: <reason>`.
        exact: whether operators without an exact form count, too.

    Raises:
        ModelRefusedError: one line per statement that cannot be deployed.
    """
    lines = undeployable_statements(graph, skipped, exact=exact)
    if not lines:
        return
    if len(lines) == 1:
        raise ModelRefusedError(lines[0])
    shown = [*lines[:_MOST], *([f"and {len(lines) - _MOST} more"] if len(lines) > _MOST else [])]
    raise ModelRefusedError("\n  ".join([f"{len(lines)} statements cannot be deployed:", *shown]))


def undeployable_statements(graph: Graph, skipped: Sequence[str] = (), *, exact: bool = False) -> list[str]:
    """The lines of `refuse_undeployable`, one per statement."""
    return list(dict.fromkeys(_lines(graph, skipped, exact)))


def _lines(graph: Graph, skipped: Sequence[str], exact: bool) -> Iterable[str]:
    statements: dict[tuple[str, str], list[Node]] = {}
    for node in graph:
        if isinstance(node.op, ops.Opaque):
            if node.op.refusal:
                yield node.op.refusal
        elif exact and (reason := _inexact(node)):
            yield reason
        elif type(node.op) not in ops.DEPLOYED:
            shown = _reader(graph, node)
            statements.setdefault((shown.module, shown.source), []).append(shown)
    for nodes in statements.values():
        if not any(_below_opaque(graph, node) for node in nodes):
            yield _not_finite(graph, nodes) or _describe(nodes, skipped)


def _reader(graph: Graph, node: Node) -> Node:
    """The node to name in a message: for a constant, the operator that reads it."""
    readers = graph.consumers(node.name)
    return readers[0] if isinstance(node.op, ops.Constant) and readers else node


def _below_opaque(graph: Graph, node: Node) -> bool:
    """Whether an operand comes from an operator that is listed already: a pattern cannot be recognised behind it."""
    return any(isinstance(source.op, ops.Opaque) for source in graph.producers(node))


def _not_finite(graph: Graph, nodes: Sequence[Node]) -> str:
    """The line of a comparison with NaN or an infinity, or nothing."""
    for node in nodes:
        for constant in map(graph.constant, node.inputs if isinstance(node.op, ops.Compare) else ()):
            if constant is not None and not np.all(np.isfinite(constant.value)):
                odd = constant.value[~np.isfinite(constant.value)].flat[0]
                return (
                    f"operator {_name(node)} {place(node)} compares with {odd}, which is not finite: its result never changes; compare "
                    "with a finite number, and look where this one comes from"
                )
    return ""


def _describe(nodes: Sequence[Node], skipped: Sequence[str]) -> str:
    names = list(dict.fromkeys(_name(node) for node in nodes))
    operators = f"operator{'s' * (len(names) > 1)} {', '.join(names)}"
    reasons = [
        line.split(": ", 1)[1] for node in nodes for line in skipped if line.startswith(f"{node.name}:")
    ]
    because = f" ({'; '.join(dict.fromkeys(reasons))})" if reasons else ""
    return f"{operators} {place(nodes[0])} cannot be deployed{because}; {_remedy(nodes)}"


def place(node: Node) -> str:
    """Where a node comes from, for messages."""
    where = f"in module '{node.module or 'the model itself'}'"
    where += f" at {node.source}" if node.source else ""
    return where + (f" (`{node.text}`)" if node.text else "")


def _name(node: Node) -> str:
    if isinstance(node.op, ops.Unary):
        return f"'{node.op.function}'"
    if isinstance(node.op, ops.Compare):
        return f"'{node.op.relation}'"
    return f"'{node.op.kind.lower()}'"


def _remedy(nodes: Sequence[Node]) -> str:
    kinds = {type(node.op) for node in nodes}
    functions = [node.op.function for node in nodes if isinstance(node.op, ops.Unary)]
    if functions:
        return remedy_for(functions[0])
    if kinds & {ops.Compare, ops.Where, ops.LogicalNot, ops.ToFloat}:
        return _CHOICES
    if any(node.op.kind == "Div" for node in nodes):
        return remedy_for("div")
    if any(node.op.kind in ("Add", "Sub", "Mul") for node in nodes):
        return "give the constant one number per channel, or one for all"
    return GENERAL


def _inexact(node: Node) -> str:
    """Why an operator has no exact form, or nothing."""
    if isinstance(node.op, ops.Softmax):
        function = "log_softmax" if node.op.log else "softmax"
        return (
            f"operator '{function}' {place(node)} has no exact form: exponentials differ between runtimes; return what it reads, which "
            f"ranks the classes alike, {_FLOAT}"
        )
    return ""
