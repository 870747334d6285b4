"""Binary layers against their baselines, on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import fdabnn_deploy
from fdabnn_deploy.conformance import network
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.measure.format_tools import tools_for
from fdabnn_deploy.measure.profile_report import texts
from fdabnn_deploy.measure.profile_report.html import render
from fdabnn_deploy.measure.profiles import judgement, layer_baseline
from fdabnn_deploy.measure.profiles.result import Measurement, Profile
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.installed import find_converter
from fdabnn_models.layers.binary import FDALinear
from fdabnn_tflite.runtime.tflite_file import parse_tflite


@pytest.fixture(autouse=True)
def every_run_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lifts the bound of noise: the comparison must not depend on the machine's load."""
    monkeypatch.setattr(judgement, "NOISE_BOUND", 1e6)


def measured(profile: Profile) -> Measurement:
    """With one thread on the only device."""
    ((found,),) = (device.measurements for device in profile.devices)
    assert (found.model.verdict, found.model.layers_verdict) == ("quiet", "quiet")
    return found


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
def test_binary_layers_against_float_ones(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"network{suffix}"
    options = ConvertOptions(kernels="packed" if suffix == ".onnx" else "standard")
    find_converter(suffix[1:]).convert(network(), ModelInfo("network", (3, 9, 9)), path, options)
    found = tools_for(path).operators(path)
    made = layer_baseline.make("fp32", path, found, tmp_path)
    assert {pair.layer for pair in made.pairs} == {operator.layer for operator in found if operator.binary}
    for pair in made.pairs:
        macs = [
            sum(of[i].macs for i in part)
            for of, part in ((found, pair.model), (made.operators, pair.baseline))
        ]
        assert macs[0] == macs[1] > 0
    for each in made.alone:
        files = [parse_tflite(part.read_bytes()) for part in (each.model, each.baseline)]
        assert [operator.name for operator in files[0].operators] == ["LceQuantize", "LceBconv2d"]
        assert len(files[1].operators) == 1
        shapes = [[file.tensors[i].shape for i in file.outputs] for file in files]
        assert shapes[0] == shapes[1]
    assert bool(made.alone) == (suffix == ".tflite")
    result = fdabnn_deploy.profile(path, runs=20, baseline="fp32")
    # As it is written, and read again by --compare.
    result.write_json(tmp_path / "profile.json")
    assert fdabnn_deploy.compare_profiles(tmp_path / "profile.json", tmp_path / "profile.json")
    assert result.baseline is not None
    assert result.baseline.kind == "fp32"
    layers = measured(result).model.layers
    where = "files of their own" if suffix == ".tflite" else "the whole models"
    assert {layer.name: layer.compared_in for layer in layers if layer.speedup} == {
        pair.layer: where for pair in made.pairs
    }
    assert texts.not_compared(result, layers) == ""
    assert ("alone in a file of its own" in texts.how_compared(result, layers)) == (suffix == ".tflite")


class Mixed(nn.Module):
    """Three binary dense layers: the second hands packed signs to the third."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = FDALinear(48, 48), FDALinear(48, 32), FDALinear(32, 10)
        self.norm = nn.BatchNorm1d(32)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.third(self.norm(self.second(self.first(x) + x)))
        return y


@pytest.mark.parametrize("xnnpack", [True, False])
def test_layers_with_packed_signs_are_compared_in_the_whole_models(xnnpack: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    fdabnn_deploy.export(
        Mixed().eval(), torch.zeros(1, 48), targets=["tflite"], out=tmp_path, samples="random:8", name="mixed"
    )
    result = fdabnn_deploy.profile(tmp_path / "mixed.tflite", runs=20, baseline="fp32", xnnpack=xnnpack)
    layers = measured(result).model.layers
    alone = "files of their own" if xnnpack else "the whole models"
    assert {layer.name: layer.compared_in for layer in layers if layer.binary_macs} == {
        "first": alone,
        "second": "the whole models",
        "third": "the whole models",
    }
    assert all(layer.speedup for layer in layers if layer.binary_macs)
    assert not any(layer.not_compared for layer in layers if layer.binary_macs)
    page, said = render(result), texts.how_compared(result, layers)
    if xnnpack:
        assert said.startswith(
            "compared: 1 binary layer and the float baselines each alone in a file of its own"
        )
        assert "; second, third in the whole models, for packed signs go in or out, operator by" in said
    else:
        assert said == "compared: in the whole models, operator by operator, without XNNPACK"
        assert "alone" not in page
    assert said[1:] in page
    assert "not compared" not in page


def test_runs_that_are_no_result_are_said_to_be_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """None is quiet by this bound; no file of a layer alone, and not the whole."""
    path = tmp_path / "network.tflite"
    find_converter("tflite").convert(network(), ModelInfo("network", (3, 9, 9)), path, ConvertOptions())
    monkeypatch.setattr(judgement, "NOISE_BOUND", -1.0)
    result = fdabnn_deploy.profile(path, runs=10, warmup=0, baseline="fp32")
    layers = result.devices[0].measurements[0].model.layers
    binary = [layer for layer in layers if layer.binary_macs]
    assert binary
    assert all(layer.not_compared == "not quiet" and layer.speedup is None for layer in binary)
    assert f"{len(binary)} of {len(binary)} binary layers are not compared: their runs" in texts.not_compared(
        result, layers
    )
    assert texts.how_compared(result, layers) == ""
