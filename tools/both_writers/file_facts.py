"""The file of a network by each writer: size, operators, the kernels of Larq Compute Engine that take it, bits, proof."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from both_writers.compared_networks import Network
from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ir.ops import Array
from fdabnn_deploy.prove import prove_forms
from fdabnn_deploy.runtimes.base import Session
from fdabnn_deploy.targets.converter import ConvertOptions, Via
from fdabnn_deploy.verify.metrics import compare_outputs
from fdabnn_tflite.convert import CONVERTER
from fdabnn_tflite.prove.tflite import read_tflite as read_program
from fdabnn_tflite.runtime.interpreter import InterpreterSession, Package, Setting
from fdabnn_tflite.runtime.lce import Kernels, LceSession
from fdabnn_tflite.runtime.litert import LiteRtRuntime
from fdabnn_tflite.runtime.tensorflow_lite import TfliteRuntime
from fdabnn_tflite.runtime.tflite_file import TfliteFile, read_tflite

KERNELS: tuple[Kernels, ...] = get_args(Kernels)
WRITERS: tuple[Via, Via] = ("own", "lce")


@dataclass(frozen=True)
class FileFacts:
    """A file.

    Attributes:
        size: in bytes.
        operators: by name.
        copies: of these, copies of tensors that are reshaped and read as they are, too, or returned twice.
        constants: of these, operators that read nothing but constants: they make floats of integers, or an image of its border's values.
        kernels: of LCE that take the file.
        runs: on how many runtimes and kernels it ran.
        values: compared on all of them.
        differing: of these, in their bits.
        unproved: why the prover does not pass it.
    """

    size: int
    operators: Counter[str]
    copies: int
    constants: int
    kernels: tuple[Kernels, ...]
    runs: int
    values: int
    differing: int
    unproved: tuple[str, ...]

    @property
    def needed(self) -> int:
        """Operators without what LCE's converter leaves out.

        These are copies, though runtimes then overwrite tensors, and what reads constants, which that converter stores as floats: runtimes
        read them once, when they load the file.
        """
        return self.operators.total() - self.copies - self.constants


@dataclass(frozen=True)
class Row:
    """A network with the files of both writers."""

    name: str
    own: FileFacts
    lce: FileFacts
    random: bool = False

    def faults(self) -> list[str]:
        """Where it breaks the promise that our own file is as good as the other, one sentence each."""
        found = []
        for writer, facts in (("own writer", self.own), ("LCE's converter", self.lce)):
            if facts.differing:
                found.append(f"{writer}: {facts.differing} of {facts.values} values differ")
            found += [f"{writer}: {reason}" for reason in facts.unproved]
            if not facts.kernels:
                found.append(f"{writer}: no kernels of LCE take the file")
        if self.own.size > self.lce.size:
            found.append(f"{self.own.size} bytes instead of {self.lce.size}")
        if self.own.needed > self.lce.operators.total():
            found.append(f"more operators: {self.own.operators - self.lce.operators}")
        if self.own.kernels != self.lce.kernels:
            found.append(f"taken by {self.own.kernels} instead of {self.lce.kernels}")
        return [f"{self.name}: {fault}" for fault in found]


def measure(network: Network, folder: Path) -> Row:
    """Writes both files of a network, for batch 1, into a folder, runs and proves them."""
    own, lce = (_facts(network, folder / f"{via}.tflite", via) for via in WRITERS)
    return Row(network.name, own, lce, network.random)


def kernels_of(path: Path) -> tuple[Kernels, ...]:
    """Those of LCE's kernels that take a file."""
    file = read_tflite(path)
    return tuple(kernels for kernels in KERNELS if _on_lce(file, path, kernels) is not None)


def _facts(network: Network, path: Path, via: Via) -> FileFacts:
    CONVERTER.convert(network.graph, network.info, path, ConvertOptions(via=via))
    # Large files are read once: what reads and checks them is Python.
    content, file = path.read_bytes(), read_tflite(path)
    program = read_program(content)
    on_lce = {kernels: _on_lce(file, path, kernels) for kernels in KERNELS}
    taking = {kernels: session for kernels, session in on_lce.items() if session is not None}
    compared = [
        compare_outputs(network.expected, session.run(network.inputs))
        for session in (*taking.values(), *_stock_sessions(file, path))
    ]
    (proof,) = prove_forms([("", program)]).values()
    return FileFacts(
        len(content),
        Counter(file.op_counts()),
        _copies(file, program.constants),
        _read_constants(file, program.constants),
        tuple(taking),
        len(compared),
        sum(found.values for found in compared),
        sum(found.differing for found in compared),
        proof.failures,
    )


def _copies(file: TfliteFile, constants: Mapping[str, Array]) -> int:
    """Counts the operators that pad a tensor by nothing."""
    pads = [operator.inputs[1] for operator in file.operators if operator.name == "PAD"]
    return sum(not np.any(constants[str(index)]) for index in pads)


def _read_constants(file: TfliteFile, constants: Mapping[str, Array]) -> int:
    """Counts the operators that make tensors of nothing but constants: floats of weights, and values for the places of an image."""
    known, found = set(constants), 0
    for operator in file.operators:
        if operator.name in {"DEQUANTIZE", "GATHER"} and known.issuperset(map(str, operator.inputs)):
            known.update(map(str, operator.outputs))
            found += 1
    return found


def _on_lce(file: TfliteFile, path: Path, kernels: Kernels) -> Session | None:
    """A file on LCE's interpreter, None where these kernels do not take it."""
    try:
        return LceSession(file, path, 1, kernels)
    except ModelRefusedError:
        return None


def _stock_sessions(file: TfliteFile, path: Path) -> Iterator[Session]:
    for runtime in (LiteRtRuntime(), TfliteRuntime()):
        yield InterpreterSession(runtime.package(), runtime.interpreter_name, file, path, Setting())
    if not any(operator.name.startswith("Lce") for operator in file.operators):
        yield _without_delegate(file, path)


def _without_delegate(file: TfliteFile, path: Path) -> Session:
    """LiteRT by itself, for a file without operators of LCE."""
    package = LiteRtRuntime().package()

    def interpreter(**options: Any) -> Any:
        return package.interpreter(**{**options, "experimental_delegates": None})

    plain = Package(interpreter, lambda *_: None, package.resolvers)
    return InterpreterSession(plain, "LiteRT", file, path, Setting())
