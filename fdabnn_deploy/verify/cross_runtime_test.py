from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from fdabnn_deploy.errors import ModelRefusedError, RuntimeMissingError, UsageError
from fdabnn_deploy.exact.record import Cut, Numerics
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import Affine, BinaryConv2d, FloatArray, GlobalAvgPool, Input, Sign
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.installed import find_converter
from fdabnn_deploy.verify.comparison import compare_models
from fdabnn_deploy.verify.comparison_report import SCHEMA_FILE
from fdabnn_deploy.verify.cross_runtime import open_further
from fdabnn_tflite.runtime.lce import LceRuntime, LceSession
from fdabnn_tflite.runtime.tensorflow_lite import TfliteRuntime

pytestmark = pytest.mark.runtimes

EXACT = Numerics("exact", {"input": Cut(-1.0, 1.0, 8)})


def write(path: Path, numerics: Numerics) -> Path:
    weight = np.random.default_rng(0).choice(np.array([-1, 1], np.int8), (4, 3, 3, 3))
    nodes = [
        Node("input", Input((3, 6, 6))),
        Node("sign", Sign(), ("input",)),
        Node("conv", BinaryConv2d(weight), ("sign",)),
        Node("affine", Affine(np.full(4, 0.25), np.arange(4) * 0.5), ("conv",)),
        Node("output", GlobalAvgPool(), ("affine",)),
    ]
    info = ModelInfo(path.stem, (3, 6, 6), input_range=(-1.0, 1.0), numerics=numerics.to_text())
    find_converter("tflite").convert(Graph(nodes, ["output"]), info, path, ConvertOptions())
    return path


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("further") / "exact.tflite", EXACT)


def one_more(self: LceSession, inputs: list[FloatArray]) -> list[FloatArray]:
    """A runtime that computes wrong in one place."""
    (output,) = original(self, inputs)
    output[0, 1] += 1
    return [output]


original = LceSession.run


@pytest.mark.usefixtures("lce")
def test_an_exact_file_is_judged_on_both_runtimes(exact: Path) -> None:
    result = compare_models(exact, exact, "random:5")
    assert result.passed
    assert (result.a.runtime, result.b.runtime) == ("litert", "litert")
    assert [(row.path, row.runtime, row.against) for row in result.runtimes] == [
        (str(exact), "lce", "litert")
    ] * 2
    for row in result.runtimes:
        assert row.judged
        assert row.comparison is not None
        assert row.comparison.equal
    jsonschema.validate(json.loads(json.dumps(result.to_json())), json.loads(SCHEMA_FILE.read_text()))


@pytest.mark.usefixtures("lce")
def test_a_runtime_that_differs_fails_the_comparison(exact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LceSession, "run", one_more)
    result = compare_models(exact, exact, "random:5")
    assert result.comparison.equal
    assert (result.passed, result.verdict) == (False, "different")
    assert result.verdict_text == f"{exact} computes 1 of 20 values otherwise on lce than on litert"
    # A tolerance that was asked for holds here, too.
    assert compare_models(exact, exact, "random:5", atol=1.0).passed


@pytest.mark.usefixtures("lce")
def test_float_numerics_are_reported_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "float.tflite", Numerics())
    monkeypatch.setattr(LceSession, "run", one_more)
    result = compare_models(path, path, "random:5")
    assert result.passed
    for row in result.runtimes:
        assert not row.judged
        assert row.comparison is not None
        assert row.comparison.differing == 1


@pytest.mark.usefixtures("lce")
def test_what_is_missing_is_absent_and_what_refuses_says_why(
    exact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(self: LceRuntime, path: Path) -> None:
        raise RuntimeMissingError("not here")

    def refuse(self: LceRuntime, path: Path) -> None:
        raise ModelRefusedError("not this one")

    monkeypatch.setattr(LceRuntime, "open", missing)
    (other,) = open_further(exact)
    assert (other.runtime, other.version, other.session, other.absent) == ("lce", "", None, "not here")
    (row,) = compare_models(exact, exact, "random:2").runtimes[:1]
    assert (row.absent, row.refused, row.comparison, row.failed) == ("not here", "", None, False)
    monkeypatch.setattr(LceRuntime, "open", refuse)
    (row,) = compare_models(exact, exact, "random:2").runtimes[:1]
    assert (row.refused, row.comparison, row.failed) == ("not this one", None, False)
    assert list(open_further(Path("model.onnx"))) == []


def test_a_runtime_that_was_asked_for_has_to_be_there(exact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = compare_models(exact, exact, "random:2", runtimes=["tflite", "litert"])
    assert [row.runtime for row in result.runtimes] == ["lce", "tflite"] * 2
    assert all(row.comparison is not None and row.comparison.equal for row in result.runtimes)

    def missing(self: TfliteRuntime, path: Path) -> None:
        raise RuntimeMissingError("not here")

    monkeypatch.setattr(TfliteRuntime, "open", missing)
    with pytest.raises(RuntimeMissingError, match="not here"):
        list(open_further(exact, ["tflite"]))
    with pytest.raises(UsageError, match="unknown runtime 'tflit': did you mean 'tflite'"):
        compare_models(exact, exact, "random:2", runtimes=["tflit"])
    with pytest.raises(
        UsageError, match=r"'onnxruntime' opens files that end in \.onnx: neither side is one"
    ):
        compare_models(exact, exact, "random:2", runtimes=["onnxruntime"])
