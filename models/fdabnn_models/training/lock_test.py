from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from fdabnn_deploy.errors import UsageError
from fdabnn_models.training.lock import lock_for_writing

HOLD = """
import sys, time
from pathlib import Path
from fdabnn_models.training.lock import lock_for_writing
with lock_for_writing(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_of_a_file_that_is_gone_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process ends, and takes the file away, between the opening and the locking of this one."""
    path, place = tmp_path / "net.pt.state", tmp_path / ".net.pt.state.lock"
    lock, gone = fcntl.flock, list[int]()

    def late(handle: int, operation: int) -> None:
        if not gone:
            gone.append(place.stat().st_ino)
            place.unlink()
        lock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with lock_for_writing(path), pytest.raises(UsageError), lock_for_writing(path):
        pass
    assert gone


def test_second_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "net.pt.state"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with (
            pytest.raises(UsageError, match=r"another process trains to .*net\.pt\.state: wait"),
            lock_for_writing(path),
        ):
            pass
        first.kill()
    with lock_for_writing(path):
        pass
    assert list(tmp_path.iterdir()) == []
