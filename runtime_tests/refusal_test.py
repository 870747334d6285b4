"""Exports that must not pass: a wrong file, a layer that is no longer binary. Nothing is written then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.ir.composites import decompose
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import Array, BinaryConv2d, FloatArray, Linear, Op
from fdabnn_deploy.pipeline import export
from fdabnn_deploy.pipeline.report import ExportParityError
from fdabnn_deploy.targets import installed
from fdabnn_deploy.targets.converter import Artifact, Converter, ConvertOptions
from fdabnn_deploy.targets.target import Target
from fdabnn_onnx import TARGET
from fdabnn_onnx.converter import CONVERTER

INPUT = torch.zeros(1, 3, 8, 8)


class Net(nn.Module):
    """One binary layer whose activation may be float in truth."""

    def __init__(self, *, uneven: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.conv = nn.Conv2d(32, 32, 3, padding=1, bias=False)
        self.fc = nn.Linear(32, 10)
        self.uneven = uneven

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.sign(self.conv.weight)
        if self.uneven:
            weight = weight * (1 + torch.arange(3) / 8)
        x = torch.conv2d(torch.sign(self.stem(x)), weight, padding=1)
        logits: Tensor = self.fc(x.mean(dim=(2, 3)))
        return logits


class WrongConverter:
    """ONNX files of a graph that is not quite the one that was asked for."""

    def __init__(self, kind: type[BinaryConv2d | Linear], spoil: Callable[[Array], Array]) -> None:
        self.kind = kind
        self.spoil = spoil

    def _spoilt(self, graph: Graph) -> Graph:
        nodes = []
        for node in decompose(graph):
            op: Op = node.op
            if isinstance(op, self.kind):
                op = replace(op, weight=self.spoil(op.weight))  # type: ignore[arg-type]
            nodes.append(replace(node, op=op))
        return Graph(nodes, graph.outputs)

    def convert(self, graph: Graph, info: ModelInfo, path: Path, options: ConvertOptions) -> Artifact:
        return CONVERTER.convert(self._spoilt(graph), info, path, options)

    def variants(
        self, graph: Graph, info: ModelInfo, artifact: Artifact, options: ConvertOptions, folder: Path
    ) -> dict[str, Path]:
        return CONVERTER.variants(self._spoilt(graph), info, artifact, options, folder)


@dataclass(frozen=True)
class WrongTarget(Target):
    """The target onnx with another converter."""

    wrong: Converter = CONVERTER

    def converter(self) -> Converter:
        return self.wrong


def last_row_negated(weight: Array) -> Array:
    return np.concatenate([weight[:-1], -weight[-1:]])


def one_bit_more(weight: Array) -> Array:
    spoilt = weight.copy()
    spoilt.flat[0] = np.nextafter(spoilt.flat[0], np.float32(np.inf))
    return spoilt


def wrong(
    monkeypatch: pytest.MonkeyPatch,
    kind: type[BinaryConv2d | Linear],
    spoil: Callable[[Array], Array] = last_row_negated,
) -> None:
    target = WrongTarget(**vars(TARGET), wrong=WrongConverter(kind, spoil))
    monkeypatch.setattr(installed, "find_target", lambda name: target)


def images(count: int = 32) -> FloatArray:
    return np.random.default_rng(0).standard_normal((count, 3, 8, 8)).astype(np.float32)


def test_a_wrong_binary_layer_is_named_by_its_layer_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong(monkeypatch, BinaryConv2d)
    with pytest.raises(ExportParityError, match=r"binary layer conv alone differs in \d+ of 16384") as caught:
        export.export(Net().eval(), INPUT, targets="onnx", out=tmp_path / "out", samples=images())
    assert "no file was written" in str(caught.value)
    assert not (tmp_path / "out").exists()
    report = caught.value.report
    assert not report.verified
    assert [row.passed for row in report.twins] == [False]


def test_wrong_decisions_fail_though_every_binary_layer_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong(monkeypatch, Linear)
    with pytest.raises(ExportParityError, match="onnx on onnxruntime agrees with PyTorch on") as caught:
        export.export(
            Net().eval(), INPUT, targets="onnx", out=tmp_path, samples=images(512), numerics="float"
        )
    assert str(caught.value).endswith("leave out --numerics float")
    report = caught.value.report
    assert [row.passed for row in report.twins] == [True]
    assert [row.passed for row in report.parity] == [False]
    assert list(tmp_path.iterdir()) == []


def test_one_wrong_bit_fails_though_every_decision_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong(monkeypatch, Linear, one_bit_more)
    with pytest.raises(
        ExportParityError, match=r"onnx on onnxruntime differs in \d+ of .* first at"
    ) as caught:
        export.export(Net().eval(), INPUT, targets="onnx", out=tmp_path, samples=images())
    report = caught.value.report
    assert [row.passed for row in report.twins] == [True]
    files = [row for row in report.parity if row.target]
    assert len(files) > 8
    assert not any(row.passed for row in files)
    assert all(row.agreement.share == 1 for row in files)
    assert all(row.passed for row in report.parity if not row.target)
    assert not any(proof.proved for proof in report.proofs)
    assert list(tmp_path.iterdir()) == []


def test_a_verified_file_of_before_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = export.export(Net().eval(), INPUT, targets="onnx", out=tmp_path, samples=images())
    path = Path(good.artifacts[0].path)
    content = path.read_bytes()
    wrong(monkeypatch, BinaryConv2d)
    with pytest.raises(ExportParityError):
        export.export(Net().eval(), INPUT, targets="onnx", out=tmp_path, samples=images())
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_layer_that_lost_its_bit_is_refused_unless_allowed(tmp_path: Path) -> None:
    network = Net(uneven=True).eval()
    with pytest.raises(
        ModelRefusedError,
        match=r"1 binary layer would become float:\n  conv, conv2d at refusal_test\.py:\d+ .*magnitudes",
    ):
        export.export(network, INPUT, targets="onnx", out=tmp_path / "out", samples=images())
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="did you mean conv"):
        export.export(network, INPUT, out=tmp_path, samples=images(), allow_float=["conw"])
    report = export.export(
        network, INPUT, targets="onnx", out=tmp_path, samples=images(), allow_float=["conv"]
    )
    (layer,) = [layer for layer in report.coverage if layer.module == "conv"]
    assert (layer.one_bit, layer.expected, layer.allowed_float) == (False, True, True)
    assert report.twins == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"targets": "onxx"}, "did you mean 'onnx'"),
        ({"targets": []}, "no target"),
        ({"samples": np.zeros((2, 3, 9, 9), np.float32)}, r"takes \[N, 3, 8, 8\]"),
        ({"samples": "nowhere.npz"}, "no samples at .*nowhere.npz"),
        ({"batch": 0}, "batch is a positive number"),
        ({"name": "../net"}, "--name"),
        ({"mean": (0.5,)}, "std"),
    ],
)
def test_wrong_arguments(tmp_path: Path, arguments: dict[str, object], message: str) -> None:
    settings = {"targets": "onnx", "samples": images(4), **arguments}
    with pytest.raises(UsageError, match=message):
        export.export(Net().eval(), INPUT, out=tmp_path / "out", **settings)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
