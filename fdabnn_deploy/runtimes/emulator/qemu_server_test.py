"""The server on this machine's own processor; runtime_tests/qemu_aarch64_test.py has it under the emulator."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.runtimes.emulator.qemu_server import Server, read_arrays, write_arrays
from fdabnn_tflite.runtime.litert import LiteRtRuntime

pytestmark = pytest.mark.runtimes


@pytest.fixture
def inputs() -> list[FloatArray]:
    """Three images for each input of the conformance network."""
    generator = np.random.default_rng(0)
    return [generator.normal(size=(3, *shape)).astype(np.float32) for shape in shapes()]


def shapes() -> tuple[tuple[int, ...], ...]:
    from fdabnn_deploy.conformance import network
    from fdabnn_deploy.ir.ops import Input

    return tuple(node.op.shape for node in network() if isinstance(node.op, Input))


def test_a_session_from_open_to_close(tflite_path: Path, inputs: list[FloatArray], tmp_path: Path) -> None:
    server = Server()
    answer = server.answer({"do": "open", "path": str(tflite_path), "threads": 1})
    assert answer["shapes"] == shapes()
    files = {"inputs": str(tmp_path / "in.npz"), "outputs": str(tmp_path / "out.npz")}
    write_arrays(files["inputs"], inputs)
    assert server.answer({"do": "run", "session": answer["session"], **files}) == {}
    expected = LiteRtRuntime().open(tflite_path)
    for found, wanted in zip(read_arrays(files["outputs"]), expected.run(inputs), strict=True):
        np.testing.assert_array_equal(found, wanted)
    names = server.answer({"do": "run_all", "session": answer["session"], **files})["names"]
    inner = expected.run_all(inputs)
    assert names == list(inner)
    for found, wanted in zip(read_arrays(files["outputs"]), inner.values(), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert server.answer({"do": "close", "session": answer["session"]}) == {}
    assert "KeyError" in server.answer({"do": "run", "session": answer["session"], **files})["text"]


def test_settings_come_one_by_one(tflite_path: Path) -> None:
    server = Server()
    iterator = server.answer({"do": "settings", "path": str(tflite_path)})["iterator"]
    seen = []
    while (answer := server.answer({"do": "next", "iterator": iterator}))["session"] is not None:
        seen.append(answer["setting"])
    assert seen == [text for text, _ in LiteRtRuntime().settings(tflite_path)]


def test_errors_keep_their_class(tmp_path: Path) -> None:
    server = Server()
    answer = server.answer({"do": "open", "path": str(tmp_path / "none.tflite"), "threads": 1})
    assert answer["error"] == "UsageError"
    assert "none.tflite" in answer["text"]
    assert server.answer({"do": "nothing of the kind"})["error"] == ""


def test_the_process_answers_line_by_line_and_ends_with_its_input(tmp_path: Path) -> None:
    request = json.dumps({"do": "open", "path": str(tmp_path / "none.onnx"), "threads": 1})
    done = subprocess.run(
        [sys.executable, "-m", "fdabnn_deploy.runtimes.emulator.qemu_server"],
        input=f"{request}\n{request}\n",
        capture_output=True,
        text=True,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["error"] for answer in answers] == ["UsageError"] * 2
