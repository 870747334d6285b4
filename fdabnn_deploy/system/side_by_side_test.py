from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from fdabnn_deploy.system.progress import Stage, Stages
from fdabnn_deploy.system.side_by_side import side_by_side


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)


def test_tasks_run_at_the_same_time_and_keep_their_order() -> None:
    barrier = threading.Barrier(2, timeout=60)

    def task(name: str) -> Callable[[Stages], str]:
        def work(stages: Stages) -> str:
            for step in "ab":
                with stages.run(name + step):
                    barrier.wait()
            return name

        return work

    stages = Stages(None)
    with stages.run("before"):
        pass
    assert side_by_side([task("x"), task("y")], stages) == ["x", "y"]
    assert [stage.name for stage in stages.finished] == ["before", "xa", "xb", "ya", "yb"]


def test_the_others_stop_where_one_fails() -> None:
    failed = threading.Event()

    def fails(stages: Stages) -> None:
        failed.set()
        raise ValueError("no")

    def goes_on(stages: Stages) -> None:
        failed.wait(60)
        while True:
            with stages.run("on"):
                pass

    stages = Stages(None)
    with pytest.raises(ValueError, match="no"):
        side_by_side([goes_on, fails], stages)
    assert stages.finished == []


def test_the_first_error_in_order_is_told() -> None:
    second = threading.Event()

    def first(stages: Stages) -> None:
        second.wait(60)
        raise ValueError("first")

    def other(stages: Stages) -> None:
        second.set()
        raise ValueError("second")

    with pytest.raises(ValueError, match="first"):
        side_by_side([first, other], Stages(None))


def test_an_interruption_ends_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fdabnn_deploy.system.side_by_side.wait", interrupted)

    def goes_on(stages: Stages) -> None:
        while True:
            with stages.run("on"):
                pass

    with pytest.raises(KeyboardInterrupt):
        side_by_side([goes_on, goes_on], Stages(None))


def test_progress_is_called_from_one_thread_at_a_time() -> None:
    class Log:
        inside = 0
        most = 0

        def start(self, name: str, detail: str) -> None:
            self.enter()

        def done(self, stage: Stage) -> None:
            self.enter()

        def enter(self) -> None:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.inside -= 1

    log = Log()

    def task(stages: Stages) -> None:
        for _ in range(500):
            with stages.run("step"):
                pass

    side_by_side([task, task], Stages(log))
    assert log.most == 1


def test_one_processor_works_through_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0}, raising=False)
    threads = side_by_side([lambda _: threading.get_ident()] * 2, Stages(None))
    assert threads == [threading.get_ident()] * 2
