"""Reading whole files that a user names: what is no file, what never ends and what does not fit into memory is said before."""

from __future__ import annotations

import stat
from pathlib import Path

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.system.memory import check_memory

_KINDS = (
    (stat.S_ISCHR, "a device, which may never end"),
    (stat.S_ISBLK, "a disk device"),
    (stat.S_ISFIFO, "a pipe (FIFO), which may never end"),
    (stat.S_ISSOCK, "a socket"),
)


def check_file(path: Path, what: str = "file") -> int:
    """The size of a regular file, links followed.

    Args:
        path: of the file.
        what: how the remedy calls it, such as "checkpoint file".

    Raises:
        UsageError: there is none, or it is a folder, a device, a pipe or a socket, or the name is none.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}") from None
    except ValueError:
        raise UsageError(f"{str(path)!r} is no file name: it holds a NUL character") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    if stat.S_ISDIR(found.st_mode):
        raise UsageError(f"{path} is a folder; name the {what} in it")
    kind = next((kind for is_kind, kind in _KINDS if is_kind(found.st_mode)), None)
    if kind is not None:
        raise UsageError(f"{path} is {kind}: save what it gives to a file, and name that")
    return found.st_size


def exists(path: Path) -> bool:
    """Whether there is something at a path, links followed.

    Raises:
        UsageError: nobody can tell: the name is too long or none, links lead in a circle, or a folder on the way is closed to this user.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except ValueError:
        raise UsageError(f"{str(path)!r} is no file name: it holds a NUL character") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    return True


def read_whole(path: Path, what: str = "file", copies: int = 1) -> bytes:
    """The content of a regular file.

    Args:
        path: of the file.
        what: how the remedy calls it.
        copies: how often its content will be in memory at once.

    Raises:
        UsageError: see `check_file`; or it cannot be read, or does not fit into memory.
    """
    size = check_file(path, what)
    check_memory(copies * size, f"reading {path}", "use a machine with more memory")
    try:
        with path.open("rb") as file:
            # A file in /proc says 0 and goes on; one that grows is read as far as it was.
            return file.read(size)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
