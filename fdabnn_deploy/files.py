"""Writing files so that a reader sees the whole file or none."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from fdabnn_deploy.errors import UsageError


def write_whole(path: Path, content: bytes) -> None:
    """Writes aside in the same folder and renames; missing folders are made, and the file gets the usual permissions.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            umask = os.umask(0)
            os.umask(umask)
            Path(name).chmod(0o666 & ~umask)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from None


def check_writable(path: Path) -> None:
    """Before work whose result is to be written there: makes and removes a file beside it, and missing folders.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from None
