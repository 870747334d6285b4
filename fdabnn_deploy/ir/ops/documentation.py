"""The table of deployed operators in docs/graph.md, made from the operators' docstrings."""

from __future__ import annotations

import inspect

from fdabnn_deploy.ir.ops.base import REGISTRY, Op

HEAD = "| family | operator | what it is |\n|---|---|---|"


def summary(kind: type[Op]) -> str:
    """The first sentence of an operator's docstring: its formula or what it does, in one line."""
    paragraph = " ".join((inspect.getdoc(kind) or "").partition("\n\n")[0].split())
    return paragraph.partition(". ")[0].rstrip(".").replace("|", "\\|")


def operator_table() -> str:
    """One row per deployed operator, in the order of the families' files."""
    rows = [HEAD]
    families = dict.fromkeys(entry.family for entry in REGISTRY)
    for family in families:
        kinds = [entry.kind for entry in REGISTRY if entry.family == family]
        rows += [f"| {family} | `{kind.__name__}` | {summary(kind)} |" for kind in kinds]
    return "\n".join(rows)
