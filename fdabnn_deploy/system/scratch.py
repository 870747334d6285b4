"""Hidden and temporary folders that outlive no run: not its errors, not its signals, and a kill no longer than until the next run.

A folder is locked (flock on itself) for as long as its process uses it. Who makes a folder of the same prefix in the same place removes
those whose lock is free: their process was killed. A lock ends with its process, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
import weakref
from pathlib import Path
from types import TracebackType
from typing import Self

_RANDOM = re.compile(r"[a-z0-9_]{8}")


class ScratchFolder:
    """A new, empty folder; a context manager that removes it with all it holds.

    It is removed at the latest when the object goes away or Python ends.

    Args:
        prefix: of its name, behind which 8 characters are drawn; kinds of folders have different ones.
        parent: where it is made, by default where temporary files are.

    Attributes:
        path: the folder.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, prefix: str, parent: Path | None = None) -> None:
        parent = Path(tempfile.gettempdir()) if parent is None else parent
        remove_leftovers(prefix, parent)
        # It gets the name under which others look at it only when it is locked.
        fresh = Path(tempfile.mkdtemp(prefix=f"{prefix}new-", dir=parent))
        self._lock = os.open(fresh, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with contextlib.suppress(OSError):
            # Some network file systems have no locks; there nobody removes anything.
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.path = parent / f"{prefix}{fresh.name[-8:]}"
        fresh.rename(self.path)
        self._end = weakref.finalize(self, _remove, self.path, self._lock, os.getpid())

    def cleanup(self) -> None:
        """Removes it; a second time nothing."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cleanup()


def remove_leftovers(prefix: str, parent: Path) -> None:
    """Removes this user's folders of a prefix whose process is gone; what cannot be removed stays."""
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            drawn = entry.name.removeprefix(prefix)
            if entry.name.startswith(prefix) and _RANDOM.fullmatch(drawn):
                with contextlib.suppress(OSError):
                    _remove_if_free(Path(entry.path))


def _remove_if_free(folder: Path) -> None:
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(lock).st_uid == os.geteuid():
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _remove(folder: Path, lock: int, process: int) -> None:
    # A child that was forked leaves its parent's folder alone.
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
