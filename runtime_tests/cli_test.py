"""The tools as users meet them: own processes, exit codes, what stands on the terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from fdabnn_deploy.pipeline import report
from fdabnn_deploy.verify import comparison_report

SHAPE = ["--input-shape", "3,8,8"]


def run(*arguments: str | Path, cwd: Path, before: str = "") -> subprocess.CompletedProcess[str]:
    """Runs `fdabnn-export` or `fdabnn-parity` in a process of its own, `before` first."""
    tool, *rest = map(str, arguments)
    module = f"fdabnn_deploy.cli.{tool.removeprefix('fdabnn-')}"
    code = f"import sys\n{before}\nfrom {module} import main\nsys.exit(main({rest!r}))"
    environment = {**os.environ, "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, write_network: Callable[..., Path]) -> Path:
    """A user's folder: a network in a file, two state dicts for it."""
    return write_network(tmp_path_factory.mktemp("user"), "weights0.pt", "weights1.pt")


@pytest.fixture(scope="module")
def exported(workplace: Path) -> subprocess.CompletedProcess[str]:
    """The first weights as ONNX and TFLite, in `out`."""
    return run(
        "fdabnn-export", "weights0.pt", "--model", "nets:Small", *SHAPE, "--out", "out", "--samples", "random:50",
        "--json", "out/report.json", cwd=workplace,
    )  # fmt: skip


def test_export_ends_with_0_and_says_what_it_did(
    workplace: Path, exported: subprocess.CompletedProcess[str]
) -> None:
    assert exported.stderr == ""
    assert exported.returncode == 0
    for part in (
        "convert",
        "Layers: 1 of 3 are 1-bit",
        "50 of 50 (100 %)",
        "0 of 500 ",
        "Proofs from the finished files",
        "1 of 1 layers equal",
        "median",
        "verified",
    ):
        assert part in exported.stdout
    assert "\x1b" not in exported.stdout
    assert (
        "  fdabnn-parity weights0.pt out/weights0.onnx --inputs random:50 --model nets:Small"
        in exported.stdout
    )
    assert sorted(path.name for path in (workplace / "out").iterdir()) == [
        "report.json", "weights0.onnx", "weights0.tflite",
    ]  # fmt: skip
    content = json.loads((workplace / "out" / "report.json").read_text())
    jsonschema.validate(content, json.loads(report.SCHEMA_FILE.read_text()))
    assert content["verified"] is True


PARITY = ["--model", "nets:Small", *SHAPE, "--inputs", "random:50"]


@pytest.mark.usefixtures("exported")
def test_parity_of_checkpoint_and_file_ends_with_0(workplace: Path) -> None:
    done = run(
        "fdabnn-parity", "weights0.pt", "out/weights0.tflite", *PARITY, "--per-layer", "--json", "parity.json",
        cwd=workplace,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.returncode == 0
    assert "ok the same bits: 0 of 500 values differ" in done.stdout.replace("✓", "ok")
    assert "its deployed graph, numerics of weights0.tflite" in done.stdout
    assert "tensors that both have are equal, on 8 inputs" in done.stdout
    content = json.loads((workplace / "parity.json").read_text())
    jsonschema.validate(content, json.loads(comparison_report.SCHEMA_FILE.read_text()))
    assert content["same_checkpoint"] is True
    assert (content["verdict"], content["a"]["numerics"]) == ("equal", "exact")
    assert any(row["layer"] == "conv" for row in content["layers"])


@pytest.mark.usefixtures("exported")
def test_parity_of_two_networks_ends_with_4_and_names_the_first_layer(workplace: Path) -> None:
    done = run(
        "fdabnn-parity", "out/weights0.onnx", "weights1.pt", *PARITY, "--reproduce", "layer", cwd=workplace
    )
    assert done.returncode == 4
    assert "the two come from different checkpoints" in done.stdout
    assert "first difference: layer stem, tensor stem/conv2d" in done.stdout
    assert re.search(r"index \[0, 0, 0, 0\]: A \S+ \(0x[0-9a-f]{8}\), B \S+ \(0x[0-9a-f]{8}\)", done.stdout)
    assert "the layer alone: layer" in done.stdout
    assert (workplace / "layer" / "layer.tflite").exists()
    message = done.stderr.removeprefix("fdabnn-parity: out/weights0.onnx and weights1.pt do not agree: ")
    assert re.fullmatch(r"\d+ of 500 values differ in their bits\n", message)


@pytest.mark.usefixtures("exported")
def test_a_tolerance_is_said_in_the_verdict(workplace: Path) -> None:
    done = run("fdabnn-parity", "out/weights0.onnx", "weights1.pt", *PARITY, "--atol", "1e3", cwd=workplace)
    assert done.stderr == ""
    assert done.returncode == 0
    assert re.search(
        r"the same within --atol 1000, not in their bits: \d+ of 500 values needed it", done.stdout
    )
    done = run("fdabnn-parity", "out/weights0.onnx", "weights1.pt", *PARITY, "--atol", "1e-9", cwd=workplace)
    assert done.returncode == 4
    assert re.search(r"of them beyond --atol 1e-09", done.stderr)


@pytest.mark.usefixtures("exported")
def test_the_trained_model_is_reported_and_ends_with_0(workplace: Path) -> None:
    done = run("fdabnn-parity", "weights0.pt:float", "out/weights0.onnx", *PARITY, cwd=workplace)
    assert done.stderr == ""
    assert done.returncode == 0
    assert (
        "-- reported, not promised (weights0.pt:float is the trained model): 50 of 50 decisions"
        in done.stdout
    )


@pytest.mark.usefixtures("exported")
def test_two_files_are_compared_without_pytorch(workplace: Path) -> None:
    done = run(
        "fdabnn-parity", "out/weights0.onnx", "out/weights0.tflite", "--inputs", "random:50", cwd=workplace,
        before="sys.modules['torch'] = sys.modules['tensorflow'] = None",
    )  # fmt: skip
    assert done.stderr == ""
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["weights0.pt", "--target", "onxx"], "unknown target 'onxx': did you mean 'onnx'?"),
        (["weights0.pt", "--bach", "2"], "--batch"),
        (["weights0.pt", "--batch", "many"], "neither a positive number nor 'dynamic'"),
        (["nothing.pt"], "nothing.pt"),
        (["weights0.pt"], "--arch"),
        (["weights0.pt", "--model", "nets:Big"], "has no 'Big'"),
    ],
)
def test_wrong_usage_ends_with_2_and_one_line(workplace: Path, arguments: list[str], message: str) -> None:
    done = run("fdabnn-export", *arguments, "--out", "unused", cwd=workplace)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert done.stderr.startswith("fdabnn-export: ")
    assert done.stderr.count("\n") == 1
    assert not (workplace / "unused").exists()


