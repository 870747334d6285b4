"""docs/users-ci.md: its test runs as printed, in a repository of its own, and its workflow is sound."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import onnx
import pytest
import yaml

import fdabnn_deploy
from fdabnn_deploy.testing import assert_bit_exact
from runtime_tests.conftest import SHIPPED

ROOT = Path(__file__).parents[1]
RECIPE = (ROOT / "docs" / "users-ci.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The only block of the document in this language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", RECIPE, re.DOTALL)
    return str(found)


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    content: dict[Any, Any] = yaml.safe_load(block("yaml"))
    return content


@pytest.fixture(scope="module")
def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    (job,) = workflow["jobs"].values()
    return list(job["steps"])


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A user's: the document's test, and a checkpoint beside it."""
    tests = tmp_path / "tests"
    tests.mkdir()
    shutil.copy(SHIPPED[0], tests / "model.pt")
    (tests / "export_parity_test.py").write_text(block("python"), encoding="utf-8")
    return tmp_path


def run(step: str, repository: Path) -> subprocess.CompletedProcess[str]:
    """A step's shell line, as the workflow's shell runs it, with this environment's Python."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step],
        cwd=repository,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_test_has_ten_lines() -> None:
    assert len([line for line in block("python").splitlines() if line.strip()]) <= 10


def test_it_passes_as_it_is_printed(repository: Path, steps: list[dict[str, Any]]) -> None:
    done = run(steps[-1]["run"], repository)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_it_fails_where_a_file_computes_something_else(repository: Path, steps: list[dict[str, Any]]) -> None:
    """The same line, on the same test with a file in which one bias is another."""
    out = repository / "out"
    fdabnn_deploy.export(SHIPPED[0], targets="onnx", out=out, samples="random:8", name="model")
    assert_bit_exact(SHIPPED[0], out / "model.onnx", "random:8")
    model = onnx.load(out / "model.onnx")
    bias = next(t for t in model.graph.initializer if t.name == "conv1/conv2d/x0w0/bias")
    values = onnx.numpy_helper.to_array(bias).copy()
    values[3] += 0.25
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
    onnx.save(model, out / "model.onnx")
    printed = block("python")
    start = printed.index("    report = ")
    broken = printed[:start] + '    assert_bit_exact(CHECKPOINT, "out/model.onnx", "random:8")\n'
    (repository / "tests" / "export_parity_test.py").write_text(broken, encoding="utf-8")
    done = run(steps[-1]["run"], repository)
    assert done.returncode == 1
    assert re.search(
        r"AssertionError: \S+model\.pt and out/model\.onnx differ: \d+ of 80 output values", done.stdout
    )
    assert re.search(r"first in tensor conv1/conv2d\S* of layer conv1, input \d, index \[3, ", done.stdout)


def test_the_workflow_is_one_that_github_takes(workflow: dict[Any, Any], steps: list[dict[str, Any]]) -> None:
    # YAML 1.1 reads the key `on` as a truth value.
    assert set(workflow) == {"name", True, "permissions", "jobs"}
    assert set(workflow[True]) == {"push", "pull_request"}
    (job,) = workflow["jobs"].values()
    assert set(job) == {"runs-on", "timeout-minutes", "steps"}
    for step in steps:
        assert ("uses" in step) != ("run" in step)
        assert set(step) <= {"name", "uses", "with", "run"}
    assert [step["uses"].partition("@")[0] for step in steps if "uses" in step] == [
        "actions/checkout",
        "actions/setup-python",
    ]
    assert steps[1]["with"]["cache"] == "pip"
    # Where the document says that the workflow lies.
    assert f"`{steps[1]['with']['cache-dependency-path']}`" in RECIPE


def test_its_shell_lines_are_sound(steps: list[dict[str, Any]], tmp_path: Path) -> None:
    lines = [step["run"] for step in steps if "run" in step]
    for line in lines:
        done = subprocess.run(["bash", "-n", "-c", line], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert all(line.startswith("python -m ") for line in lines)
    # Every option is one that pip and pytest know.
    for line in lines[:-1]:
        asked = run(f"{line} --help", tmp_path)
        assert asked.returncode == 0, asked.stderr


def test_it_installs_what_this_project_is_tested_with(steps: list[dict[str, Any]]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = " ".join(step.get("run", "") for step in steps)
    (torch,) = re.findall(r"torch==([\d.]+)\+cpu", lines)
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert re.search(rf"^torch=={re.escape(torch)}", constraints, re.MULTILINE)
    assert torch in (ROOT / "README.md").read_text(encoding="utf-8")
    ((name, extra),) = re.findall(r'"([a-z-]+)\[(\w+)\]"', lines)
    assert name == project["name"]
    assert extra in project["optional-dependencies"]
    version = steps[1]["with"]["python-version"]
    assert f"Programming Language :: Python :: {version}" in project["classifiers"]
