"""Counting: what runs in the arm64 root, and which section of it is what."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fdabnn_deploy.measure.profiles.instruction_count import CountedRun, Counts, count
from fdabnn_deploy.runtimes.emulator.arm_root import CPU, Guest
from fdabnn_deploy.runtimes.emulator.qemu_aarch64 import link_packages
from fdabnn_deploy.system.scratch import ScratchFolder
from instruction_counts.model_files import Files

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Entry:
    """A row of the table.

    Attributes:
        macs: multiply-accumulates that are computed, of models the binary ones; 0 where there are none.
        counts: executed instructions.
    """

    macs: int
    counts: Counts


Entries = Mapping[str, Entry]


def count_kernels(guest: Guest) -> dict[str, Entry]:
    """Every kernel at every level, by name."""
    run = _run(guest, "instruction_counts.kernels", [])
    found = {}
    for printed, counts in _sections(run):
        found[printed["name"]] = Entry(printed["macs"], counts)
    return found


def count_models(guest: Guest, networks: Mapping[str, Files], level: str | None = None) -> dict[str, Entry]:
    """An inference of each network as TFLite on LiteRT with the delegate, and as packed ONNX in ONNX Runtime.

    Of a file's runs the one of the fewest instructions counts: now and then a thread of the runtime's own, left from loading, is at work.

    Args:
        guest: the arm64 root.
        networks: their files by name.
        level: of the kernels; what the library chooses for the processor by default.
    """
    names = {
        str(path): (f"{name}, {runtime}", files.macs)
        for name, files in networks.items()
        for runtime, path in (("LiteRT + delegate", files.tflite), ("ONNX Runtime, packed", files.packed))
    }
    run = _run(guest, "instruction_counts.models", list(names), level)
    found: dict[str, Entry] = {}
    for printed, counts in _sections(run):
        name, macs = names[printed["file"]]
        if name not in found or counts.instructions < found[name].counts.instructions:
            found[name] = Entry(macs, counts)
    return found


def _run(guest: Guest, module: str, arguments: Sequence[str], level: str | None = None) -> CountedRun:
    with ScratchFolder("fdabnn-counts-") as folder:
        link_packages(folder.path)
        environment = guest.environment(
            *(folder.path, _ROOT / "tools"),
            # Where Python's sets and dicts put things decides how long it looks for them.
            PYTHONHASHSEED="0",
            QEMU_CPU=CPU,
            FDABNN_KERNELS=level or "",
        )
        run = count(guest.command("-P", "-m", module, *arguments), environment=environment, folder=_ROOT)
    if run.status != 0:
        raise RuntimeError(f"{module} failed in the arm64 root:\n{run.stderr[-3000:]}")
    return run


def _sections(run: CountedRun) -> Iterator[tuple[dict[str, Any], Counts]]:
    """Pairs of the line printed for each section and its counts."""
    # The runtimes greet, too.
    printed = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    return zip(printed, (section.counts for section in run.sections), strict=True)
