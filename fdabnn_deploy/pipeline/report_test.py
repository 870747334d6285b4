from __future__ import annotations

import dataclasses
import io
import json
import math
from pathlib import Path

import jsonschema
import pytest
from rich.console import Console

from fdabnn_deploy.cli.tables.export_report import print_report
from fdabnn_deploy.data.sample_set import SampleSet
from fdabnn_deploy.errors import NotWrittenError
from fdabnn_deploy.exact.grid_row import GridRow
from fdabnn_deploy.measure.latency import Latency
from fdabnn_deploy.measure.layer_prices import FilePrice, LayerPrice
from fdabnn_deploy.pipeline import report as reports
from fdabnn_deploy.pipeline.report import ParityRow, Report
from fdabnn_deploy.prove import Row
from fdabnn_deploy.system.environment import environment
from fdabnn_deploy.system.progress import Stage
from fdabnn_deploy.verify.gate.results import Gate, LayerCheck, LayerTable, OutputCheck
from fdabnn_deploy.verify.layer_checks import LayerCheckResult
from fdabnn_deploy.verify.metrics import Agreement, Comparison, Difference

DOCS = Path(__file__).parents[2] / "docs"


def example(*, passed: bool = True) -> Report:
    """A report with everything in it, one odd value of each kind included."""
    first = None if passed else Difference((0, 3), math.nan, 2.0)
    comparison = Comparison(
        80, 0 if passed else 3, 0 if passed else math.inf, 0.0 if passed else math.inf, first
    )
    agreement = Agreement(8, 8 if passed else 5)
    proof = reports.ProofTable(
        "onnx",
        "basic",
        (
            Row("conv", "conv/sum", "exact sum", 2.0**23, 1.0, "bounded"),
            Row("add", "sum", "unproved" if not passed else "pointwise", None, None, "one rounding"),
        ),
        () if passed else ("sum (add): its operands are on no grid",),
    )
    check = LayerCheckResult("conv/binary_conv", "conv", "BinaryConv2d", 27, 100, 0 if passed else 1, first)
    return Report(
        created="2026-01-01T00:00:00+00:00",
        environment=environment(),
        model=reports.Model(
            name="net", arch="resnet20", dialect="fdabnn", file="net.pt", bytes=1000, sha256="00",
            input_shape=(3, 8, 8), mean=(0.5,), std=(0.25,), input_range=(-2.0, 2.0), classes=("a", "b"),
            training={"epochs": 3},
        ),
        samples=SampleSet("8 seeded synthetic images", "random:8", 8, True, True),
        input_limits=reports.InputLimits(-2.0, 2.5, "mean and std, and 8 inputs", True),
        stages=(Stage("read", "resnet20", 0.5, 1000), Stage("capture", "5 operators", 1.5)),
        coverage=(
            reports.CoverageRow("conv", "conv2d", (4, 3, 3, 3), True, True, False, "", "", "conv/binary_conv", 1),
            reports.CoverageRow("fc", "linear", (2, 4), False, True, True, "its weight is float", "binarise it", "", 0),
        ),
        passes=(reports.Pass("fold_norm", 2, ("two folded",), ("conv: no",)),),
        sign_zeros=reports.SignZeros(8, 100, {"conv": 3}, 0.875, 0.5, "plus", 3, {"conv": "behind a ReLU"}),
        weight_zeros={"conv": 2},
        dropped_noise=reports.DroppedNoise({"conv": 0.05}, 0.75, 1.5, 0.5, 0.25),
        artifacts=(reports.ArtifactFile("onnx", "out/net.onnx", 500, "11", {"Conv": 1}, ("a note",)),),
        numerics=reports.NumericsTable(
            "exact",
            (
                GridRow("conv/conv2d", "conv", "Conv2d", -2.5, 2.5, 9, True, 3, 8, 21, 5e-7, 0.0),
                GridRow("mean", "", "GlobalAvgPool", 0.0, 8.0, -1, True, 1, None, None, None, None),
            ),
        ),
        truth=reports.Truth(Comparison(80, 4, 12, 0.5, None, mean_abs=0.25), Agreement(8, 7), 10.0, 0.5, 0.375),
        gate=Gate(
            LayerTable(
                8,
                (
                    LayerCheck("conv/sign", "conv", "sign", 100, 0 if passed else 3, 1, 0.0, 0.0, "" if passed else "zeros"),
                    LayerCheck("conv/affine", "conv", "binary layer", 100, 0, 0, 1e-7 if passed else math.inf, 1e-6),
                ),
            ),
            (OutputCheck("output", "decisions", 8, 1, 0.125, None, 0.125), OutputCheck("rest", "values", 8, 0, 0.005, None, 0.01)),
            "8 samples: too few to judge decisions by, 200 are enough",
            () if passed else ("sign conv/sign of module 'conv': 3 of 100 values are not the trained network's",),
        ),
        fidelity=None,
        parity=(
            ParityRow("torch", "2.13", None, "2 threads", "bits", 8, comparison, agreement, 0.5),
            ParityRow("onnxruntime", "1.32", "onnx", "", "bits", 8, comparison, agreement, 0.5),
            ParityRow("onnxruntime", "1.32", "onnx", "all", "bits", 8, comparison, agreement, 0.5),
            ParityRow("onnxruntime", "1.32", "onnx", "basic", "bits", 8, comparison, agreement, 0.5),
        ),
        absent=(reports.AbsentRuntime("lce", "tflite", "larq-compute-engine is not installed"),),
        proofs=(proof,),
        twins=(reports.LayerCheckRow("onnxruntime", "onnx", 8, (check,)),),
        latency=(reports.LatencyRow("onnxruntime", "1.32", "onnx", Latency(1.0, 0.9, 1.2, 50, 1)),),
        prices=(
            FilePrice(
                "onnx", "onnxruntime", 500, 430, 1.0, 0.875,
                (LayerPrice("conv/conv2d", "conv", 120, 50, 0.25, 0.125), LayerPrice("mean", "", 4, 4, None, None)),
            ),
        ),
        sizes=reports.Sizes(1000, 2000, 108, 392),
        notes=("bireal was assumed", "nobody says which values the inputs take"),
        warnings=("nobody says which values the inputs take",),
        allowed_changes=(),
        failures=() if passed else ("onnx on onnxruntime differs in 3 of 80 output values",),
        seconds=3.25,
    )  # fmt: skip


