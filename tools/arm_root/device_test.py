from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from arm_root import device, wheels
from arm_root.device import Device
from arm_root.release import ARCHIVES, Release
from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.runtimes.emulator import arm_root

pytestmark = pytest.mark.programs

NOWHERE = "http://127.0.0.1:9/debian"
RELEASE = Release("Debian 12", "bookworm", ARCHIVES["debian"])


def test_programs_start_others(pi: Device, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("from outside")
    script = 'uname -m; pwd; cat file.txt; python3 -c \'import subprocess; subprocess.run(["/bin/sh", "-c", "uname -m"])\''
    done = pi.run(script, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n") == ["aarch64", device.HOME, "from outsideaarch64", ""]


def test_lines_end_at_the_first_that_fails(pi: Device, tmp_path: Path) -> None:
    done = pi.run("echo $GIVEN\nfalse\necho more", tmp_path, {"GIVEN": "a value"})
    assert (done.returncode, done.stdout) == (1, "a value\n")


def test_its_pip_installs_wheels_of_its_processor(pi: Device, tmp_path: Path) -> None:
    wheels.download(["markupsafe"], tmp_path, pi.python, pi.glibc, tmp_path)
    program = "from markupsafe import _speedups; print(_speedups.__file__)"
    script = f"python3 -m venv env; env/bin/pip install --quiet markupsafe; env/bin/python -c '{program}'"
    done = pi.run(script, tmp_path, {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": device.HOME})
    assert done.returncode == 0, done.stderr
    assert "aarch64-linux-gnu" in done.stdout


def test_without_proot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeMissingError, match="proot is missing: install it with  apt install proot"):
        device.find_proot()


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("apt-get") is None or not RELEASE.archive.keyring.is_file():
        pytest.skip("not Debian")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(arm_root, "find_qemu", lambda: "/usr/bin/qemu-aarch64")
    monkeypatch.setattr(device, "find_proot", lambda: "/usr/bin/proot")
    monkeypatch.setattr(device, "read_release", lambda: RELEASE)
    with pytest.raises(RuntimeMissingError, match=f"from {NOWHERE}"):
        device.make_device(NOWHERE)
    assert [path.name for path in (tmp_path / "fdabnn-arm-root").iterdir()] == ["lock"]
