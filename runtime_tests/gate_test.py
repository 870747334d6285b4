"""The gate's verdict on whole exports: networks that are changed on the way, that are not binary, or whose inputs are unknown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fdabnn_deploy.cli import export as export_command
from fdabnn_deploy.cli import parity as parity_command
from fdabnn_deploy.cli import profile as profile_command
from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.measure.profile_report import texts
from fdabnn_deploy.measure.profiles import profile as profiles
from fdabnn_deploy.pipeline import export as pipeline
from fdabnn_deploy.pipeline.report import ExportParityError, Report
from fdabnn_deploy.verify import comparison
from fdabnn_deploy.verify.gate import whole_network
from fdabnn_deploy.verify.gate.gate_testing import BinaryConv, ReluSign, images, trained

EXAMPLE = torch.zeros(1, 3, 12, 12)


def export(network: nn.Module, folder: Path, samples: Any = None, **options: Any) -> Report:
    settings = {
        "targets": "onnx",
        "samples": images(200) if samples is None else samples,
        "name": "net",
        **options,
    }
    return pipeline.export(network, EXAMPLE, out=folder, **settings)


@pytest.mark.parametrize("numerics", ["exact", "float"])
def test_a_faithful_network_is_verified(tmp_path: Path, numerics: Any) -> None:
    report = export(trained(), tmp_path, numerics=numerics)
    assert (report.verdict, report.verdict_text, report.allowed_changes) == ("verified", "verified", ())
    assert report.gate.layers.passed
    assert report.gate.few == ""


@pytest.mark.parametrize("numerics", ["exact", "float"])
def test_a_changed_network_is_put_nowhere(tmp_path: Path, numerics: Any) -> None:
    with pytest.raises(
        ExportParityError, match=r"sign block\.conv1/sign of module 'block\.conv1': .* --allow-change"
    ) as raised:
        export(trained(ReluSign), tmp_path / "out", numerics=numerics)
    assert raised.value.report.verdict == "failed"
    assert not (tmp_path / "out").exists()


def test_an_allowed_change_is_said_for_ever(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = export(trained(ReluSign), tmp_path, targets="all", allow_change=True)
    assert report.verdict == "changed"
    assert "verified" not in report.verdict_text
    change = report.allowed_changes[0]
    assert "block.conv1" in change
    content = report.to_json()
    assert content["allowed_changes"][0] == change
    assert content["verified"] is False
    for suffix in (".onnx", ".tflite"):
        compared = comparison.compare_models(tmp_path / f"net{suffix}", tmp_path / "net.onnx", images(2))
        assert change in compared.a.allowed_change
        assert change in compared.to_json()["a"]["allowed_change"]
        assert "not the network that was trained" in compared.changes[0]
        file = profiles._file(tmp_path / f"net{suffix}", (), "model", "")
        assert change in file.allowed_change
        assert "not the network that was trained" in texts.change(file)
    arguments = [
        str(tmp_path / "net.onnx"),
        str(tmp_path / "net.tflite"),
        "--inputs",
        "random:2",
        "--mean",
        "0.5,0.5,0.5",
    ]
    assert parity_command.main([*arguments, "--std", "0.25,0.25,0.25"]) == 0
    assert (
        "is not the network that was trained, as --allow-change accepted: sign block.conv1/sign"
        in capsys.readouterr().out
    )
    # As the baseline of another file, too, on the terminal and in the report to look at.
    page = tmp_path / "profile.html"
    sides = [str(tmp_path / "net.tflite"), "--baseline", str(tmp_path / "net.tflite")]
    assert profile_command.main([*sides, "--runs", "1", "--warmup", "0", "--html", str(page)]) == 0
    said = "The baseline is not the network that was trained"
    assert said.lower() in capsys.readouterr().out.lower()
    assert said in page.read_text()


def test_an_allowed_change_goes_for_files_with_float_numerics_too(tmp_path: Path) -> None:
    report = export(trained(ReluSign), tmp_path, targets="all", numerics="float", allow_change=True)
    assert (report.verdict, report.failures) == ("changed", ())
    # They are compared with the deployed graph, which is what they were made of.
    assert [row.target for row in report.parity] == ["onnx", "tflite", "tflite"]
    assert all(row.passed and row.agreement.share > 0.99 for row in report.parity)
    assert report.truth.agreement.share < 0.9
    assert (tmp_path / "net.onnx").exists()


def test_a_capture_that_is_not_the_module_is_put_nowhere(tmp_path: Path) -> None:
    class Traced(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = trained()

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.net(x)
            return y if torch.compiler.is_compiling() else y.flip(1)

    with pytest.raises(ModelRefusedError, match="something else while it is traced"):
        export(Traced().eval(), tmp_path / "out", allow_change=True)
    assert not (tmp_path / "out").exists()


def test_other_files_say_nothing_of_it(tmp_path: Path) -> None:
    export(trained(), tmp_path)
    compared = comparison.compare_models(tmp_path / "net.onnx", tmp_path / "net.onnx", images(2))
    assert (compared.changes, compared.a.allowed_change) == ((), "")


def test_decisions_of_an_unstable_network_are_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if every second decision hung on a last bit.
    monkeypatch.setattr(whole_network, "change", lambda position, a, b: 0.5)
    report = export(trained(), tmp_path, images(16))
    assert (report.verdict, report.verified) == ("not judged", False)
    assert report.verdict_text == "exact between files, layers true, decisions not judged"
    assert (tmp_path / "net.onnx").exists()


def test_few_samples_are_said(tmp_path: Path) -> None:
    report = export(trained(), tmp_path, images(12))
    assert report.verified
    assert report.verdict_text == "verified; 12 samples: too few to judge decisions by, 200 are enough"


class Outside(nn.Conv2d):
    """Signs in front; its weights are binarised by a trainer, outside."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(torch.where(x < 0, -1.0, 1.0), self.weight, None, self.stride, self.padding)