FIDELITY = reports.Fidelity(
    1.0,
    0.95,
    reports.PairsRow(500, 3, 4, -0.2, 0.75),
    reports.PairsRow(501, 5, 4, 0.2, 0.875),
    (reports.SlicedLayer("stem", reports.Slices(5, 3, 21), reports.Slices(1, 1, 8)),),
)


def test_a_file_of_the_same_accuracy_is_never_verified() -> None:
    report = dataclasses.replace(example(), fidelity=FIDELITY)
    assert (report.verdict, report.verified) == ("same accuracy", False)
    assert report.verdict_text == "exact between files, same accuracy, not the same decisions"
    content = json.loads(json.dumps(report.to_json(), allow_nan=False))
    jsonschema.validate(content, json.loads(reports.SCHEMA_FILE.read_text()))
    assert content["fidelity"]["tested"] == {
        "images": 501,
        "lost": 5,
        "gained": 4,
        "drop": 0.2,
        "bound": 0.875,
    }
    assert dataclasses.replace(report, allowed_changes=("a sign moved",)).verdict == "changed"
    assert dataclasses.replace(report, failures=("a file differs",)).verdict == "failed"
    file = io.StringIO()
    print_report(Console(file=file, width=100, highlight=False, markup=False), report)
    text = " ".join(file.getvalue().split())
    for part in (
        "Fewer slices: same accuracy, not the same decisions",
        "stem 5 → 1 3 → 1 21 → 8",
        "Accuracy lost, with 95% confidence less than 1 points",
        "tested on 501 images 5 lost, 4 gained +0.20 points 0.88 points",
    ):
        assert part in text


