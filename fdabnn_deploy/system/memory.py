"""The available memory, limits of control groups included, and the refusal of work that needs more.

A container sees the machine's memory in /proc/meminfo, and is killed at the limit of its own control group. So the smallest of
these counts: `MemAvailable` of the kernel, and for each control group of the process its limit minus its memory in use, without the file
cache that the kernel can drop.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from pathlib import Path

from fdabnn_deploy.errors import FdabnnError, UsageError

SHARE = 0.8
"""The share of the available memory that one piece of work may take."""

EXPANDED = 4 << 30
"""Bytes that a compressed file (npz, zip, images) may expand to, unless the user allows more: 4 GiB."""

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def available_bytes(root: Path = Path("/")) -> int | None:
    """Available bytes; None where the system does not say.

    Args:
        root: of the file system; tests give another one.
    """
    found = [value for value in (_meminfo(root), *_cgroups(root)) if value is not None]
    if found:
        return max(0, min(found))
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def check_memory(
    needed: int, what: str, remedy: str, blame: type[FdabnnError] = UsageError, *, root: Path = Path("/")
) -> None:
    """Does nothing where the work fits into `SHARE` of the available memory.

    Raises:
        FdabnnError: it does not fit; the class is `blame`, the message has both numbers.
    """
    available = available_bytes(root)
    if available is not None and needed > SHARE * available:
        raise blame(
            f"{what} needs {format_memory(needed)} of memory, and {format_memory(available)} are available, of which at most "
            f"{SHARE:.0%} are taken: {remedy}"
        )


def check_expanded(size: int, limit: int | None, what: str) -> None:
    """Does nothing where a file expands to no more than the limit, by default `EXPANDED`.

    Raises:
        UsageError: it expands to more, or does not fit into memory.
    """
    allowed = EXPANDED if limit is None else limit
    if size > allowed:
        raise UsageError(
            f"{what} expands to {format_memory(size)}, more than the {format_memory(allowed)} that are allowed: take fewer or smaller "
            f"inputs, or allow it with --memory-limit {-(-size // (1 << 30))}G"
        )
    check_memory(size, what, "take fewer or smaller inputs")


def parse_memory(text: str) -> int:
    """The number of bytes in a text such as `6G` or `500M`, or a plain number; units are powers of 1024.

    Raises:
        UsageError: it has another form.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", text.strip().lower())
    if found is None or float(found[1]) <= 0:
        raise UsageError(f"'{text}' is not a size of memory such as 6G or 500M")
    return int(float(found[1]) * _UNITS[found[2]])


def format_memory(size: int) -> str:
    """Bytes in binary units: `812 B`, `72.3 MiB`, `1.1 GiB`, `3.6e+03 TiB`."""
    for unit, factor in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= factor:
            return f"{size / factor:.4g} {unit}"
    return f"{size} B"


def _meminfo(root: Path) -> int | None:
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _read(root / "proc/meminfo"), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _cgroups(root: Path) -> Iterator[int | None]:
    """Bytes left below the limit of every control group that the process is in, versions 1 and 2."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            mount, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            mount = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        # In a container the path is often that of the host, and the container's own group is mounted at the top.
        folder = mount / path.strip("/")
        for group in (folder, *folder.parents):
            yield _left(group, *names)
            if group == mount:
                break


def _left(group: Path, limit: str, usage: str, droppable: str) -> int | None:
    most, used = _read(group / limit).strip(), _read(group / usage).strip()
    if not most.isdecimal() or not used.isdecimal():
        return None
    stat = re.search(rf"^{droppable} (\d+)$", _read(group / "memory.stat"), re.MULTILINE)
    return int(most) - int(used) + (int(stat[1]) if stat else 0)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def give_back() -> None:
    """Gives memory that was freed back to the system, which glibc does by itself only at the end of its heaps."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