def body(layer: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    tail = [nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)]
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), layer, *tail).eval()


def test_a_network_that_is_not_binary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefusedError, match="none of its 3 layers has a sign in front or binary weights"):
        export(body(nn.Conv2d(8, 8, 3)), tmp_path / "out")
    with pytest.raises(
        ModelRefusedError,
        match=r"only activations are binary.*\n  2.*: its input is a sign.*\nwhere the trainer",
    ):
        export(body(Outside(8, 8, 3)), tmp_path / "out")
    with pytest.raises(UsageError, match=r"--allow-float 9\.x: no such layer"):
        export(body(Outside(8, 8, 3)), tmp_path / "out", allow_float="0,9.x")
    assert not (tmp_path / "out").exists()
    report = export(body(nn.Conv2d(8, 8, 3)), tmp_path, images(4), allow_float="*")
    assert [layer.allowed_float for layer in report.coverage] == [True, True, True]


def test_weights_that_were_binarised_outside_are_binary(tmp_path: Path) -> None:
    network = body(Outside(8, 8, 3))
    with torch.no_grad():
        weight = network.get_parameter("2.weight")
        weight.copy_(weight.sign() * weight.abs().mean((1, 2, 3), keepdim=True))
    report = export(network, tmp_path, images(4))
    (layer,) = [layer for layer in report.coverage if layer.module == "2"]
    assert (layer.one_bit, layer.expected) == (True, True)
    assert report.verified


def test_unknown_inputs_are_warned_of(tmp_path: Path) -> None:
    report = export(body(BinaryConv(8, 8, 3)), tmp_path, "random:4")
    (warning,) = report.warnings
    assert "mean, std and input range are unknown" in warning
    assert warning in report.notes
    assert warning in report.to_json()["warnings"]
    assert report.input_limits is not None
    assert (report.input_limits.known, report.input_limits.source) == (
        False,
        "4 inputs, which were made up, with a margin",
    )


@pytest.mark.parametrize(
    ("samples", "options", "source"),
    [
        ("random:4", {"mean": (0.5,) * 3, "std": (0.25,) * 3}, "mean and std, and 4 inputs"),
        ("random:4", {"input_range": (0.0, 255.0)}, "the input range given, and 4 inputs"),
        (images(4), {}, "4 inputs, with a margin"),
    ],
)
def test_known_limits_say_where_they_are_from(
    tmp_path: Path, samples: Any, options: Any, source: str
) -> None:
    report = export(body(BinaryConv(8, 8, 3)), tmp_path, samples, **options)
    assert report.warnings == ()
    assert report.input_limits is not None
    assert (report.input_limits.known, report.input_limits.source) == (True, source)


def test_limits_hold_raw_pixels_where_a_range_says_so(tmp_path: Path) -> None:
    raw = np.random.default_rng(0).integers(0, 256, (200, 3, 12, 12)).astype(np.float32)
    norm = nn.BatchNorm2d(3)
    norm.load_state_dict(
        {
            **norm.state_dict(),
            "running_mean": torch.full((3,), 127.0),
            "running_var": torch.full((3,), 4000.0),
        }
    )
    network = nn.Sequential(norm, body(BinaryConv(8, 8, 3))).eval()
    report = export(network, tmp_path, raw)
    assert report.verified
    assert report.input_limits is not None
    assert report.input_limits.high >= 255


def test_data_that_could_not_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_dir: Path
) -> None:
    monkeypatch.setenv("FDABNN_DATA", str(data_dir))
    network = nn.Sequential(body(BinaryConv(8, 8, 3))).eval()
    report = pipeline.export(network, torch.zeros(1, 3, 32, 32), targets="onnx", out=tmp_path)
    (note,) = [note for note in report.notes if "CIFAR-10" in note]
    assert "were not used as samples" in note
    assert "--mean and --std" in note
    assert report.samples.notes == (note,)


def test_the_command_line_says_it_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], checkpoint: Path
) -> None:
    json_path = tmp_path / "report.json"
    code = export_command.main(
        [
            str(checkpoint),
            "--target",
            "onnx",
            "--out",
            str(tmp_path),
            "--samples",
            "random:8",
            "--json",
            str(json_path),
        ]
    )
    out = capsys.readouterr().out
    assert code == 0
    assert "Inputs: (pixel / 255 - mean) / std, with mean" in out
    assert "The gate: every layer alone against the trained network in float64" in out
    report = json.loads(json_path.read_text())
    assert report["verdict_text"].partition(";")[0] in out
    # Random weights: whether arithmetic alone moves its decisions is not known beforehand.
    assert ("verified in" in out) is (report["verdict"] == "verified")
