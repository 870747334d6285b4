"""The static model of the ARM kernels' inner loops: what LLVM's model of a core says that the loop in a library file takes.

The loop is cut out of the library's disassembly, by the symbol of the function that holds it, and given to `llvm-mca` over and over. That
is a model, not hardware: it knows the core's pipes, latencies and dispatch width as LLVM's authors wrote them down, takes every load from
the first level of the cache and every branch as foreseen, and for many cores LLVM has no model of their own (`CORES`).

A multiply-accumulate (MAC) is one binary weight times one binary activation.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.system.programs import Program, find

LLVM = 19
"""The oldest version whose models will do; the figures in the documentation and the tests are its own."""

ITERATIONS = 1000
"""Of a loop, in a run of the model: what its first one takes longer does not show."""

THREE_OPERATIONS = 128 * 2 / 3
"""MAC/cycle of a core with two vector pipes of 128 bits that spends three operations on them: XOR, count and sum."""

CORES = {
    "cortex-a53": "its own",
    "cortex-a55": "its own",
    "cortex-a72": "Cortex-A57's",
    "cortex-a510": "its own",
    "neoverse-n1": "its own; the stand-in for Cortex-A76, which LLVM 19 models as Cortex-A57",
    "neoverse-n2": "its own",
    "neoverse-v1": "its own",
    "neoverse-v2": "its own",
}
"""The cores that the documentation lists, as `llvm-mca -mcpu` calls them, and whose model LLVM 19 uses for them."""


@dataclass(frozen=True)
class InnerLoop:
    """A loop of the library that takes most of the time of binary convolutions.

    Attributes:
        level: of the kernels that run it.
        symbol: of the function that holds it.
        macs: of one iteration.
    """

    level: str
    symbol: str
    macs: int


INNER_LOOPS = (
    InnerLoop("neon", "fdabnn_neon_count", 4 * 4 * 128),  # pixels, channels, taps
    InnerLoop("neon_lookup", "fdabnn_neon_lookup", 4 * 32 * 3 * 5),  # pixels, channels, look-ups, taps
)
"""The loops of `native/kernels/bconv_neon.cc` and `bconv_lookup_neon.cc`."""


@dataclass(frozen=True)
class LoopModel:
    """A core's static model of a loop.

    Attributes:
        loop: which.
        core: as `llvm-mca -mcpu` calls it.
        cycles: of one iteration.
        instructions: of one iteration.
    """

    loop: InnerLoop
    core: str
    cycles: float
    instructions: int

    @property
    def macs_per_cycle(self) -> float:
        """Binary multiply-accumulates in a cycle."""
        return self.loop.macs / self.cycles


def llvm(name: str) -> Program:
    """One of LLVM's programs, version 19 before others that may be newer."""
    need = "older ones have no models of some of the cores"
    return Program((f"{name}-{LLVM}", name), f"llvm-{LLVM}", (LLVM,), need=need)


def tool(name: str) -> str:
    """The path of one of LLVM's programs.

    Raises:
        RuntimeMissingError: it is not installed, too old, or does not work.
    """
    return find(llvm(name)).path


def llvm_version() -> str:
    """Of the models, such as `19.1.7`: another version may have others.

    Raises:
        RuntimeMissingError: as `tool`.
    """
    return find(llvm("llvm-mca")).version


def _run(command: list[str], text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)  # noqa: S603 - found by `tool`
    # An unknown core is only warned about.
    if done.returncode != 0 or "not a recognized processor" in done.stderr:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise UsageError(f"{Path(command[0]).name}: {lines[0]}")
    return done.stdout


def exported_functions(library: Path) -> dict[str, tuple[int, int]]:
    """The address and size in bytes of the functions that a library exports, by name.

    Raises:
        UsageError: the file is no library.
        RuntimeMissingError: LLVM is not installed.
    """
    listed = _run([tool("llvm-objdump"), "--dynamic-syms", str(library)])
    # Address, flags, section, size, visibility, name.
    found = re.findall(r"^([0-9a-f]+) .*\.text\t([0-9a-f]+) +(?:\.\w+ )?(\S+)$", listed, re.MULTILINE)
    return {name: (int(address, 16), int(size, 16)) for address, size, name in found}


def code_of_library(library: Path, begin: int = 0, end: int = 1 << 62) -> list[tuple[int, str]]:
    """The addresses and instructions of a library, between two addresses.

    Raises:
        UsageError: the file is no library.
        RuntimeMissingError: LLVM is not installed.
    """
    range_ = (f"--start-address={begin}", f"--stop-address={end}")
    text = _run([tool("llvm-objdump"), "--disassemble", "--no-show-raw-insn", *range_, str(library)])
    lines = re.findall(r"^ *([0-9a-f]+):\s+(.*?)(?:\s*//.*)?$", text, re.MULTILINE)
    return [(int(address, 16), instruction) for address, instruction in lines]


def disassemble(library: Path, symbol: str) -> list[tuple[int, str]]:
    """The addresses and instructions of a function that a library exports.

    Raises:
        UsageError: the file is no library, or has no such function.
        RuntimeMissingError: LLVM is not installed.
    """
    functions = exported_functions(library)
    if symbol not in functions:
        raise UsageError(f"{library} has no function {symbol}: it is no library of this version for aarch64")
    begin, size = functions[symbol]
    return code_of_library(library, begin, begin + size)


_BRANCH = re.compile(r"^(b\.\w+|cbn?z|tbn?z|b)\s+(?:.*, )?0x([0-9a-f]+)(?: <.*>)?$")


def find_loop(instructions: list[tuple[int, str]]) -> list[str]:
    """The longest of a function's innermost loops, from the target of its branch to the branch.

    Raises:
        UsageError: there is no loop.
    """
    loops = [
        (int(branch[2], 16), address)
        for address, text in instructions
        if (branch := _BRANCH.match(text)) and instructions[0][0] <= int(branch[2], 16) <= address
    ]
    inner = [
        (first, last)
        for first, last in loops
        if not any(first <= a and b <= last and (a, b) != (first, last) for a, b in loops)
    ]
    if not inner:
        raise UsageError("the function has no loop")
    begin, end = max(inner, key=lambda loop: loop[1] - loop[0])
    return [text for address, text in instructions if begin <= address <= end]


def model_cycles(instructions: list[str], core: str, iterations: int = ITERATIONS) -> float:
    """Cycles of one pass through the instructions, of `iterations` in a row, by LLVM's model of an ARM core.

    Raises:
        UsageError: LLVM knows no such core or instruction.
        RuntimeMissingError: LLVM is not installed.
    """
    command = [tool("llvm-mca"), "-mtriple=aarch64", f"-mcpu={core}", f"-iterations={iterations}"]
    command += ["-json", "-instruction-info=0", "-resource-pressure=0"]
    # Where a branch leads is nothing to the model.
    text = "\n".join(re.sub(r"0x[0-9a-f]+ <.*>$", "#0", line) for line in instructions)
    summary = json.loads(_run(command, text))["CodeRegions"][0]["SummaryView"]
    return float(summary["TotalCycles"] / iterations)


def model_loop(library: Path, loop: InnerLoop, core: str) -> LoopModel:
    """Runs LLVM's model of a core on a loop in a library file.

    Raises:
        UsageError: the library has no such loop, or LLVM knows no such core.
        RuntimeMissingError: LLVM is not installed.
    """
    instructions = find_loop(disassemble(library, loop.symbol))
    return LoopModel(loop, core, model_cycles(instructions, core), len(instructions))
