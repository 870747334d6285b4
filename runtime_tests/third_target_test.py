"""A target in a distribution of its own, met through the command line: nothing in this project names it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from fdabnn_deploy.pipeline import report
from fdabnn_deploy.verify import comparison_report

TARGETS = Path(__file__).parent / "fixtures" / "tiny_target"
NETWORK = {"classes": 4, "width": 8}
MODEL = ["weights.pt", "--model", "nets:Small", "--input-shape", "3,8,8"]
MODEL += [word for name, value in NETWORK.items() for word in ("--arch-arg", f"{name}={value}")]


def run(tool: str, *arguments: str | Path, cwd: Path, known: bool = True) -> subprocess.CompletedProcess[str]:
    """A tool in a process of its own, with the distribution on PYTHONPATH if it is `known`."""
    code = f"import sys; from fdabnn_deploy.cli.{tool} import main; sys.exit(main())"
    found = [str(TARGETS)] * known + [os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "160", "PYTHONPATH": os.pathsep.join(filter(None, found))},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def export(folder: Path, target: str, *more: str, known: bool = True) -> subprocess.CompletedProcess[str]:
    arguments = [*MODEL, "--target", target, "--samples", "random:20", "--out", "out", *more]
    return run("export", *arguments, cwd=folder, known=known)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_network: Callable[..., Path]) -> Path:
    """A user's folder."""
    return write_network(tmp_path_factory.mktemp("third"), "weights.pt", **NETWORK)


@pytest.fixture(scope="module")
def exported(folder: Path) -> subprocess.CompletedProcess[str]:
    """`out/weights.tiny` and `out/weights.onnx` with exact numerics."""
    return export(folder, "tiny,onnx", "--json", "report.json")


def test_an_exact_export_is_proved_and_verified(
    folder: Path, exported: subprocess.CompletedProcess[str]
) -> None:
    assert (exported.returncode, exported.stderr) == (0, "")
    assert (folder / "out" / "weights.tiny").is_file()
    content = json.loads((folder / "report.json").read_text())
    jsonschema.validate(content, json.loads(report.SCHEMA_FILE.read_text()))
    assert content["verified"]
    tiny = [row for row in content["parity"] if row["target"] == "tiny"]
    assert {(row["runtime"], row["setting"]) for row in tiny} == {("tiny-numpy", ""), ("tiny-numpy", "alone")}
    assert all(row["comparison"]["differing"] == 0 for row in tiny)
    (proof,) = [proof for proof in content["proofs"] if proof["target"] == "tiny"]
    assert proof["proved"]
    assert {row["kind"] for row in proof["rows"]} >= {"exact integer", "exact sum", "sign"}
    assert [row["target"] for row in content["latency"]] == ["tiny", "onnx"]
    assert [row["target"] for row in content["twins"]] == ["tiny", "onnx"]


def test_an_optional_runtime_that_is_absent_is_a_row(
    folder: Path, exported: subprocess.CompletedProcess[str]
) -> None:
    content = json.loads((folder / "report.json").read_text())
    (row,) = content["absent"]
    assert (row["runtime"], row["target"]) == ("tiny-second", "tiny")
    assert row["reason"].endswith(
        "needs the package 'no_such_tiny_package': install it with  pip install fdabnn-tiny"
    )
    assert re.search(r"-- +Second +absent", exported.stdout)
    assert "tiny on Second was not checked: runtime 'tiny-second' needs the package" in exported.stdout


