"""One training at a time for one file."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from fdabnn_deploy.errors import UsageError


@contextlib.contextmanager
def lock_for_writing(path: Path) -> Iterator[None]:
    """Hold the right to write ``path``: a lock on a hidden file beside it, which ends with the process, however that ends.

    Raises:
        UsageError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    place = path.with_name(f".{path.name}.lock")
    handle = _locked(place, path)
    try:
        yield
    finally:
        # First the name, then the lock: who opened the file before finds that it is no longer the one of that name.
        place.unlink(missing_ok=True)
        os.close(handle)


def _locked(place: Path, path: Path) -> int:
    """The lock's file, open and locked."""
    while True:
        handle = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise UsageError(
                f"another process trains to {path}: wait for it, or choose another --out"
            ) from None
        except OSError:
            # Some network file systems have no locks; there nobody is kept out.
            return handle
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), place.stat()):
                return handle
        os.close(handle)
