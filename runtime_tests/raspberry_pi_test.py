"""The page for owners of a Raspberry Pi: every command of it, on an arm64 Debian that has nothing of ours on it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from arm_root import device, wheels
from arm_root.device import Device
from fdabnn_deploy.runtimes import registry
from native.wheels import build_wheel

pytestmark = pytest.mark.programs

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "raspberry-pi.md").read_text()
WORKSTATION, PI = PAGE.split("## On the Pi")
SHELL, PYTHON = (re.compile(rf"```{language}\n(.*?)```", re.DOTALL) for language in ("sh", "python"))


@pytest.fixture(scope="module")
def home(pi: Device, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Pi's home folder after the page's first part."""
    (block,) = SHELL.findall(WORKSTATION)
    export, make = block.splitlines()
    assert make == "make wheels"
    folder = tmp_path_factory.mktemp("workstation")
    program, *arguments = shlex.split(export)
    assert program == "fdabnn-export"
    arguments[0] = str(ROOT / arguments[0])
    done = subprocess.run(
        [sys.executable, "-m", "fdabnn_deploy.cli.export", *arguments, "--samples", "random:2"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "dist").mkdir()
    build_wheel("aarch64", folder / "dist")

    home = tmp_path_factory.mktemp("pi")
    copied = re.findall(r"`((?:build/pi|dist)/[\w./-]+)`", WORKSTATION)
    assert len(copied) == 3
    for name in copied:
        shutil.copy(folder / name, home)
    wheels.download(wheels.base_requirements(), home / ".wheels", pi.python, pi.glibc, home)
    return home


def test_the_page(pi: Device, home: Path) -> None:
    commands = SHELL.findall(PI)
    assert len(commands) == 2
    (program,) = PYTHON.findall(PI)
    (home / "run.py").write_text("import numpy\nnumpy.set_printoptions(floatmode='unique')\n" + program)
    # Its pip finds the packages of the index beside it: an emulated one would take minutes to fetch them.
    variables = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": f"{device.HOME}/.wheels", "PIP_NO_COMPILE": "1"}
    done = pi.run("".join(commands) + "python run.py > printed.txt\n", home, variables)
    assert done.returncode == 0, done.stdout + done.stderr

    (found,) = json.loads((home / "pi.json").read_text())["devices"]
    assert found["selftest"]["passed"]
    assert found["selftest"]["packed"] == 18
    assert [measured["threads"] for measured in found["measurements"]] == [1]

    model = home / "resnet20-cifar10.tflite"
    (expected,) = registry.for_file(model).open(model).run([np.zeros((1, 3, 32, 32), np.float32)])
    with np.printoptions(floatmode="unique"):
        assert (home / "printed.txt").read_text().strip().endswith(str(expected))
