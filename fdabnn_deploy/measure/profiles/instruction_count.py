"""Executed instructions of a program under the emulator qemu-aarch64, counted by our plugin between marks.

Times under an emulator say nothing about a device. The instructions that a program executes are those that a device executes, and the
same on every run; how many of them a device does at a time is another matter. See docs/instruction-counts.md.
"""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from fdabnn_deploy.errors import RuntimeMissingError, UsageError
from fdabnn_deploy.native import instruction_count_path
from fdabnn_deploy.system.scratch import ScratchFolder

_DYNAMIC = "use a dynamically linked qemu-aarch64: that of Debian 12's package qemu-user, or one compiled with --enable-plugins"
_NAME = "fdabnn instruction count: "
"""How the plugin's own messages begin."""


@dataclass(frozen=True)
class Counts:
    """Executed instructions.

    Attributes:
        instructions: all.
        vector: that compute with SIMD and floating-point registers.
        loads: that read memory, into whatever register; atomic and prefetching ones too.
        stores: that write memory only.
        branches: calls and returns too.
    """

    instructions: int
    vector: int
    loads: int
    stores: int
    branches: int


@dataclass(frozen=True)
class Section:
    """The instructions executed between a begin mark and the next end mark of the same thread, without the marks.

    Attributes:
        counts: of all threads of the program. Those of other threads are cut at the ends of translation blocks.
        own: all instructions of the marking thread alone, exact.
    """

    counts: Counts
    own: int


@dataclass(frozen=True)
class CountedRun:
    """A program that has run to its end.

    Attributes:
        sections: in the order in which they began.
        total: the whole program, from its first instruction.
        status: its exit status.
        stdout: what it printed.
        stderr: likewise.
    """

    sections: tuple[Section, ...]
    total: Counts
    status: int
    stdout: str = field(repr=False)
    stderr: str = field(repr=False)


def check_emulator(qemu: str) -> None:
    """Checks that an emulator can load a plugin.

    Args:
        qemu: its path or name.

    Raises:
        RuntimeMissingError: it is not there, or statically linked: then it loads none.
    """
    found = shutil.which(qemu)
    if found is None:
        raise RuntimeMissingError(f"{qemu} is missing: install it with  apt install qemu-user")
    if _is_static(Path(found)):
        raise RuntimeMissingError(f"{found} is statically linked and loads no plugins: {_DYNAMIC}")


def counting(command: Sequence[str], out: Path) -> list[str]:
    """A command that runs a program under qemu-aarch64, with the plugin.

    Args:
        command: the emulator, its options, the program and its arguments.
        out: the file that the plugin writes.

    Raises:
        RuntimeMissingError: this installation has no plugin.
    """
    # In an option of qemu a comma in a value is written twice.
    plugin, file = (str(path).replace(",", ",,") for path in (instruction_count_path(), out))
    return [command[0], "-plugin", f"{plugin},out={file}", *command[1:]]


def count(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout: float | None = None,
) -> CountedRun:
    """Runs a program under qemu-aarch64 and counts what it executes.

    Args:
        command: the emulator, its options, the program and its arguments, such as
            `fdabnn_deploy.runtimes.emulator.arm_root.Guest.command` gives.
        environment: of the program; this process's by default.
        folder: to run it in; this process's by default.
        timeout: seconds after which it is ended.

    Returns:
        The counts. A program that ends with a status of failure is for the caller to judge.

    Raises:
        RuntimeMissingError: the emulator or the plugin is missing, or the emulator loads no plugins.
        UsageError: the program is not there, was ended by a signal or by `timeout`, or its marks do not come in pairs.
    """
    check_emulator(command[0])
    with ScratchFolder("fdabnn-count-") as scratch:
        out = scratch.path / "counts.jsonl"
        try:
            done = subprocess.run(  # noqa: S603 - what the caller wants to have counted
                counting(command, out),
                env=environment if environment is None else dict(environment),
                cwd=folder,
                timeout=timeout,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise UsageError(f"{command[-1]} did not end within {timeout:g} s under {command[0]}") from None
        lines = out.read_text().splitlines() if out.is_file() else None
    if lines is None:
        raise RuntimeMissingError(f"{command[0]} does not load the plugin that counts: {_reason(done)}")
    sections, total = parse(lines)
    if total is None or total.instructions == 0:
        raise UsageError(
            f"the program ended with status {done.returncode} before its instructions were counted to the end: {_reason(done)}"
        )
    return CountedRun(sections, total, done.returncode, done.stdout, done.stderr)


def parse(lines: Sequence[str]) -> tuple[tuple[Section, ...], Counts | None]:
    """The plugin's output: the sections in the order in which they began, and the whole program where it ran to its end.

    Raises:
        UsageError: the marks do not come in pairs.
    """
    sections: dict[int, Section] = {}
    total = None
    for line in lines:
        found = json.loads(line)
        if "error" in found:
            raise UsageError(f"the program's marks do not come in pairs: {found['error']}")
        if "section" in found:
            sections[found["section"]] = Section(_counts(found), found["own"])
        else:
            total = _counts(found)
            if found["unfinished"]:
                raise UsageError("the program's marks do not come in pairs: it ended within a section")
    return tuple(sections[number] for number in sorted(sections)), total


def _counts(found: dict[str, Any]) -> Counts:
    return Counts(*(found[item.name] for item in fields(Counts)))


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    lines = done.stderr.strip().splitlines() or ["it said nothing"]
    if any("unknown option" in line for line in lines):
        return f"it knows no option -plugin; {_DYNAMIC}"
    # qemu writes a last line of its own behind the plugin's.
    ours = [line.removeprefix(_NAME) for line in lines if line.startswith(_NAME)]
    return (ours or lines)[-1]


def _is_static(file: Path) -> bool:
    """Whether an ELF program of 64 bits names no interpreter that would load libraries; False for anything else, such as a script."""
    dynamic_loader = 3  # System V ABI, chapter 5: PT_INTERP
    with file.open("rb") as opened:
        head = opened.read(64)
        if len(head) < 64 or head[:6] != b"\x7fELF\x02\x01":
            return False
        (table,) = struct.unpack_from("<Q", head, 32)
        size, count = struct.unpack_from("<HH", head, 54)
        opened.seek(table)
        entries = opened.read(size * count)
    kinds = [struct.unpack_from("<I", entries, place)[0] for place in range(0, len(entries), size)]
    return dynamic_loader not in kinds