def test_parity_takes_its_files(folder: Path, exported: subprocess.CompletedProcess[str]) -> None:
    pair = [
        "out/weights.tiny",
        "out/weights.onnx",
        "--inputs",
        "random:20",
        "--per-layer",
        "--json",
        "parity.json",
    ]
    done = run("parity", *pair, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "the same bits: 0 of 80 values differ" in done.stdout
    assert re.search(r"tiny-second +tiny-numpy +absent", done.stdout)
    content = json.loads((folder / "parity.json").read_text())
    jsonschema.validate(content, json.loads(comparison_report.SCHEMA_FILE.read_text()))
    (row,) = content["runtimes"]
    assert (row["runtime"], row["version"], row["comparison"]) == ("tiny-second", "", None)
    assert row["absent"]
    assert content["a"]["checksum"] == "fits"
    done = run("parity", *MODEL[:1], "out/weights.tiny", *MODEL[1:], "--inputs", "random:20", cwd=folder)
    assert done.returncode == 0
    # Who names the runtime has to have it.
    assert run("parity", *pair[:4], "--runtime", "tiny-second", cwd=folder).returncode == 6


def test_a_changed_file_is_said(folder: Path, exported: subprocess.CompletedProcess[str]) -> None:
    with np.load(folder / "out" / "weights.tiny") as archive:
        arrays = {name: archive[name] for name in archive.files}
    # The last ones are the classifier's.
    last = f"array{len(arrays) - 2}"
    arrays[last] = arrays[last] + np.float32(1)
    with (folder / "changed.tiny").open("wb") as file:
        np.savez(file, **arrays)
    done = run("parity", "changed.tiny", "out/weights.tiny", "--inputs", "random:4", cwd=folder)
    assert done.returncode == 4
    assert "changed.tiny has changed since its export: its checksum does not fit" in done.stdout
    (folder / "cut.tiny").write_bytes((folder / "changed.tiny").read_bytes()[:1000])
    done = run("parity", "cut.tiny", "out/weights.tiny", "--inputs", "random:4", cwd=folder)
    assert done.returncode == 3
    assert "cut.tiny is no sound Tiny file" in done.stderr


def test_profile_says_which_files_devices_take(
    folder: Path, exported: subprocess.CompletedProcess[str]
) -> None:
    done = run("profile", "out/weights.tiny", cwd=folder)
    assert done.returncode == 2
    assert "out/weights.tiny cannot be profiled: give a file that ends in .onnx or .tflite" in done.stderr


def test_a_capsule_of_such_files_is_refused_before_any_work(folder: Path) -> None:
    done = export(folder, "tiny", "--capsule", "tiny.capsule")
    assert done.returncode == 2
    assert "a capsule is made of ONNX or TFLite files: add one of the targets onnx, tflite" in done.stderr
    assert "capture" not in done.stdout


def test_float_numerics_prove_nothing_and_say_so(folder: Path) -> None:
    for target in ("tiny", "garbage"):
        out = ["--numerics", "float", "--name", target, "--json", f"{target}.json"]
        done = export(folder, target, *out)
        assert (done.returncode, done.stderr) == (0, "")
        assert "prove" not in done.stdout.lower()
        content = json.loads((folder / f"{target}.json").read_text())
        assert content["proofs"] == []
        assert "prove" not in content["verdict_text"]


def test_all_is_onnx_and_tflite(folder: Path) -> None:
    for target in ("all", ""):
        done = export(folder, target, "--name", "all")
        assert (done.returncode, done.stderr) == (0, "")
        written = {path.name for path in (folder / "out").glob("all.*")}
        assert written == {"all.onnx", "all.tflite"}


@pytest.mark.parametrize(
    ("target", "code", "said"),
    [
        (
            "garbage",
            3,
            (
                "target 'garbage' has no prover: exact numerics promise equal bits, which nobody can prove of its Garbage files; export "
                "them with --numerics float, which promises none, or choose onnx or tflite"
            ),
        ),
        ("onnx,garbage", 3, "target 'garbage' has no prover"),
        (
            "homeless",
            6,
            "runtime 'home' needs the package 'no_such_tiny_package': install it with  pip install fdabnn-tiny",
        ),
        ("broken", 6, "target 'broken' needs the package 'fdabnn_tiny.not_there'"),
        ("greedy", 2, "targets 'greedy' and 'onnx' both claim .onnx: uninstall one of them"),
        ("tini", 2, "unknown target 'tini': did you mean 'tiny'?"),
    ],
)
def test_what_a_target_lacks_is_said_before_any_work(folder: Path, target: str, code: int, said: str) -> None:
    done = export(folder, target, "--name", "lacking")
    assert done.returncode == code
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert "capture" not in done.stdout
    assert not list((folder / "out").glob("lacking*"))


def test_a_reader_that_finds_nothing_proves_nothing(folder: Path) -> None:
    done = export(folder, "unprovable", "--name", "nothing")
    assert done.returncode == 4
    assert "unprovable: cannot be proved: the file: its reader found nothing in it" in done.stderr
    assert not list((folder / "out").glob("nothing*"))


def test_without_the_distribution_nobody_knows_it(folder: Path) -> None:
    done = export(folder, "tiny", known=False)
    assert done.returncode == 2
    assert "unknown target 'tiny'" in done.stderr
