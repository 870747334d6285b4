"""Folders that are removed, by themselves or by the next run."""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fdabnn_deploy.system.scratch import ScratchFolder, remove_leftovers

HOLDER = """
import os, signal, sys
from pathlib import Path
from fdabnn_deploy.system.scratch import ScratchFolder
folder = ScratchFolder("a-", Path(sys.argv[1]))
(folder.path / "deep").mkdir()
(folder.path / "deep" / "file").write_bytes(b"content")
print(folder.path.name, flush=True)
sys.stdin.read()
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def hold(folder: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_it_goes_with_its_context_its_object_and_its_process(tmp_path: Path) -> None:
    with ScratchFolder("a-", tmp_path) as folder:
        assert names(tmp_path) == [folder.path.name]
        (folder.path / "file").write_bytes(b"content")
    assert names(tmp_path) == []
    folder.cleanup()
    with pytest.raises(KeyboardInterrupt), ScratchFolder("a-", tmp_path):
        raise KeyboardInterrupt
    assert names(tmp_path) == []
    forgotten = ScratchFolder("a-", tmp_path)
    assert len(names(tmp_path)) == 1
    del forgotten
    gc.collect()
    assert names(tmp_path) == []
    process, name = hold(tmp_path)
    assert names(tmp_path) == [name]
    process.communicate("", timeout=20)
    assert names(tmp_path) == []


def test_what_a_kill_leaves_goes_with_the_next_run(tmp_path: Path) -> None:
    """Folders of running processes and of other prefixes are kept."""
    killed, left = hold(tmp_path)
    running, kept = hold(tmp_path)
    others = [
        tmp_path / name for name in ("a-notdrawn", "b-aaaaaaaa", "a-aaaaaaa", "a-AAAAAAAA", "a-x-aaaaaaaa")
    ]
    others[0].touch()
    for path in others[1:]:
        path.mkdir()
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=20)
    assert left in names(tmp_path)
    with ScratchFolder("a-", tmp_path) as folder:
        assert names(tmp_path) == sorted([folder.path.name, kept, *(path.name for path in others)])
    running.communicate("", timeout=20)
    assert names(tmp_path) == sorted(path.name for path in others)


def test_many_at_once(tmp_path: Path) -> None:
    """Processes that make, use and remove folders of one prefix never lose one that they use."""
    script = (
        "import sys\nfrom pathlib import Path\nfrom fdabnn_deploy.system.scratch import ScratchFolder\n"
        "for _ in range(150):\n"
        "    with ScratchFolder('a-', Path(sys.argv[1])) as folder:\n"
        "        (folder.path / 'file').write_bytes(b'content')\n"
        "        assert (folder.path / 'file').read_bytes() == b'content'\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate(timeout=120)[1] for process in processes] == [""] * 4
    assert names(tmp_path) == []


def test_a_forked_child_leaves_it_alone(tmp_path: Path) -> None:
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom fdabnn_deploy.system.scratch import ScratchFolder\n"
        "folder = ScratchFolder('a-', Path(sys.argv[1]))\n"
        "pid = os.fork()\n"
        "if pid == 0:\n    folder.cleanup()\n    os._exit(0)\n"
        "os.waitpid(pid, 0)\n"
        "assert folder.path.is_dir()\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, timeout=60)
    assert names(tmp_path) == []


def test_links_and_what_cannot_be_locked_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    far = tmp_path / "far"
    far.mkdir()
    (tmp_path / "a-aaaaaaaa").symlink_to("far")
    remove_leftovers("a-", tmp_path)
    assert names(tmp_path) == ["a-aaaaaaaa", "far"]
    (tmp_path / "a-bbbbbbbb").mkdir()

    def refuse(*_: object) -> None:
        raise OSError(95, os.strerror(95))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with ScratchFolder("a-", tmp_path):
        assert "a-bbbbbbbb" in names(tmp_path)
    remove_leftovers("a-", tmp_path / "none")
