"""The programs in examples/ do what their README says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, argument: Path) -> str:
    command = [sys.executable, str(EXAMPLES / name), str(argument)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_own_network_is_exported_and_its_capsule_replayed(tmp_path: Path) -> None:
    exported = run("export_own_network.py", tmp_path)
    assert exported.count("1 bit") == 2
    assert "\n0 of 320 output values differ" in exported
    assert {"small.onnx", "small.tflite", "small.capsule"} <= {path.name for path in tmp_path.iterdir()}
    assert re.fullmatch(
        r"\d+ inputs: 0 of \d+ output values differ\n", run("run_capsule.py", tmp_path / "small.capsule")
    )


def test_the_readme_names_every_example() -> None:
    named = set(re.findall(r"`(\w+\.py)`", (EXAMPLES / "README.md").read_text()))
    assert named == {path.name for path in EXAMPLES.glob("*.py")}
