"""Whole binary convolutions on aarch64 by LLVM's models: the table in docs/kernels-arm.md.

A call is followed instruction by instruction under qemu, and what it executed in the library is given to llvm-mca in that order. So the
figures hold everything around the inner loops, too: laying out the input, ends of rows and patches, finishing. They are models, not
hardware (`fdabnn_deploy.measure.profiles.static_model`), and know nothing of caches: every load is from the first level.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from arm_root import library
from fdabnn_deploy.errors import FdabnnError, RuntimeMissingError
from fdabnn_deploy.measure.profiles.static_model import (
    code_of_library,
    exported_functions,
    llvm_version,
    model_cycles,
)
from fdabnn_deploy.runtimes.emulator import arm_root

LEVELS = {"neon": (4, ("cortex-a72", "neoverse-n1")), "neon_lookup": (5, ("neoverse-n1",))}
"""Their numbers in the C interface, and the cores that run them."""
_DRIVER = Path(__file__).with_name("driver.cc")
_NATIVE = Path(__file__).resolve().parents[2] / "fdabnn_deploy" / "native"
_TARGET = "aarch64-linux-gnu.2.17"
_MARK = "fdabnn_level_name"


@dataclass(frozen=True)
class ModelledLayer:
    """A binary convolution with SAME padding and strides of 1."""

    channels: int
    size: int
    kernel: int = 3
    packed: bool = False

    @property
    def macs(self) -> int:
        """Binary multiply-accumulates of an image."""
        return self.size**2 * self.channels**2 * self.kernel**2

    def __str__(self) -> str:
        kind = "packed" if self.packed else "float"
        return f"{self.kernel}x{self.kernel}, {self.size}x{self.size}x{self.channels}, {kind}"


LAYERS = (
    *(ModelledLayer(64, 20, packed=packed) for packed in (False, True)),
    *(ModelledLayer(128, 14, packed=packed) for packed in (False, True)),
    *(ModelledLayer(256, 7, packed=packed) for packed in (False, True)),
    ModelledLayer(256, 14, kernel=1),
)
"""Large enough that their borders count no more than in common networks, small enough to be followed."""


def compile_driver(folder: Path, file: Path) -> Path:
    """The program that runs a layer of a library, compiled into a folder."""
    program = folder / "driver"
    command = [
        *(
            sys.executable,
            "-m",
            "ziglang",
            "c++",
            "-target",
            _TARGET,
            "-std=c++17",
            "-O1",
            "-Wall",
            "-Wextra",
        ),
        *(
            "-I",
            str(_NATIVE),
            str(_DRIVER),
            "-o",
            str(program),
            f"-L{file.parent}",
            "-lfdabnn_delegate",
            "-ldl",
        ),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeMissingError(f"the compiler does not take {_DRIVER.name}: {done.stderr.strip()}")
    return program


def follow(layer: ModelledLayer, level: str, driver: Path, file: Path) -> list[int]:
    """The addresses in the library of all instructions that a call for a layer executes there, in order."""
    guest = arm_root.find()
    log = driver.with_name("log")
    sizes = (layer.channels, layer.channels, layer.kernel, layer.size, int(layer.packed), LEVELS[level][0])
    command = [
        *(guest.qemu, "-singlestep", "-d", "exec,nochain", "-D", str(log), "-L", str(guest.root)),
        *("-E", f"LD_LIBRARY_PATH={file.parent}", str(driver), *map(str, sizes)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeMissingError(f"{guest.qemu} could not run the layer: {done.stderr.strip()}")
    base = int(done.stdout, 16)
    mark, _ = exported_functions(file)[_MARK]
    calls: list[list[int]] = [[]]
    with log.open() as lines:
        for line in lines:
            if place := re.search(r"/([0-9a-f]{16})/", line):
                address = int(place[1], 16) - base
                if address == mark:
                    calls.append([])
                calls[-1].append(address)
    log.unlink()
    # Behind the first mark: the second call, with the mark's own return in front of it.
    return calls[1]


def straight(instructions: list[str]) -> list[str]:
    """Instructions for a model of one long run: calls and returns become jumps, addresses relative to the counter become constants."""
    jump = re.compile(r"^(blr?|br|ret)\b.*")
    address = re.compile(r"^adrp?\t(x\d+),.*")
    return [address.sub(r"mov \1, #0", jump.sub("b #0", text)) for text in instructions]


def main() -> int:
    """Prints the table."""
    try:
        built = library.build()
        print(f"LLVM {llvm_version()}\n")
        print("| layer | level | instructions per 1000 MAC | MAC/cycle by the model of |\n|---|---|---|---|")
        with tempfile.TemporaryDirectory() as folder:
            # A copy: another build must not put one library under the emulator and leave the code of another here.
            file = Path(shutil.copy(built, folder))
            code = dict(code_of_library(file))
            driver = compile_driver(Path(folder), file)
            for layer in LAYERS:
                for level, (_, cores) in LEVELS.items():
                    executed = [
                        code[address] for address in follow(layer, level, driver, file) if address in code
                    ]
                    text = straight(executed)
                    figures = ", ".join(
                        f"{core} {layer.macs / model_cycles(text, core, 1):.1f}" for core in cores
                    )
                    density = 1000 * len(executed) / layer.macs
                    print(f"| {layer} | `{level}` | {density:.1f} | {figures} |", flush=True)
    except FdabnnError as error:
        print(f"arm_layers: {error}", file=sys.stderr)
        return error.exit_code
    return 0
