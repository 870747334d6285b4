"""Binary layers against their twins, on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

import fdabnn_deploy
from fdabnn_deploy.conformance import network
from fdabnn_deploy.converter import ConvertOptions, find_converter
from fdabnn_deploy.model_info import ModelInfo
from fdabnn_deploy.profiling import baseline, operators
from fdabnn_deploy.runtimes.tflite_file import parse_tflite

pytest.importorskip("fdabnn_deploy.baselines.twin")


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
def test_binary_layers_against_float_ones(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"network{suffix}"
    options = ConvertOptions(kernels="packed" if suffix == ".onnx" else "standard")
    find_converter(suffix[1:]).convert(network(), ModelInfo("network", (3, 9, 9)), path, options)
    found = operators.read(path)
    made = baseline.make("fp32", path, found, tmp_path)
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
    assert result.baseline is not None
    assert result.baseline.kind == "fp32"
    measured = result.devices[0].measurements[0]
    assert measured.baseline is not None
    for layer in measured.model.layers:
        # Figures of runs that were not quiet are not given.
        assert (layer.compared is None) == (layer.baseline is None)
        if layer.baseline is not None:
            assert layer.binary_macs
