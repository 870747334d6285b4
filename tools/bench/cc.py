"""The benchmark's own C++: peaks and loops around the kernels, compiled at first use by the compiler that builds the library."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FLAGS = ("-std=c++17", "-O3", "-g0", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra")
_FOLDER = Path(__file__).parent
_NATIVE = _FOLDER.parents[1] / "fdabnn_deploy" / "native"
_SOURCES = ("peak.cc", "repeat.cc")
_HEADERS = (
    _FOLDER / "timing.h",
    *(_NATIVE / "kernels" / name for name in ("clock.h", "peak_loop.h", "peak_avx2.cc")),
    _NATIVE / "c_api" / "fdabnn.h",
)

AVX512_MAC, AVX2_MAC = 6144, 1024
"""Binary multiply-accumulates of a round of each peak."""


class CompileError(Exception):
    """The compiler is missing, or does not take the sources."""


def cache_folder() -> Path:
    """Where the benchmark keeps what it can make again: `$XDG_CACHE_HOME/fdabnn-bench`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fdabnn-bench"


@cache
def library() -> ctypes.CDLL:
    """The compiled functions with their argument types set.

    Raises:
        CompileError: they cannot be compiled.
    """
    loaded = ctypes.CDLL(str(_compiled()))
    size, pointer, real = ctypes.c_int64, ctypes.c_void_p, ctypes.c_double
    signatures = {
        "peak_cycles_per_second": [size],
        "repeat_bconv": [pointer] * 6 + [size],
        "repeat_quantize": [
            *(pointer, pointer, ctypes.c_size_t, ctypes.c_int),
            *(pointer, ctypes.c_int, pointer, size),
        ],
        "repeat_copy": [pointer, pointer, ctypes.c_size_t, size],
    }
    if platform.machine() == "x86_64":
        signatures["peak_avx512"] = signatures["peak_avx2"] = [pointer, pointer, size, pointer]
    for name, arguments in signatures.items():
        function = getattr(loaded, name)
        function.argtypes, function.restype = arguments, real
    return loaded


def _compiled() -> Path:
    sources = [_FOLDER / name for name in _SOURCES]
    command = [sys.executable, "-m", "ziglang", "c++", *FLAGS, f"-I{_FOLDER}", f"-I{_NATIVE}"]
    digest = hashlib.sha256("\0".join(command).encode())
    for path in (*sources, *_HEADERS):
        digest.update(path.read_bytes())
    target = cache_folder() / f"bench-{digest.hexdigest()[:16]}.so"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        done = subprocess.run(
            [*command, *map(str, sources), "-o", str(aside)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise CompileError(f"cannot compile the benchmark's C++: {done.stderr.strip()}")
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
    return target


def count_bits(
    level: str, rounds: int, data: NDArray[np.uint8], weights: NDArray[np.uint8]
) -> tuple[float, int]:
    """Runs a peak.

    Args:
        level: avx512 or avx2.
        rounds: how often.
        data: 256 bytes for avx512, 128 for avx2.
        weights: 192 bytes for avx512, 32 for avx2.

    Returns:
        Seconds, and how many bits of the XORs were counted.
    """
    counted = ctypes.c_uint64()
    function = getattr(library(), f"peak_{level}")
    seconds = function(data.ctypes.data, weights.ctypes.data, rounds, ctypes.byref(counted))
    return float(seconds), counted.value


def cycles_per_second(thousands: int = 300) -> float:
    """The processor's clock now, from additions that wait for one another."""
    return float(library().peak_cycles_per_second(thousands))
