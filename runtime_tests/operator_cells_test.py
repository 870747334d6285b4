"""No cell is empty: every deployed operator has bounds, kernel, cases, documentation, a form in each target and a reading by the prover."""

from __future__ import annotations

from pathlib import Path

import pytest

from fdabnn_deploy.conformance import KINDS, chosen_cases
from fdabnn_deploy.conformance.merged import merged
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import Op, Softmax
from fdabnn_deploy.ir.ops.documentation import operator_table, summary
from fdabnn_deploy.prove import refusals
from fdabnn_deploy.prove.walk import prove
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.installed import registered
from fdabnn_deploy.targets.target import Target

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


@pytest.mark.parametrize(
    "target", [target for target in registered() if target.reader], ids=lambda target: target.name
)
def test_every_operator_has_a_form_in_the_target_that_the_prover_reads(
    target: Target, tmp_path: Path
) -> None:
    graphs = {case.op.kind: case.graph for case in reversed(chosen_cases())}
    assert set(graphs) == {kind.__name__ for kind in KINDS}
    path = tmp_path / "operators"
    graph, info = merged(graphs), ModelInfo("operators", (1,))
    target.converter().convert(graph, info, path, ConvertOptions())
    assert target.reader
    _, program = next(iter(target.load(target.reader)(path.read_bytes())))
    rows = prove(program).rows
    unknown = refusals.reason("an operator that nobody knows")
    assert [row for row in rows if row.why == unknown] == []
    makers = {row.tensor for row in rows}
    assert len(makers) == len(rows) >= len(graphs) - 1
