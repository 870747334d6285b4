"""Results of an emulated device in place of times: executed instructions, and the inner loops in a static model."""

from __future__ import annotations

import os
from pathlib import Path

from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.measure.devices.local import QemuDevice
from fdabnn_deploy.measure.profiles import instruction_count, static_model
from fdabnn_deploy.measure.profiles.result import Counting, StaticRow
from fdabnn_deploy.measure.profiles.runner import Placed
from fdabnn_deploy.measure.statistics import low_median
from fdabnn_deploy.runtimes.emulator import arm_root

RUNS = 5
_SECONDS = 600.0


def count(device: QemuDevice, placed: Placed, capsule: str, threads: int) -> Counting:
    """Counts what runs of the model execute, after one run to warm up.

    Raises:
        RuntimeMissingError: the emulator loads no plugins, there is none, or the runner failed in it.
    """
    options = [
        "--markers",
        "--warmup",
        "1",
        "--runs",
        str(RUNS),
        "--threads",
        str(threads),
        "--inputs",
        capsule,
    ]
    guest = device.guest
    command = [guest.qemu, "-L", str(guest.root), *placed.command(*options)]
    done = instruction_count.count(command, environment=guest.environment(), timeout=_SECONDS)
    if done.status != 0 or not done.sections:
        said = done.stderr.strip().splitlines()[-1:] or [f"status {done.status}"]
        raise RuntimeMissingError(f"{device.address.text}: the runner did not count: {said[0]}")
    counts = [section.counts for section in done.sections]

    def median(name: str) -> int:
        return low_median(getattr(each, name) for each in counts)

    totals = [each.instructions for each in counts]
    return Counting(
        instructions=median("instructions"),
        vector=median("vector"),
        loads=median("loads"),
        stores=median("stores"),
        branches=median("branches"),
        runs=len(totals),
        smallest=min(totals),
        largest=max(totals),
        emulator=f"qemu-aarch64 {guest.qemu_version}",
        cpu=os.environ.get("QEMU_CPU", arm_root.CPU),
    )


def static_rows(library: Path) -> tuple[StaticRow, ...]:
    """The inner loops of the native library as LLVM's models of ARM cores see them.

    Raises:
        RuntimeMissingError: LLVM's programs are not installed.
    """
    llvm = static_model.llvm_version()
    rows = []
    for core, whose in static_model.CORES.items():
        for loop in static_model.INNER_LOOPS:
            model = static_model.model_loop(library, loop, core)
            note = f"LLVM {llvm}, {whose}"
            rows.append(StaticRow(loop.level, core, float(model.macs_per_cycle), note))
    return tuple(rows)
