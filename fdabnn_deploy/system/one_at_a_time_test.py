from __future__ import annotations

import threading
import time

import pytest

from fdabnn_deploy.system.one_at_a_time import one_at_a_time


def test_threads_wait_for_each_other() -> None:
    inside: list[int] = []
    most = 0

    @one_at_a_time
    def work(number: int, *, again: bool = True) -> int:
        nonlocal most
        inside.append(number)
        most = max(most, len(inside))
        time.sleep(0.01)
        if again:
            work(number, again=False)
        inside.remove(number)
        return number

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 2  # itself, called by itself
    assert work.__name__ == "work"


def test_an_error_lets_the_next_one_in() -> None:
    @one_at_a_time
    def fail() -> None:
        raise KeyError

    for _ in range(2):
        with pytest.raises(KeyError):
            fail()
