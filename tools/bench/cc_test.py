from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from bench import cc

pytestmark = pytest.mark.slow


def supports(flag: str) -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.is_file() and flag in cpuinfo.read_text(encoding="utf-8", errors="replace").split()


@pytest.mark.parametrize(
    ("level", "flag", "vector", "pairs"),
    [("avx512", "avx512_vpopcntdq", 64, (4, 3)), ("avx2", "avx2", 32, (4, 1))],
)
@pytest.mark.parametrize("rounds", [1, 31, 32, 1000])
def test_a_peak_counts_every_bit(
    level: str, flag: str, vector: int, pairs: tuple[int, int], rounds: int
) -> None:
    if not supports(flag):
        pytest.skip(f"this processor has no {flag}")
    generator = np.random.default_rng(rounds)
    data = generator.integers(0, 256, (pairs[0], vector), np.uint8)
    weights = generator.integers(0, 256, (pairs[1], vector), np.uint8)
    seconds, counted = cc.count_bits(level, rounds, data, weights)
    expected = int(np.unpackbits(data[:, None] ^ weights[None]).sum())
    assert counted == rounds * expected
    assert seconds > 0
    assert np.unpackbits(data).size * pairs[1] == {"avx512": cc.AVX512_MAC, "avx2": cc.AVX2_MAC}[level]


def test_the_clock_runs() -> None:
    assert cc.cycles_per_second(1) > 0


def test_copies_are_copies() -> None:
    source = np.arange(1000, dtype=np.float32)
    target = np.zeros_like(source)
    assert cc.library().repeat_copy(target.ctypes.data, source.ctypes.data, source.nbytes, 2) > 0
    assert target.tobytes() == source.tobytes()


def test_a_refused_call_is_said() -> None:
    refuse = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 7)(lambda *_: -1)
    address = ctypes.cast(refuse, ctypes.c_void_p)
    assert cc.library().repeat_bconv(address, None, None, None, None, None, 3) == -1
