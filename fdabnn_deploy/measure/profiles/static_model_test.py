"""The inner loops of the library for aarch64 by LLVM's models of cores, against what they are meant to reach."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from arm_root import library
from fdabnn_deploy.errors import RuntimeMissingError, UsageError
from fdabnn_deploy.measure.profiles.static_model import (
    CORES,
    INNER_LOOPS,
    LLVM,
    THREE_OPERATIONS,
    disassemble,
    find_loop,
    llvm,
    llvm_version,
    model_cycles,
    model_loop,
    tool,
)
from fdabnn_deploy.system.programs_testing import skip, wanted

pytestmark = pytest.mark.programs

COUNT, LOOKUP = INNER_LOOPS


@pytest.fixture(scope="module")
def shipped() -> Path:
    """The library for aarch64; skips where LLVM 19 is not installed, which CI must not."""
    for name in ("llvm-mca", "llvm-objdump"):
        wanted(llvm(name))
    if int(llvm_version().split(".")[0]) != LLVM:
        skip(
            f"the figures are of LLVM {LLVM}, and this is {llvm_version()}: install it with  apt install llvm-{LLVM}"
        )
    return library.build()


@pytest.mark.parametrize("core", ["cortex-a72", "neoverse-n1"])
def test_counting_is_bound_by_three_operations(shipped: Path, core: str) -> None:
    """Holds for any number of channels that is a multiple of 64: a part of a register is stored in a place of its own."""
    model = model_loop(shipped, COUNT, core)
    assert 0.98 * THREE_OPERATIONS <= model.macs_per_cycle <= THREE_OPERATIONS


def test_looking_up_beats_that_bound(shipped: Path) -> None:
    assert model_loop(shipped, LOOKUP, "neoverse-n1").macs_per_cycle >= 1.25 * THREE_OPERATIONS


# As kernels/arm_cores.cc has it.
@pytest.mark.parametrize(
    ("core", "gains"),
    [
        *((core, True) for core in ("neoverse-n1", "neoverse-n2", "neoverse-v2", "cortex-a510")),
        *((core, False) for core in ("cortex-a55", "cortex-a72", "neoverse-v1")),
    ],
)
def test_cores_that_look_up_gain_by_it(shipped: Path, core: str, gains: bool) -> None:
    count, lookup = (model_loop(shipped, loop, core).macs_per_cycle for loop in INNER_LOOPS)
    assert (lookup > count) == gains


def test_the_loops_are_the_ones_that_count(shipped: Path) -> None:
    """16 channels and pixels take a count each, 12 look-ups 32 bytes of table each; nothing goes to memory and back."""
    for loop, operation, times in (
        (COUNT, "cnt", 16),
        (COUNT, "uadalp", 16),
        (LOOKUP, "tbl", 12),
        (LOOKUP, "usra", 4),
    ):
        instructions = find_loop(disassemble(shipped, loop.symbol))
        assert sum(text.split()[0] == operation for text in instructions) == times
        assert not any(text.startswith("st") or "sp" in text for text in instructions)


def test_every_listed_core_has_a_model(shipped: Path) -> None:
    assert llvm_version()[0].isdigit()
    assert all(model_loop(shipped, loop, core).cycles > 0 for core in CORES for loop in INNER_LOOPS)


def test_the_model_counts_cycles(shipped: Path) -> None:
    """A chain of additions, one of which takes a cycle."""
    del shipped
    assert model_cycles(["add x0, x0, #1"] * 10, "neoverse-n1") == pytest.approx(10, abs=0.1)


def test_the_longest_innermost_loop_is_found() -> None:
    function = [
        (0x0, "mov\tx0, x1"),
        (0x4, "add\tx2, x2, #0x1"),
        (0x8, "cbnz\tx2, 0x4 <f+0x4>"),
        (0xC, "eor\tv0.16b, v0.16b, v1.16b"),
        (0x10, "subs\tx3, x3, #0x1"),
        (0x14, "b.eq\t0x1c <f+0x1c>"),
        (0x18, "b.ne\t0xc <f+0xc>"),
        (0x1C, "tbnz\tw4, #0x3, 0x4 <f+0x4>"),
        (0x20, "ret"),
    ]
    assert find_loop(function) == [text for address, text in function if 0xC <= address <= 0x18]
    with pytest.raises(UsageError, match="no loop"):
        find_loop(function[:2])


def test_mistakes_are_named(shipped: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no function fdabnn_nothing"):
        disassemble(shipped, "fdabnn_nothing")
    with pytest.raises(UsageError, match="'pentium' is not a recognized processor"):
        model_loop(shipped, COUNT, "pentium")
    damaged = tmp_path / "damaged.so"
    for content in (b"", b"\x7fELF", shipped.read_bytes()[:5000]):
        damaged.write_bytes(content)
        with pytest.raises(UsageError, match="damaged"):
            disassemble(damaged, COUNT.symbol)


def test_without_llvm_the_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        RuntimeMissingError, match=r"llvm-mca-19 is missing: install it with  apt install llvm-19"
    ):
        tool("llvm-mca")
    for version in (14, 18):
        (tmp_path / "llvm-mca").write_text(f"#!/bin/sh\necho 'Debian LLVM version {version}.1.0'\n")
        (tmp_path / "llvm-mca").chmod(0o755)
        reason = f"it is version {version}.1.0, and 19 or newer is wanted (older ones have no models of some of the cores)"
        with pytest.raises(
            RuntimeMissingError, match=re.escape(f"{reason}: install it with  apt install llvm-19")
        ):
            llvm_version()
