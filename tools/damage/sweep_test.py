"""The sweep over all doors, and what it makes of doors that fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from damage import sweep as sweeping
from damage.doors import DOORS, Door
from damage.kinds import KINDS
from damage.sweep import sweep
from fdabnn_deploy.errors import UsageError

TOOL = Path(__file__).parent


def door(enter: Callable[[Path], str]) -> Door:
    def make(a: Path, b: Path) -> None:
        a.write_bytes(bytes(range(256)))
        b.write_bytes(bytes(256))

    return Door(
        "test", ".bin", make, lambda path: "sound" if path.stem in {"a", "b"} else enter(path), (), KINDS
    )


def refuse(path: Path) -> str:
    raise UsageError(f"{path} is damaged: write it again")


def test_a_door_that_refuses(tmp_path: Path) -> None:
    found = sweep(door(refuse), 2 * len(KINDS), 0, tmp_path)
    assert found.outcomes == {"refused": 2 * len(KINDS)}
    assert found.failures == []
    assert set(found.kinds.values()) == {2}
    assert 0 < found.seconds < sweeping.SECONDS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bin", "b.bin"]


@pytest.mark.parametrize(
    ("enter", "outcome", "said"),
    [
        (lambda _: "other", "wrong success", "other"),
        (lambda _: dict[str, str]()["x"], "traceback", "KeyError: 'x'"),
        (lambda _: os.kill(os.getpid(), signal.SIGSEGV), "crash", "signal 11"),
        (lambda _: os._exit(3), "crash", "status 3"),
        (lambda _: signal.pause(), "no end", "not within 1 s"),
        (lambda _: str(len(bytearray(b"x" * (1 << 26)))), "too much memory", "bytes"),
    ],
)
def test_a_door_that_fails(
    enter: Callable[[Path], str], outcome: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "SECONDS", 1.0)
    monkeypatch.setattr(sweeping, "MEMORY", 1 << 24)
    found = sweep(door(enter), 1, 0, tmp_path)
    ((kind, number, seen, text),) = found.failures
    assert (kind, number, seen) == ("cut", 0, outcome)
    assert said in text
    assert (tmp_path / "damaged-0.bin").exists()


def test_damage_depends_on_what_is_drawn_alone() -> None:
    content, other = bytes(range(256)) * 8, bytes(2048)
    for name, damage in KINDS.items():
        made = [damage(content, other, Random(seed)) for seed in (1, 1, 2)]
        assert made[0] == made[1], name
        assert any(damage(content, other, Random(seed)) != content for seed in range(5)), name
    assert len(KINDS) >= 10


def test_content_that_no_sum_protects_may_be_other_content(tmp_path: Path) -> None:
    found = sweep(replace(door(lambda _: "other"), unseen=frozenset(KINDS)), 14, 0, tmp_path)
    assert found.outcomes == {"unseen": 14}


@pytest.mark.long
@pytest.mark.parametrize("name", [each.name for each in DOORS])
def test_500_damaged_files(name: str, tmp_path: Path) -> None:
    """In a process of its own, which forks: this one has threads. The figures stay in build/damage/."""
    out = TOOL.parents[1] / "build" / "damage" / f"{name}.json"
    command = [sys.executable, str(TOOL), name, "--files", "510", "--seed", "14", "--json", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=3000, cwd=tmp_path)
    print(done.stdout)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    (found,) = json.loads(out.read_text())
    assert sum(found["kinds"].values()) >= 500
    assert len(found["kinds"]) >= 10
    assert found["failures"] == []
    assert found["memory"] < sweeping.MEMORY
