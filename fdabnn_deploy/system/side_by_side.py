"""Independent work at the same time, in threads: for work that is done by native code or by other programs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from fdabnn_deploy.system.progress import Stages, StoppedError

R = TypeVar("R")


def side_by_side(tasks: Sequence[Callable[[Stages], R]], stages: Stages) -> list[R]:
    """Runs tasks, as many at a time as there are processors, each with stages of its own.

    Their stages come to the end of `stages` in the order of the tasks. Where one fails, the others end before their next stage.

    Args:
        tasks: to run.
        stages: that theirs belong to.

    Returns:
        The results, in the order of the tasks.

    Raises:
        Exception: of the first task, in their order, that failed.
    """
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if len(tasks) < 2 or processors < 2:
        return [task(stages) for task in tasks]
    branches = [stages.branch() for _ in tasks]
    with ThreadPoolExecutor(processors) as pool:
        futures = [pool.submit(task, branch) for task, branch in zip(tasks, branches, strict=True)]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            if not all(future.done() and future.exception() is None for future in futures):
                stages.stop()
    _raise_first(futures)
    for branch in branches:
        stages.finished += branch.finished
    return [future.result() for future in futures]


def _raise_first(futures: Sequence[Future[R]]) -> None:
    errors = [error for future in futures if (error := future.exception()) is not None]
    # A task that was stopped says nothing of what went wrong.
    for error in sorted(errors, key=lambda error: isinstance(error, StoppedError)):
        raise error
