"""The finished files, as readelf shows them: position-independent, protected stacks, checked copies, nothing writable and executable."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from fdabnn_deploy.system.programs_testing import READELF, wanted
from native import build
from native.build import LIB, TARGETS, supported_machine

pytestmark = [
    pytest.mark.programs,
    pytest.mark.skipif(
        supported_machine() != "x86_64", reason="the files of both processors are built on x86-64"
    ),
]
FILES = [
    (machine, product)
    for machine, target in TARGETS.items()
    for product in (each.name for each in build.products(target))
]


@pytest.fixture(scope="module")
def readelf() -> str:
    return wanted(READELF)


@cache
def built(machine: str) -> Path:
    """The folder of a processor's files, built where their sources have changed."""
    folder = LIB if machine == "x86_64" else LIB / machine
    build.build(TARGETS[machine], folder)
    return folder


def read(readelf: str, machine: str, name: str, *options: str) -> str:
    """The output of readelf for a file."""
    return listed(readelf, built(machine) / name, *options)


def listed(readelf: str, path: Path, *options: str) -> str:
    return subprocess.run(
        [readelf, "-W", *options, str(path)], capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize(("machine", "name"), FILES)
def test_addresses_are_not_fixed(readelf: str, machine: str, name: str) -> None:
    """PIE for the program, position-independent code for the libraries."""
    assert re.search(r"Type: +DYN ", read(readelf, machine, name, "--file-header"))
    dynamic = read(readelf, machine, name, "--dynamic")
    assert ("PIE" in dynamic) == (not name.endswith(".so"))
    assert "TEXTREL" not in dynamic


@pytest.mark.parametrize(("machine", "name"), FILES)
def test_nothing_is_writable_and_executable(readelf: str, machine: str, name: str) -> None:
    """And what the linker fills in is filled in at the start, then read-only."""
    segments = read(readelf, machine, name, "--program-headers")
    flags = re.findall(r"^  (LOAD|GNU_STACK) .* 0x[0-9a-f]+ ([R ][W ][E ]) ", segments, re.MULTILINE)
    assert {kind for kind, _ in flags} == {"LOAD", "GNU_STACK"}
    assert not any("W" in flag and "E" in flag for _, flag in flags)
    assert "GNU_RELRO" in segments
    assert "NOW" in read(readelf, machine, name, "--dynamic")


GUARD = bytes.fromhex("0000000000000aff")
"""Stack canary of zig's own library on aarch64: stands between a function's arrays and its return address (lib/compiler_rt/ssp.zig)."""


@pytest.mark.parametrize(("machine", "name"), FILES)
def test_stacks_are_protected_and_copies_checked(readelf: str, machine: str, name: str) -> None:
    """On aarch64 zig's library has the functions that glibc has elsewhere, and they are linked in."""
    symbols = set(re.findall(r" UND (\w+)@", read(readelf, machine, name, "--dyn-syms")))
    if machine == "x86_64":
        assert "__stack_chk_fail" in symbols
        assert {symbol for symbol in symbols if symbol.endswith("_chk")}
    else:
        assert GUARD in (built(machine) / name).read_bytes()
    if name == build.RUNNER.name:
        # Of calls whose sizes only the run knows; those that the compiler knows are judged by it, and none is left.
        assert symbols >= {"__read_chk", "__pread_chk", "__vsnprintf_chk", "__readlink_chk"}


def test_every_source_is_compiled_so() -> None:
    for flag in ("-fstack-protector-strong", "-D_FORTIFY_SOURCE=2", "-fPIC"):
        assert flag in build.COMPILE
