"""Threads of the kernels: counts, and results that do not depend on them."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from fdabnn_deploy.native import library


def threads_of_process() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def comes_to(count: int) -> bool:
    """Whether the process has that many threads soon: the system shows an ended one for a moment longer."""
    for _ in range(500):
        if threads_of_process() == count:
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize(("asked", "given"), [(-(2**31), 1), (-1, 1), (0, 1), (1, 1), (2, 2), (9, 9)])
def test_a_pool_has_the_threads_asked_for_and_the_caller_is_one(asked: int, given: int) -> None:
    before = threads_of_process()
    pool = library.Pool(asked)
    assert pool.threads == given
    assert comes_to(before + given - 1)
    del pool
    assert comes_to(before)


def test_many_pools_come_and_go() -> None:
    values = np.random.default_rng(0).normal(size=(300, 64)).astype(np.float32)
    expected = library.quantize(values)
    before = threads_of_process()
    for i in range(300):
        np.testing.assert_array_equal(library.quantize(values, pool=library.Pool(1 + i % 9)), expected)
    assert comes_to(before)


def test_pools_of_several_callers_do_not_meet() -> None:
    values = np.random.default_rng(1).normal(size=(2000, 64)).astype(np.float32)
    expected = library.quantize(values)
    wrong: list[int] = []

    def work() -> None:
        pool = library.Pool(2)
        wrong.extend(
            i for i in range(300) if not np.array_equal(library.quantize(values, pool=pool), expected)
        )

    callers = [threading.Thread(target=work) for _ in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []
