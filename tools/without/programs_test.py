"""The optional programs that a command finds."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.measure.devices.sshd_testing import run_sshd
from fdabnn_deploy.measure.profiles.static_model import llvm
from fdabnn_deploy.system.programs import ADB, QEMU, SSH, find
from fdabnn_deploy.system.programs_testing import CHROMIUM
from without.programs import HIDDEN, KINDS, OLD, search_path

pytestmark = pytest.mark.programs

ROOT = Path(__file__).parents[2]
SAID = {"absent": "is missing", "old": "is too old", "broken": "does not work"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_program_is_refused_with_the_true_reason(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shutil.which("python3")
    monkeypatch.setenv("PATH", search_path(kind, tmp_path, f"{Path(sys.executable).parent}:/usr/bin:/bin"))
    for program in (ADB, CHROMIUM, QEMU, SSH, llvm("llvm-mca"), llvm("llvm-objdump")):
        with pytest.raises(RuntimeMissingError, match=SAID[kind]):
            find(program)
    # Everything else is there.
    assert all(shutil.which(name) for name in ("sh", "cat", "sleep"))
    assert before is None or shutil.which("python3")


def test_every_name_is_hidden() -> None:
    assert all(HIDDEN.fullmatch(name) for name in OLD)
    for program in (ADB, CHROMIUM, QEMU, SSH, llvm("llvm-mca"), llvm("llvm-objdump")):
        assert all(HIDDEN.fullmatch(name) for name in program.names)
    assert not any(HIDDEN.fullmatch(name) for name in ("python3", "sh", "git", "make", "ssh-add", "llvm-ar"))


def test_the_command_line(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "tools" / "without")]
    done = subprocess.run(
        [*command, "broken", "sh", "-c", "adb; exit 7"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (7, "adb: this is a stand-in that fails\n")
    for wrong in ([], ["absent"], ["hidden", "true"]):
        done = subprocess.run([*command, *wrong], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert (done.returncode, done.stderr.split(":")[0]) == (2, "usage")


def test_a_server_that_cannot_be_had_is_a_skip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("PATH", search_path("broken", tmp_path, "/usr/bin:/bin"))
    with pytest.raises(pytest.skip.Exception, match="sshd does not work"), run_sshd(tmp_path):
        pass
