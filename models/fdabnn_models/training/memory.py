"""Telling the C library's allocator to keep the memory that a training step frees."""

from __future__ import annotations

import ctypes
import sys

# Parameters of mallopt(3) in glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LIMIT = 1 << 30


def keep_freed_memory() -> bool:
    """Keep freed memory in the process instead of returning it to the system; true where that took effect.

    Each training step allocates the same tensors of some MB again. By default glibc maps each of them anew,
    and the page faults cost up to a third of a step on a CPU. Other C libraries are left as they are.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LIMIT)) and bool(mallopt(_M_TRIM_THRESHOLD, _LIMIT))
