"""fdabnn-runner for aarch64 under the emulator, with the libraries of the arm64 root: no Python runs there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from fdabnn_deploy.native import delegate_path, runner_path
from fdabnn_deploy.runtimes.emulator.arm_root import Guest
from fdabnn_deploy.verify.capsule import read_capsule

pytestmark = pytest.mark.programs

SCHEMA = Path(__file__).parents[1] / "fdabnn_deploy" / "schemas" / "runner.schema.json"
LIBRARIES = {"tflite": "ai_edge_litert/libLiteRt.so", "onnx": "onnxruntime/capi/libonnxruntime.so.*"}
MARKS = (0xD503201F | 0x70 << 5, 0xD503201F | 0x71 << 5)
"""HINT 0x70 and 0x71 in A64."""
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def run(arm_guest: Guest) -> Run:
    packages = arm_guest.root / "usr" / "local" / "lib"

    def run_one(
        kind: str, *arguments: object, qemu: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        library = next(packages.glob(f"python3*/dist-packages/{LIBRARIES[kind]}"))
        return subprocess.run(
            [
                *(arm_guest.qemu, *qemu, "-L", str(arm_guest.root), runner_path("aarch64"), "--runtime", str(library)),
                *("--delegate", delegate_path("aarch64"), *map(str, arguments)),
            ],
            env=arm_guest.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )  # fmt: skip

    return run_one


@pytest.mark.parametrize("name", ["tflite", "onnx", "packed"])
def test_the_self_test_passes(name: str, run: Run, resnet20_capsules: dict[str, Any], tmp_path: Path) -> None:
    files = resnet20_capsules[name]
    kind = files.model.suffix.removeprefix(".")
    out = tmp_path / "outputs"
    done = run(
        *(
            kind,
            files.model,
            "--selftest",
            files.capsule,
            "--outputs",
            out,
            "--threads",
            2,
            "--warmup",
            0,
            "--runs",
            1,
        ),
        *("--per-op", "--json", "-"),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    jsonschema.validate(found, json.loads(SCHEMA.read_text()), cls=jsonschema.Draft202012Validator)
    assert found["selftest"]["passed"]
    assert found["selftest"]["packed_tensors_checked"] == (18 if name == "tflite" else 0)
    assert found["runtime"]["kernels"] == (None if name == "onnx" else "neon")
    assert found["device"]["machine"] == found["runner"]["machine"] == "aarch64"
    assert found["device"]["cpu"].startswith("Cortex-A72")
    assert "asimd" in found["device"]["features"]
    assert len(found["ops"]) > 20
    expected = read_capsule(files.capsule).outputs[0].values
    assert np.array_equal(np.fromfile(out, np.float32).reshape(expected.shape), expected)


def test_the_markers_are_executed(run: Run, resnet20_capsules: dict[str, Any], tmp_path: Path) -> None:
    """The emulator writes down what it translates; a line has the instruction's code."""
    log = tmp_path / "log"
    arguments = ("onnx", resnet20_capsules["packed"].model, "--warmup", 0, "--runs", 1)
    for markers in ((), ("--markers",)):
        done = run(*arguments, *markers, qemu=("-d", "in_asm", "-D", str(log)))
        assert done.returncode == 0, done.stderr
        text = log.read_text(errors="replace")
        assert [f"{mark:08x}" in text for mark in MARKS] == [bool(markers)] * 2


def test_a_damaged_model_is_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_text("no model")
    done = run("tflite", path)
    assert done.returncode == 3
    assert done.stderr.startswith(f"fdabnn-runner: {path} is damaged or not a TFLite file")
