from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from arm_root import make, wheels
from arm_root.release import ARCHIVES, Release
from fdabnn_deploy.errors import RuntimeMissingError, UsageError
from fdabnn_deploy.runtimes.emulator import arm_root

pytestmark = pytest.mark.programs

TOOL = Path(__file__).parent
RELEASE = Release("Debian 12", "bookworm", ARCHIVES["debian"])
NOWHERE = "http://127.0.0.1:9/debian"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache on a machine with an emulator and Debian 12."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(arm_root.VARIABLE, raising=False)
    monkeypatch.setattr(arm_root, "find_qemu", lambda: "/usr/bin/qemu-aarch64")
    monkeypatch.setattr(make, "read_release", lambda: RELEASE)
    return arm_root.cache_folder()


def pretend(folder: Path, key: str) -> None:
    """A root that says what it was made of, and nothing else."""
    folder.mkdir(parents=True)
    (folder / arm_root.RECORD).write_text(json.dumps({"key": key, "python": "usr/bin/python3.11"}))


def test_the_key_is_what_the_root_is_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make.key(RELEASE)
    assert first == make.key(RELEASE)
    keys = {first, make.key(Release("Debian 13", "trixie", ARCHIVES["debian"]))}
    changed = tmp_path / "constraints.txt"
    changed.write_text(wheels.CONSTRAINTS.read_text() + "more==1.0\n")
    monkeypatch.setattr(wheels, "CONSTRAINTS", changed)
    keys.add(make.key(RELEASE))
    assert len(keys) == 3


def test_what_was_made_is_found_without_a_network(cache: Path) -> None:
    name = make.key(RELEASE)
    pretend(cache / name, name)
    guest = make.make_root(mirror=NOWHERE)
    assert guest.root == cache / name
    assert (cache / arm_root.CURRENT).resolve() == cache / name
    assert arm_root.find() == guest


def test_a_failure_leaves_nothing_behind_and_the_old_root_in_place(cache: Path) -> None:
    out = cache / "roots" / "mine"
    pretend(out, "of an earlier release")
    with pytest.raises(RuntimeMissingError):
        make.make_root(out, mirror=NOWHERE)
    assert sorted(path.name for path in out.parent.iterdir()) == ["mine"]
    assert (out / arm_root.RECORD).is_file()


def test_another_folder_is_not_overwritten(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").touch()
    for out in (tmp_path / "letters", tmp_path / "letters" / "a.txt"):
        with pytest.raises(UsageError, match="something else than an arm64 root: name a new folder"):
            make.make_root(out, fresh=True)
    with pytest.raises(UsageError, match="cannot write to"):
        make.make_root(tmp_path / "letters" / "a.txt" / "root")
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["a.txt"]


def test_the_command_without_an_emulator() -> None:
    done = subprocess.run(
        [sys.executable, str(TOOL)],
        env={**os.environ, "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 6
    assert done.stderr.splitlines() == [
        "arm_root: qemu-aarch64 is missing: install it with  apt install qemu-user"
    ]