@pytest.mark.parametrize("passed", [True, False])
def test_json_follows_the_schema(passed: bool) -> None:
    schema = json.loads(reports.SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    content = json.loads(json.dumps(example(passed=passed).to_json(), allow_nan=False))
    jsonschema.validate(content, schema, cls=jsonschema.Draft202012Validator)
    assert content["verified"] is passed
    assert content["parity"][1]["passed"] is passed
    assert content["twins"][0]["passed"] is passed


def test_the_schema_and_the_docs_name_every_key() -> None:
    content = example().to_json()
    schema = json.loads(reports.SCHEMA_FILE.read_text())
    assert set(schema["properties"]) == set(content)
    text = (DOCS / "report.md").read_text()
    assert [key for key in content if f"`{key}" not in text] == []


def test_the_schema_refuses_what_lacks_a_key() -> None:
    schema = json.loads(reports.SCHEMA_FILE.read_text())
    content = example().to_json()
    del content["parity"][0]["agreement"]["share"]
    with pytest.raises(jsonschema.ValidationError, match="'share' is a required property"):
        jsonschema.validate(content, schema)


def test_numbers_that_json_lacks_are_strings() -> None:
    content = example(passed=False).to_json()
    assert content["parity"][1]["comparison"]["max_ulps"] == "Infinity"
    assert content["parity"][1]["comparison"]["first"]["a"] == "NaN"


def test_it_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "report.json"
    example().write_json(path)
    assert json.loads(path.read_text())["model"]["name"] == "net"
    assert [child.name for child in path.parent.iterdir()] == ["report.json"]
    with pytest.raises(NotWrittenError, match="cannot write"):
        example().write_json(path / "below-a-file.json")


def test_the_terminal_shows_every_part() -> None:
    file = io.StringIO()
    print_report(Console(file=file, width=100, highlight=False, markup=False), example())
    text = file.getvalue()
    for part in (
        "Layers: 1 of 2 are 1-bit, 2 were expected to be",
        "its weight is float; allowed by --allow-float",
        "note: bireal was assumed",
        "warning: nobody says which values the inputs take",
        "Inputs: (pixel / 255 - mean) / std, with mean 0.5 and std 0.25; limited to -2 .. 2.5: from mean and std, and 8 inputs",
        "The gate: every layer alone against the trained network in float64, on 8 inputs, and the whole",
        "signs 1 of 1 true 0 of 100",
        "decisions 12.50 % may 12.50 %",
        "rest, mean change 1.00 % may 0.50 %",
        "3 of 100 values were exactly 0 at a sign",
        "2 weights of two binary layers each are exactly 0, in conv",
        "(conv: behind a ReLU): --sign-zero exact",
        "noise dropped in 1 layers, alpha up to 0.05",
        "accuracy 50.00 % → 25.00 %",
        "note: two folded",
        "note: a note",
        "conv Conv2d -2.5 .. 2.5 2^-9 3 21 none",
        "mean GlobalAvgPool 0 .. 8 2^1 1",
        "The deployed graph against the trained network, on 8 seeded synthetic images",
        "7 of 8 (87.50 %)",
        "0.25 (2.500% of their range)",
        "50.00 % → 37.50 %",
        "Parity by bits with the deployed graph on PyTorch",
        "PyTorch, 2 threads",
        "ONNX Runtime 1.32",
        "2 other settings",
        "0 of 160",
        "onnx, basic 1.00 bits 1 exact sum, 1 pointwise",
        "1 of 1 layers equal",
        "1.00 ms",
        "The price of exactness, beside --numerics float",
        "onnx conv 120 B 50 B ~0.250 ms ~0.125 ms",
        "onnx mean 4 B 4 B",
        "onnx the whole file 500 B ~430 B 1.00 ms ~0.875 ms",
        "out/net.onnx",
        "4.0 times smaller",
    ):
        assert part in " ".join(text.split())
    long = ("note: ", "warning: ", "Inputs: ")
    assert max(len(line) for line in text.splitlines() if not line.startswith(long)) <= 100


def test_a_failed_part_is_marked() -> None:
    file = io.StringIO()
    print_report(Console(file=file, width=100, highlight=False, markup=False), example(passed=False))
    text = file.getvalue()
    assert "3 of 80       NaN      NaN" in text
    assert "5 of 8" in text
    assert "sum (add): its operands are on no grid" in text
    assert "1 exact sum, 1 unproved" in text
    assert "0 of 1 layers equal" in text


def test_rows_of_float_numerics_are_judged_by_decisions() -> None:
    comparison, few = Comparison(80, 80, 5, 1e-6, None), Agreement(200, 198)
    row = ParityRow(
        "lce", "0.16", "tflite", "", "decisions", 200, comparison, Agreement(200, 199), None, True
    )
    assert row.passed
    assert not dataclasses.replace(row, agreement=few, within=False).passed
    assert not dataclasses.replace(row, judged_by="bits", within=None).passed
    file = io.StringIO()
    whole = dataclasses.replace(
        example(), numerics=reports.NumericsTable("float", ()), parity=(row,), proofs=()
    )
    print_report(Console(file=file, width=100, highlight=False, markup=False), whole)
    assert "Parity of decisions with the trained network" in file.getvalue()
    assert "grids" not in file.getvalue()


def test_rows_without_labels_have_no_accuracy() -> None:
    whole = example()
    rows = tuple(dataclasses.replace(row, accuracy=None) for row in whole.parity)
    file = io.StringIO()
    truth = dataclasses.replace(whole.truth, accuracy_trained=None, accuracy_deployed=None)
    unlabelled = dataclasses.replace(whole, parity=rows, truth=truth, dropped_noise=None)
    print_report(Console(file=file, width=100, highlight=False, markup=False), unlabelled)
    assert "accuracy" not in file.getvalue()


def test_the_verdict_says_what_is_known() -> None:
    good = example()
    few = "8 samples: too few to judge decisions by, 200 are enough"
    assert (good.verdict, good.verified, good.verdict_text) == ("verified", True, f"verified; {few}")
    shaken = dataclasses.replace(
        good.gate, outputs=(OutputCheck("output", "decisions", 8, 4, 0.5, 0.25, None),)
    )
    unjudged = dataclasses.replace(good, gate=shaken)
    assert (unjudged.verdict, unjudged.verified) == ("not judged", False)
    assert unjudged.verdict_text == "exact between files, layers true, decisions not judged"
    changed = dataclasses.replace(unjudged, allowed_changes=("a sign moved",))
    assert (changed.verdict, changed.verified) == ("changed", False)
    assert "verified" not in changed.verdict_text
    assert dataclasses.replace(changed, failures=("a file differs",)).verdict == "failed"
    assert example(passed=False).verdict_text == "failed"
