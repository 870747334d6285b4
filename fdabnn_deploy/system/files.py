"""Writing files so that a reader sees the whole file or none, and nothing but a file is ever replaced.

| what a path names                          | what happens                                                        |
|--------------------------------------------|---------------------------------------------------------------------|
| nothing, or a file                         | written aside in the same folder, then renamed                      |
| a link to one of these                     | likewise, where the link leads; the link stays                      |
| a character device, a FIFO                 | written into                                                        |
| an open descriptor, such as `/dev/stdout`  | written into, behind what was printed, whatever it is open on       |
| a folder, a socket, a block device (disk)  | refused                                                             |
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from fdabnn_deploy.errors import NotWrittenError, UsageError
from fdabnn_deploy.system.scratch import ScratchFolder

Content = bytes | Callable[[IO[bytes]], object]
"""The content of a file: its bytes, or a function that writes them into an open file."""

READER_SECONDS = 10.0
"""How long to wait for a reader of a FIFO."""

_REFUSED = {
    stat.S_ISDIR: "it is a folder: name a file",
    stat.S_ISSOCK: "it is a socket: name a file, a pipe or /dev/stdout",
    stat.S_ISBLK: "it is a disk: name a file on it",
}
_DESCRIPTOR = re.compile(r"/(?:proc/(?:self|thread-self|\d+)|dev)/fd/(\d+)")
_MOST_LINKS = 40


def write_whole(path: Path, content: Content) -> None:
    """Writes a file, or into the device or pipe that the path names; see the module. Makes missing folders.

    A new file gets the usual permissions, one that is replaced keeps its own.

    Args:
        path: of the file.
        content: its bytes, or what writes them into an open file.

    Raises:
        NotWrittenError: it cannot be written.
    """
    try:
        descriptor = _descriptor(path)
        if descriptor is not None:
            sys.stdout.flush()
            sys.stderr.flush()
            with os.fdopen(os.dup(descriptor), "wb") as file:
                _write(file, content)
        elif _is_stream(path):
            with os.fdopen(_open_stream(path), "wb") as file:
                _write(file, content)
        else:
            _replace(_target(path), content)
    except OSError as error:
        raise NotWrittenError(f"cannot write {path}: {error.strerror or error}") from None


def move_whole(source: Path, path: Path) -> None:
    """Moves a finished file to its place, or copies its content into the device or pipe that the path names, as `write_whole` does.

    Raises:
        NotWrittenError: it cannot be written; the source stays.
    """
    if _descriptor(path) is None and not _is_stream(path):
        try:
            target = _target(path)
            source.replace(target)
        except OSError as error:
            # A link led to another file system.
            if error.errno != errno.EXDEV:
                raise NotWrittenError(f"cannot write {path}: {error.strerror or error}") from None
        else:
            return
    write_whole(path, source.read_bytes())
    source.unlink()


def check_writable(path: Path) -> None:
    """Checks, before the work, that its result can be written to a path. Nothing is made or changed.

    Raises:
        UsageError: it cannot.
    """
    if "\0" in str(path):
        raise UsageError(f"{str(path)!r} is no file name: it holds a NUL character")
    try:
        descriptor = _descriptor(path)
        if descriptor is not None:
            if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
                raise OSError(errno.EBADF, "it is open for reading only")
            return
        if _is_stream(path):
            _check_access(path)
            return
        target = _target(path)
        if target.exists():
            _check_access(target)
        with tempfile.TemporaryFile(dir=_existing_folder(target)):
            pass
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from None


def check_outputs(outputs: Mapping[str, Path | None], inputs: Mapping[str, Path | None]) -> None:
    """Checks, before the work, that all outputs can be written and that none replaces an input or another output.

    Args:
        outputs: by the name under which the user gave them, such as `--json`; None where none was given.
        inputs: likewise.

    Raises:
        UsageError: one cannot, or does.
    """
    given = {name: path for name, path in outputs.items() if path is not None}
    known = {name: path for name, path in inputs.items() if path is not None}
    for name, path in given.items():
        check_writable(path)
        if _descriptor(path) is None and not _is_stream(path):
            for other, taken in known.items():
                if _same(path, taken):
                    raise UsageError(f"{name} {path} would replace {other}: name another file")
        known[name] = path


def is_standard_output(path: Path) -> bool:
    """Whether a path names the file or terminal that this process prints to, such as `/dev/stdout`."""
    return _descriptor(path) == 1


def _same(a: Path, b: Path) -> bool:
    try:
        return a.resolve() == b.resolve() or a.samefile(b)
    except (OSError, RuntimeError):  # The second for links in a circle.
        return False


def _descriptor(path: Path) -> int | None:
    """The open descriptor of this process that a path such as `/dev/stdout` leads to; None for other paths."""
    place = Path(os.path.normpath(path.absolute()))
    for _ in range(_MOST_LINKS):
        found = _DESCRIPTOR.fullmatch(str(place))
        if found is not None:
            owner = place.parts[2]
            return int(found[1]) if owner in {"self", "thread-self", "fd", str(os.getpid())} else None
        try:
            place = Path(os.path.normpath(place.parent / place.readlink()))
        except OSError:
            # No link, or nothing that can be looked at: its name is too long, or its folder is closed.
            return None
    return None


def _is_stream(path: Path) -> bool:
    """Whether a path names a character device or FIFO, maybe through links."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)


def _target(path: Path) -> Path:
    """The file that is written, behind all links.

    Raises:
        OSError: what is there must not be replaced, or links lead nowhere.
    """
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if target.exists():
        mode = target.stat().st_mode
        for is_kind, reason in _REFUSED.items():
            if is_kind(mode):
                raise OSError(errno.EINVAL, reason)
    _existing_folder(target)
    return target


def _existing_folder(target: Path) -> Path:
    """The deepest folder of a new file's path that exists already."""
    folder = next(folder for folder in target.parents if folder.is_symlink() or folder.exists())
    if folder.is_symlink():
        # All other links have been followed: this one leads in a circle.
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    return folder


def _check_access(path: Path) -> None:
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _open_stream(path: Path) -> int:
    """Opens a device or FIFO. A FIFO that nobody reads is waited for, though not for ever."""
    end = time.monotonic() + READER_SECONDS
    while True:
        try:
            file = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ENXIO or not path.is_fifo():
                raise
            if time.monotonic() > end:
                raise OSError(errno.ENXIO, f"nobody reads this pipe, for {READER_SECONDS:.0f} s") from None
            time.sleep(0.05)
        else:
            os.set_blocking(file, True)
            return file


def _replace(target: Path, content: Content) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Not the whole name in front: it may be as long as names may be.
    with ScratchFolder(f".{target.name[:40]}.", target.parent) as folder:
        aside = folder.path / "file"
        with aside.open("wb") as file:
            _write(file, content)
            # On the disk before the name is: after a power cut there is the old file or the new one.
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, aside)
        aside.replace(target)


def _write(file: IO[bytes], content: Content) -> None:
    if callable(content):
        content(file)
    else:
        file.write(content)
