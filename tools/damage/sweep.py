"""Damaged files through a door, each in a process of its own: what came of it, how long it took, how much memory.

A file may be refused with a message of this package, or let in where what comes of it is what comes of the sound file. All else is a
failure: a traceback, a crash, no end, more memory than there may be, or a success with other results.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import re
import select
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

from damage.doors import Door
from fdabnn_deploy.errors import FdabnnError

MAKING_SECONDS = 600.0
SECONDS = 60.0
"""That a file may take."""
MEMORY = 1 << 30
"""Bytes that it may take beside what a process has before it."""
_FORBIDDEN = ("Traceback", "this is a bug")


@dataclass
class Found:
    """The results for the files of one entry.

    Attributes:
        door: its name.
        kinds: how many files of each kind of damage.
        outcomes: how many were `refused`, `same` as the sound file, or one of the failures.
        failures: the kind of damage, the number of the file, the outcome and what was said.
        seconds: that the slowest file took.
        memory: bytes that the largest took beside what the process had before it.
    """

    door: str
    kinds: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, int, str, str]] = field(default_factory=list)
    seconds: float = 0.0
    memory: int = 0

    def to_json(self) -> dict[str, object]:
        """As it is written."""
        return {**vars(self), "kinds": dict(self.kinds), "outcomes": dict(self.outcomes)}


def sweep(door: Door, count: int, seed: int, folder: Path) -> Found:
    """Damages files of a door.

    Args:
        door: which.
        count: of damaged files, shared evenly by the kinds of damage.
        seed: what is drawn depends on it, the door and the number of the file alone.
        folder: for the files; the last failing ones stay there.
    """
    sound = [folder / f"{name}{door.suffix}" for name in ("a", "b")]
    # This process starts no threads, which those that part from it would lack; so it uses nothing itself.
    for module in door.modules:
        importlib.import_module(module)
    found = Found(door.name)
    made, said = _apart(lambda: door.make(*sound), found, MAKING_SECONDS)
    entered = [_apart(partial(door.enter, path), found, MAKING_SECONDS) for path in sound]
    if {made, *(outcome for outcome, _ in entered)} != {"opened"}:
        raise ValueError(f"door {door.name} does not take its sound files: {said} {entered}")
    # A mixture may hold all of the other file that is read.
    whole = {text for _, text in entered}
    contents = [path.read_bytes() for path in sound]
    found.seconds, found.memory = 0.0, 0
    for number in range(count):
        kind = list(door.kinds)[number % len(door.kinds)]
        draw = Random(f"{seed} {door.name} {number}")
        path = folder / f"damaged-{number}{door.suffix}"
        path.write_bytes(door.kinds[kind](contents[0], contents[1], draw))
        outcome, said = _apart(partial(door.enter, path), found, SECONDS)
        if outcome == "opened":
            outcome = "same" if said in whole else "unseen" if kind in door.unseen else "wrong success"
        found.kinds[kind] += 1
        found.outcomes[outcome] += 1
        if outcome in {"refused", "same", "unseen"}:
            path.unlink()
        else:
            found.failures.append((kind, number, outcome, said))
    return found


def _apart(work: Callable[[], str | None], found: Found, seconds: float) -> tuple[str, str]:
    """The outcome and what was said, by a forked child."""
    reading, writing = os.pipe()
    begin = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _child(work, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        ready, _, _ = select.select([pipe], [], [], seconds)
        answer = pipe.read() if ready else b""
    if not ready:
        os.kill(child, signal.SIGKILL)
    _, status, _ = os.wait4(child, 0)
    found.seconds = max(found.seconds, time.monotonic() - begin)
    if not ready:
        return "no end", f"not within {seconds:.0f} s"
    if not answer:
        ended = os.waitstatus_to_exitcode(status)
        return "crash", f"signal {-ended}" if ended < 0 else f"status {ended}"
    told = json.loads(answer)
    found.memory = max(found.memory, told["memory"])
    return (
        ("too much memory", f"{told['memory']} bytes")
        if told["memory"] > MEMORY
        else (told["outcome"], told["said"])
    )


def _child(work: Callable[[], str | None], writing: int) -> None:
    faulthandler.disable()
    # The peak of memory is this child's own (proc(5): 5 resets it).
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak()
    quiet = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(quiet, descriptor)
    try:
        outcome, said = "opened", work() or ""
    except FdabnnError as error:
        outcome, said = "refused", str(error)
        if not said or any(word in said for word in _FORBIDDEN):
            outcome = "traceback"
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the finding
        outcome, said = "traceback", f"{type(error).__name__}: {str(error)[:300]}"
    answer = {"outcome": outcome, "said": said, "memory": max(0, _peak() - before)}
    os.write(writing, json.dumps(answer).encode()[:60000])
    sys.stdout.flush()
    os._exit(0)


def _peak() -> int:
    """Bytes of memory that this process has held at most, since it was reset."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return 0 if found is None else 1024 * int(found[1])
