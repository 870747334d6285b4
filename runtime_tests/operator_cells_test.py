"""No cell is empty: every deployed operator has bounds, kernel, cases, documentation, a form in each target and a reading by the prover."""

from __future__ import annotations

from pathlib import Path

import pytest

from fdabnn_deploy.conformance import KINDS
from fdabnn_deploy.ir.ops import Op, Softmax
from fdabnn_deploy.ir.ops.documentation import operator_table, summary

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("part", ["infer", "reference", "bounds", "torch_kernel", "corners", "draw"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_operator_brings_its_parts(kind: type[Op], part: str) -> None:
    if (kind, part) == (Softmax, "bounds"):
        pytest.skip("no exact graph has a softmax: it is refused")
    own, inherited = getattr(kind, part), getattr(Op, part)
    assert getattr(own, "__func__", own) is not getattr(inherited, "__func__", inherited), (
        f"{kind.__name__} has no {part} of its own: see CONTRIBUTING.md, 'Adding an operator'"
    )


def test_every_operator_is_documented() -> None:
    assert all(summary(kind) for kind in KINDS)
    table = operator_table()
    assert table in (ROOT / "docs" / "graph.md").read_text(encoding="utf-8"), (
        f"the table of operators in docs/graph.md has to be:\n{table}"
    )