LONG = "n" * 300


@pytest.mark.parametrize(
    "arguments",
    [
        ["fdabnn-parity", f"{LONG}.onnx", f"{LONG}.onnx"],
        ["fdabnn-parity", f"{LONG}.pt", "weights0.pt"],
        ["fdabnn-parity", f"{LONG}.pt:float", "weights0.pt"],
        ["fdabnn-parity", "weights0.pt", "weights0.pt", "--json", LONG],
        ["fdabnn-parity", "weights0.pt", "weights0.pt", "--reproduce", LONG],
        ["fdabnn-export", f"{LONG}.pt"],
        ["fdabnn-export", "weights0.pt", "--json", LONG],
        ["fdabnn-export", "weights0.pt", "--capsule", LONG],
        ["fdabnn-profile", f"{LONG}.tflite"],
        ["fdabnn-profile", "a.tflite", "--json", LONG],
        ["fdabnn-profile", "a.tflite", "--html", LONG],
        ["fdabnn-profile", "--compare", LONG, LONG],
    ],
)
def test_a_name_that_is_too_long_ends_with_2(workplace: Path, arguments: list[str]) -> None:
    done = run(*arguments, cwd=workplace)
    assert done.returncode == 2, done.stderr
    assert "File name too long" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_noisy_checkpoint_ends_with_3_and_writes_nothing(workplace: Path, noisy_checkpoint: Path) -> None:
    done = run("fdabnn-export", noisy_checkpoint, "--out", "unused", cwd=workplace)
    assert done.returncode == 3
    assert "alpha" in done.stderr
    assert "--drop-noise" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (workplace / "unused").exists()


def test_a_damaged_file_ends_with_3(workplace: Path) -> None:
    (workplace / "cut.onnx").write_bytes(b"\x08\x08\x12")
    done = run("fdabnn-parity", "cut.onnx", "cut.onnx", "--inputs", "random:2", cwd=workplace)
    assert done.returncode == 3
    assert "cut.onnx" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_package_ends_with_6(workplace: Path) -> None:
    done = run("fdabnn-export", "weights0.pt", cwd=workplace, before="sys.modules['torch'] = None")
    assert done.returncode == 6
    assert done.stderr == (
        "fdabnn-export: exporting needs PyTorch: install it with  pip install 'fdabnn-deploy[export]'\n"
    )


def test_a_bug_ends_with_1_and_says_so(workplace: Path) -> None:
    before = "import fdabnn_deploy.pipeline.export as p\ndef broken(*a, **k): raise KeyError('x')\np._read = broken"
    done = run("fdabnn-export", "weights0.pt", "--out", "unused", cwd=workplace, before=before)
    assert done.returncode == 1
    assert "this is a bug in fdabnn-export" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (workplace / "unused").exists()


def test_ctrl_c_ends_with_130_and_leaves_nothing(workplace: Path, checkpoint: Path) -> None:
    # A process that a shell has put into the background ignores SIGINT unless it says otherwise.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from fdabnn_deploy.cli.export import main; sys.exit(main(sys.argv[1:]))"
    )
    arguments = [sys.executable, "-c", code, str(checkpoint), "--target", "onnx", "--out", "unused"]
    with subprocess.Popen(
        arguments, cwd=workplace, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        while not process.stdout.readline().startswith("  read"):
            pass
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.stderr.read() == "fdabnn-export: stopped\n"
    assert process.returncode == 130
    assert not (workplace / "unused").exists()
