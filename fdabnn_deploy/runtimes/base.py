"""The interface of all runtimes.

Arrays go in and come out in the graph's convention, whatever the file's: float32 (pixels uint8), NCHW, never flipped, outputs in the
graph's order.
Files of other tools may put out other types, which stay what they are, and outputs that do not have the batch in front: see
`fdabnn_deploy.runtimes.batches`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.ir.ops import Array
from fdabnn_deploy.runtimes.inputs import FLOATS


@dataclass(frozen=True)
class FileTensor:
    """Name and layout of an input or output in the file; `nhwc` for images [N, H, W, C]."""

    name: str
    channels_last: bool = False


@dataclass(frozen=True)
class FileTensors:
    """All values, in the file's order."""

    inputs: tuple[FileTensor, ...]
    outputs: tuple[FileTensor, ...]


class Session(ABC):
    """A model loaded on a runtime."""

    @abstractmethod
    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Computes the outputs for a batch of any size (a runtime that takes one image at a time is fed one at a time).

        Raises:
            UsageError: the inputs do not have the model's shapes.
            ModelRefusedError: an output cannot be split into images.
        """

    @abstractmethod
    def run_all(self, inputs: Sequence[Array]) -> dict[str, Array]:
        """Computes every tensor of the deployed graph that exists in this file, by the graph's tensor name.

        A runtime may have to load a second copy of the model whose inner tensors are outputs.
        """

    def file_tensors(self) -> FileTensors:
        """Names and layouts of the inputs and outputs in the file, for capsules.

        Raises:
            UsageError: no capsule can be made of such files.
        """
        raise UsageError(f"no capsule can be made of files for {type(self).__name__}")

    def packed_signs(self, inputs: Sequence[Array]) -> dict[str, Array]:
        """The tensors of the file that hold packed signs, int32 words [N, ...], by name in the order of computation."""
        return {}

    @property
    @abstractmethod
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The per-image shape of each input, (C, H, W) for images."""

    @property
    def input_types(self) -> tuple[np.dtype[Any], ...]:
        """The type of each input: float32, or uint8 where it takes pixels."""
        return (FLOATS,) * len(self.input_shapes)

    @abstractmethod
    def native_inputs(self, inputs: Sequence[Array]) -> object:
        """One image in the file's own layout, prepared for `run_native`, so that latency is measured without our conversions."""

    @abstractmethod
    def run_native(self, prepared: object) -> None:
        """One inference on prepared inputs, nothing else."""


class Runtime(Protocol):
    """A way to run files.

    Attributes:
        name: as reports print it.
        suffixes: of the files it opens.
    """

    name: str
    suffixes: tuple[str, ...]

    def version(self) -> str:
        """The runtime's version.

        Raises:
            RuntimeMissingError: it is not installed.
        """
        ...

    def open(self, path: Path, threads: int = 1) -> Session:
        """Loads a file.

        Raises:
            RuntimeMissingError: the runtime is not installed.
            ModelRefusedError: the file is damaged or not for this runtime.
        """
        ...

    def settings(self, path: Path) -> Iterator[tuple[str, Session]]:
        """The file under every setting of the runtime that may change how it computes: what each one is, and a session.

        Raises:
            RuntimeMissingError: the runtime is not installed.
            ModelRefusedError: the file is damaged or not for this runtime.
        """
        ...

    def metadata(self, path: Path) -> dict[str, str]:
        """The metadata that `ModelInfo.metadata` put into the file, without loading the model."""
        ...
