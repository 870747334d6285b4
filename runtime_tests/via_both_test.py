"""`--via both`: the file of LCE's converter is compared with our own, under every setting."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fdabnn_deploy
from fdabnn_deploy.errors import RuntimeMissingError, UsageError
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import Linear
from fdabnn_deploy.pipeline.report import ExportParityError
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_tflite import convert

FORM = "LCE's converter"


def export(checkpoint: Path, out: Path, **options: Any) -> Any:
    return fdabnn_deploy.export(
        checkpoint, targets="tflite", out=out, samples="random:8", allow_change=True, via="both", **options
    )


def test_the_other_file_is_compared_and_not_kept(checkpoint: Path, tmp_path: Path) -> None:
    report = export(checkpoint, tmp_path)
    rows = [row for row in report.parity if row.form == FORM]
    assert {row.runtime for row in rows} == {"litert", "lce"}
    assert all(row.passed and row.comparison.differing == 0 and row.setting for row in rows)
    assert [path.name for path in tmp_path.iterdir()] == ["random.tflite"]


def test_another_bit_there_fails_the_export(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(graph: Graph, info: ModelInfo, batch: int | None) -> Any:
        nodes = [
            replace(node, op=replace(node.op, weight=-node.op.weight))
            if isinstance(node.op, Linear)
            else node
            for node in graph
        ]
        return convert._written(Graph(nodes, graph.outputs), info, ConvertOptions(batch=batch))

    monkeypatch.setattr(convert, "_via_lce", spoilt)
    with pytest.raises(ExportParityError, match=rf"\({FORM}, .*differs in"):
        export(checkpoint, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_float_numerics_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exact numerics"):
        export(checkpoint, tmp_path / "out", numerics="float")


@pytest.mark.usefixtures("lce")
@pytest.mark.parametrize("package", ["tensorflow", "larq_compute_engine"])
def test_a_missing_package_is_named_before_the_work(
    package: str, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == package else find(name))
    with pytest.raises(RuntimeMissingError, match=rf"{package}.*\[export,lce\]"):
        export(checkpoint, tmp_path / "out")
    assert not (tmp_path / "out").exists()
