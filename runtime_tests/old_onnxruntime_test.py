"""The oldest ONNX Runtime that has what the operators of docs/custom-ops.md ask for, on this processor and on ARM: the bits of today's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from arm_root import wheels
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.runtimes.emulator.arm_root import Guest
from instruction_counts.model_files import Files

pytestmark = pytest.mark.programs

ROOT = Path(__file__).parents[1]
OLDEST = "1.17.3"
PROGRAM = """
import sys
import numpy as np
import onnxruntime
from fdabnn_deploy import custom_ops_path

assert onnxruntime.__version__ == sys.argv[1]
images = np.load(sys.argv[2])
outputs = []
for model in sys.argv[4:]:
    for threads in (1, 2):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.register_custom_ops_library(custom_ops_path())
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        outputs.append(np.concatenate([session.run(None, {session.get_inputs()[0].name: each[None]})[0] for each in images]))
np.save(sys.argv[3], np.stack(outputs))
"""


def check(command: list[str], environment: dict[str, str], files: Files, folder: Path) -> None:
    images = np.random.default_rng(0).normal(size=(3, 3, 32, 32)).astype(np.float32)
    np.save(folder / "images.npy", images)
    arguments = [
        OLDEST,
        str(folder / "images.npy"),
        str(folder / "outputs.npy"),
        str(files.onnx),
        str(files.packed),
    ]
    done = subprocess.run(
        [*command, "-c", PROGRAM, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (expected,) = registry.for_file(files.onnx).open(files.onnx).run([images])
    outputs = np.load(folder / "outputs.npy")
    assert len(outputs) == 4
    for found in outputs:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.long
def test_on_this_processor(resnet20_files: Files, tmp_path: Path) -> None:
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", f"--target={site}"]
    subprocess.run([*pip, f"onnxruntime=={OLDEST}"], check=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}
    check([sys.executable], environment, resnet20_files, tmp_path)


@pytest.mark.long
def test_on_arm(resnet20_files: Files, arm_guest: Guest, tmp_path: Path) -> None:
    site = tmp_path / "site"
    command = [
        *(
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--implementation=cp",
        ),
        *("--python-version=3.11", *(f"--platform={tag}" for tag in wheels.platforms("2.36"))),
        *(f"--target={site}", f"onnxruntime=={OLDEST}"),
    ]
    subprocess.run(command, check=True)
    check(arm_guest.command(), arm_guest.environment(site, ROOT), resnet20_files, tmp_path)
