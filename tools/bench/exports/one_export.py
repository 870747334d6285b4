"""One export as a user runs it: a process of its own, its time, its stages, and its peak of memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fdabnn_deploy.measure.statistics import median

_KIB = 1024


@dataclass(frozen=True)
class Contender:
    """An installation to measure: `name` as tables call it, and the folder of its programs."""

    name: str
    programs: Path


@dataclass(frozen=True)
class Export:
    """The costs of an export.

    Attributes:
        seconds: of the whole process, by the clock.
        peak_bytes: the most memory that it, or one process that it started, held resident.
        stages: seconds of the stages of its report by their names; those of two targets may run side by side.
        bytes: of the files by their endings.
    """

    seconds: float
    peak_bytes: int
    stages: dict[str, float]
    bytes: dict[str, int]


class ExportFailedError(Exception):
    """An export that is to be measured did not end well."""


def run(contender: Contender, checkpoint: Path, samples: str) -> Export:
    """Exports a checkpoint to both targets once, into a folder that is thrown away.

    Args:
        contender: whose program is run.
        checkpoint: to export.
        samples: as `--samples` takes them.

    Raises:
        ExportFailedError: it ended with another exit code than 0.
    """
    with tempfile.TemporaryDirectory(prefix="fdabnn-bench-") as work:
        report = Path(work, "report.json")
        command = [
            *(
                str(contender.programs / "fdabnn-export"),
                str(checkpoint),
                "--target",
                "all",
                "--samples",
                samples,
            ),
            *("--out", work, "--json", str(report)),
        ]
        code, seconds, peak, output = _waited(command, Path(work))
        if code:
            raise ExportFailedError(f"{contender.name} ended with exit code {code}: {output.strip()[-300:]}")
        stages = stage_seconds(json.loads(report.read_text(encoding="utf-8"))["stages"])
        sizes = {
            path.suffix: path.stat().st_size
            for path in Path(work).iterdir()
            if path.suffix in {".onnx", ".tflite"}
        }
    return Export(seconds, peak, stages, sizes)


# A process starts with its parent's peak on its account, so a small one stands between the benchmark and what it measures.
_BETWEEN = """
import json, resource, subprocess, sys, time
begin = time.perf_counter()
code = subprocess.call(sys.argv[2:], stdin=subprocess.DEVNULL)
seconds = time.perf_counter() - begin
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
open(sys.argv[1], "w").write(json.dumps([code, seconds, peak]))
"""


def _waited(command: Sequence[str], work: Path) -> tuple[int, float, int, str]:
    """Exit code, seconds, peak of resident memory in bytes, and output of a command."""
    found = work / "found.json"
    done = subprocess.run(
        [sys.executable, "-S", "-c", _BETWEEN, str(found), *command],
        cwd=work,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=True,
    )
    code, seconds, peak = json.loads(found.read_text(encoding="utf-8"))
    return code, seconds, peak * _KIB, done.stdout


def stage_seconds(stages: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Seconds of a report's stages by their names, in the order of first appearance."""
    found: dict[str, float] = {}
    for stage in stages:
        found[stage["name"]] = found.get(stage["name"], 0.0) + stage["seconds"]
    return found


def medians(exports: Sequence[Export]) -> Export:
    """The median of each figure over the rounds."""
    first = exports[0]
    return Export(
        median([export.seconds for export in exports]),
        int(median([export.peak_bytes for export in exports])),
        {name: median([export.stages[name] for export in exports]) for name in first.stages},
        first.bytes,
    )
