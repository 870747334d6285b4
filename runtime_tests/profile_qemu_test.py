"""The emulated device: self-test, counted instructions, the static model, and no time anywhere."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import jsonschema
import pytest

from fdabnn_deploy.cli import profile as cli
from fdabnn_deploy.conformance import network
from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.measure.profiles import static_model
from fdabnn_deploy.measure.profiles.result import SCHEMA_FILE
from fdabnn_deploy.runtimes.emulator.arm_root import Guest
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.installed import find_converter
from runtime_tests.profile_test import write_model

pytestmark = pytest.mark.programs


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
def test_instructions_and_no_times(
    suffix: str, arm_guest: Guest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_model(tmp_path / f"three{suffix}")
    paths = ("--json", str(tmp_path / "p.json"), "--html", str(tmp_path / "p.html"))
    assert cli.main([str(path), "--device", "qemu-aarch64", "--baseline", str(path), *paths]) == 0
    out = capsys.readouterr().out
    content = json.loads((tmp_path / "p.json").read_text())
    jsonschema.validate(content, json.loads(SCHEMA_FILE.read_text()))
    assert content["baseline"] is None
    (device,) = content["devices"]
    assert device["facts"]["machine"] == "aarch64"
    assert device["selftest"]["passed"]
    assert device["selftest"]["judged"]
    assert device["measurements"] == []
    counts = device["counting"]
    assert 10_000 < counts["smallest"] <= counts["instructions"] <= counts["largest"]
    assert counts["vector"] + counts["loads"] + counts["stores"] < counts["instructions"] * 1.5
    left_out = "the baseline is left out: an emulator tells no times that could be compared"
    assert left_out in device["notes"]
    try:
        missing = "" if static_model.llvm_version() else "?"
    except RuntimeMissingError as error:
        missing = str(error)
    assert not (missing and os.environ.get("CI")), "CI has to have LLVM"
    assert (device["static_model"] == []) == bool(missing)
    notes = [f"no static model of the inner loops: {missing}"] if missing else []
    assert device["notes"] == [*notes, left_out]
    assert all(note in out for note in device["notes"])
    assert all(note.endswith("install it with  apt install llvm-19") for note in notes)
    for text in (out, (tmp_path / "p.html").read_text()):
        assert f"{counts['instructions']:,}" in text
        assert "no times" in text
        assert left_out in text
        assert not re.search(r"\d\s(s|ms|µs|ns)\b", text)
    assert cli.main(["--compare", str(tmp_path / "p.json"), str(tmp_path / "p.json")]) == 0


def test_a_float_model_is_not_judged(
    arm_guest: Guest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its sums come out otherwise on the other processor, as they may."""
    path = tmp_path / "network.tflite"
    find_converter("tflite").convert(network(), ModelInfo("network", (3, 9, 9)), path, ConvertOptions())
    assert cli.main([str(path), "--device", "qemu-aarch64", "--json", str(tmp_path / "p.json")]) == 0
    (device,) = json.loads((tmp_path / "p.json").read_text())["devices"]
    assert not device["selftest"]["judged"]
    assert not device["selftest"]["passed"]
    assert "not judged: other bits than on this machine" in capsys.readouterr().out
