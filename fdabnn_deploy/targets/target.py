"""The registration of a target: everything that the rest of the project asks about a file format.

A registration is data. Modules stand in it as `module:attribute` and are imported when they are asked for, so that a device
without PyTorch, onnx and TensorFlow reads all registrations and runs files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fdabnn_deploy.system.plugins import INSTALL, resolve
from fdabnn_deploy.system.read_file import read_whole
from fdabnn_deploy.targets.converter import Converter, Kernels, Via

Role = Literal["default", "further", "named"]
Checksum = Literal["fits", "changed", "none", ""]


@dataclass(frozen=True)
class RuntimeEntry:
    """A runtime of a target's files.

    Attributes:
        name: as users type it and reports print it.
        title: its name in tables.
        runtime: a class that takes no arguments and meets `fdabnn_deploy.runtimes.base.Runtime`.
        role: `default` opens such files and has to be installed; `further` checks them too, where it is installed; `named` runs them where
            a user names it. Exports are verified on the first two.
    """

    name: str
    title: str
    runtime: str
    role: Role = "default"


@dataclass(frozen=True)
class DevicePackage:
    """The Python package in which a runtime's shared library comes, for `fdabnn-profile` and the emulator.

    Attributes:
        name: of the runtime.
        package: on the package index.
        file: name of the library.
        library: pattern of its path in the wheel.
    """

    name: str
    package: str
    file: str
    library: str


@dataclass(frozen=True)
class Target:
    """A file format: who writes it, reads it, runs it and reads it for the prover.

    Attributes:
        name: what users type after `--target`; the name of its entry point.
        title: the format's name in sentences.
        suffix: of its files in small letters, such as `.onnx`.
        writer: a `fdabnn_deploy.targets.converter.Converter`.
        runtimes: exactly one of them the default.
        checksum: a function (path, metadata) that says whether a file is the one that was exported: "fits", "changed", "none" (one of this
            project without a checksum) or "" (of another tool).
        reader: for the prover: a function (bytes) that yields, per form that a runtime gives the file, its name ("" for the file
            itself) and its `fdabnn_deploy.prove.program.Program`.
            None where there is no prover: such files are written with float numerics only.
        kernels: choices of `--kernels` other than "standard".
        via: choices of `--via` beside "own".
        via_needs: a function without arguments that raises `RuntimeMissingError` where a package for them is not installed.
        contents: a function (path) that gives a file's bytes with all that belongs to it; None where that is the file alone.
        packed_signs: whether its sessions give packed signs, which a capsule then checks.
        device: how the default runtime gets onto devices; None where `fdabnn-profile` does not take such files.
        measuring: a `fdabnn_deploy.measure.format_tools.FormatTools`; None where such files are not profiled.
        install: the command that installs what the modules import.
    """

    name: str
    title: str
    suffix: str
    writer: str
    runtimes: tuple[RuntimeEntry, ...]
    checksum: str
    reader: str | None = None
    kernels: tuple[Kernels, ...] = ()
    via: tuple[Via, ...] = ()
    via_needs: str | None = None
    contents: str | None = None
    packed_signs: bool = False
    device: DevicePackage | None = None
    measuring: str | None = None
    install: str = INSTALL

    def __post_init__(self) -> None:
        if not self.suffix.startswith(".") or self.suffix != self.suffix.lower():
            raise ValueError(f"target '{self.name}': its suffix is '{self.suffix}', not one such as '.onnx'")
        if [entry.role for entry in self.runtimes].count("default") != 1:
            raise ValueError(f"target '{self.name}': exactly one of its runtimes is the default")

    @property
    def default_runtime(self) -> RuntimeEntry:
        """Opens its files where no other is named."""
        return next(entry for entry in self.runtimes if entry.role == "default")

    @property
    def verifying(self) -> tuple[RuntimeEntry, ...]:
        """The runtimes that exports are verified on, the default first."""
        further = (entry for entry in self.runtimes if entry.role == "further")
        return self.default_runtime, *further

    def converter(self) -> Converter:
        """The converter that writes its files.

        Raises:
            RuntimeMissingError: a package that it needs is not installed.
        """
        found: Converter = self.load(self.writer)
        return found

    def read(self, path: Path) -> bytes:
        """The model's bytes, with all that belongs to it.

        Raises:
            UsageError: the file, or what belongs to it, cannot be read.
            ModelRefusedError: what belongs to it does not fit.
        """
        if self.contents is None:
            return read_whole(path, "model file")
        content: bytes = self.load(self.contents)(path)
        return content

    def status(self, path: Path, metadata: dict[str, str]) -> Checksum:
        """The result of `checksum` for a file."""
        found: Checksum = self.load(self.checksum)(path, metadata)
        return found

    def load(self, place: str) -> Any:
        """The object at `module:attribute`.

        Raises:
            RuntimeMissingError: a package that it needs is not installed.
        """
        return resolve(place, f"target '{self.name}'", self.install)
