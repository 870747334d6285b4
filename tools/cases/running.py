"""Runs a case and compares what comes of it with what is expected."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cases.expected import Expected
from fdabnn_deploy.system.programs import said_by

SECONDS = 600.0
_ONE = Path(__file__).with_name("one.py")


@dataclass(frozen=True)
class Result:
    """The result of a case.

    Attributes:
        name: of it.
        expected: in words.
        found: in words.
        wrong: what does not match; empty if all does.
        left_out: whether it could not be run here.
    """

    name: str
    expected: str
    found: str
    wrong: str = ""
    left_out: bool = False


def run(name: str, path: Path, expected: Expected) -> Result:
    """Runs a case in an empty folder."""
    if expected.left_out:
        return Result(name, str(expected), f"left out: no module {expected.needs}", left_out=True)
    with tempfile.TemporaryDirectory(prefix="fdabnn-case-") as folder:
        try:
            if expected.commands or expected.outcome == "passes":
                return _by_commands(name, path, expected, Path(folder))
            return _by_run(name, path, expected, Path(folder))
        except subprocess.TimeoutExpired:
            return Result(name, str(expected), f"no end within {SECONDS:.0f} s", "it does not end")


def _by_run(name: str, path: Path, expected: Expected, folder: Path) -> Result:
    done = _call([sys.executable, str(_ONE), str(path)], path, folder)
    lines = done.stdout.strip().splitlines()
    try:
        found: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    except ValueError:
        found = {}
    if "exit" not in found:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        return Result(name, str(expected), f"status {done.returncode}: {said}", "it died")
    if "error" in found:
        text = " ".join(found["error"].split())
        wrong = "" if expected.outcome == "refused" else "it was not exported"
        wrong = wrong or _wrong(expected, found["exit"], found["error"])
        return Result(name, str(expected), f"exit {found['exit']}: {text}", wrong)
    words = f"exported, {found['one_bit']} 1-bit, {found['kept']:.0%} of the decisions"
    wrong = "" if expected.outcome == "exported" else "it was exported"
    if not wrong and expected.one_bit and found["one_bit"] != expected.one_bit:
        wrong = f"{found['one_bit']} layers are 1-bit"
    if not wrong and found["kept"] < expected.kept:
        wrong = f"{found['kept']:.1%} of the decisions are kept"
    return Result(name, str(expected), words, wrong or _wrong(expected, 0, "\n".join(found["notes"])))


def _by_commands(name: str, path: Path, expected: Expected, folder: Path) -> Result:
    commands = expected.commands or ("python {case}",)
    said, status = "", 0
    for number, command in enumerate(commands):
        words = [
            word.replace("{case}", str(path)).replace("{folder}", str(path.parent))
            for word in shlex.split(command)
        ]
        if words[0] == "python":
            words[0] = sys.executable
        elif words[0].startswith("fdabnn-"):
            module = f"fdabnn_deploy.cli.{words[0].removeprefix('fdabnn-')}"
            words[:1] = [sys.executable, "-c", f"import sys\nfrom {module} import main\nsys.exit(main())"]
        done = _call(words, path, folder)
        said, status = f"{done.stdout}\n{done.stderr}", done.returncode
        if status != 0 and number + 1 < len(commands):
            break
    last = (said.strip().splitlines() or [""])[-1]
    return Result(name, str(expected), f"exit {status}: {last}", _wrong(expected, status, said))


def _wrong(expected: Expected, status: int, said: str) -> str:
    if status != expected.exit:
        return f"exit {status} and not {expected.exit}"
    missing = [pattern for pattern in expected.says if not re.search(pattern, said)]
    if missing:
        return f"it does not say {missing[0]!r}"
    wrong = [pattern for pattern in expected.says_not if re.search(pattern, said)]
    return f"it says {wrong[0]!r}" if wrong else ""


def _call(command: list[str], path: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    search = os.pathsep.join(filter(None, (str(path.parent), os.environ.get("PYTHONPATH", ""))))
    return said_by(command, SECONDS, cwd=folder, env={**os.environ, "PYTHONPATH": search})
