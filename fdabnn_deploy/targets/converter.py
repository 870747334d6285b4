"""The interface of converters, the part of a target that writes deployed graphs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.model_info import ModelInfo

Kernels = Literal["standard", "packed"]
Via = Literal["own", "lce", "both"]
Constants = Literal["integer", "float"]


@dataclass(frozen=True)
class ConvertOptions:
    """Choices of the user.

    Attributes:
        batch: the batch size written into the file, or None for any.
        kernels: of ONNX files. "standard": operators of ONNX, that any runtime has, binary layers in float; "packed": binary layers as
            operators of the domain `fdabnn`, for ONNX Runtime with this package's library (docs/custom-ops.md).
        constants: "integer": weights that are integers of 8 bits (binary ones of ONNX files, slices of exact layers) are stored so, and the
            file makes floats of them; "float": they are stored as floats, for runtimes that want constants there.
        via: of TFLite files. "own": written by this project; "lce": by TensorFlow and the converter of Larq Compute Engine;
            "both": by this project, and a variant by that converter is compared with it.
    """

    batch: int | None = 1
    kernels: Kernels = "standard"
    via: Via = "own"
    constants: Constants = "integer"


@dataclass(frozen=True)
class Artifact:
    """A file that a converter wrote.

    Attributes:
        target: its name.
        path: the file.
        op_counts: operators of the file by name, counted in the finished file.
        notes: what the user should know about this conversion, one sentence each.
    """

    target: str
    path: Path
    op_counts: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@runtime_checkable
class Converter(Protocol):
    """Writes deployed graphs for one target. It changes no numbers: those change in passes only."""

    def convert(self, graph: Graph, info: ModelInfo, path: Path, options: ConvertOptions) -> Artifact:
        """Writes the graph to `path` (aside first, then renamed) and checks the finished file.

        The same graph, info and options give the same bytes.

        Args:
            graph: of deployed operators and composites of them: `fdabnn_deploy.ir.composites.decompose` gives the former alone.
            info: of the model, for the file's metadata.
            path: of the file.
            options: of the user.

        Raises:
            ModelRefusedError: the target cannot express the graph, with the node's name, the reason and the remedy.
            UsageError: the target does not have the chosen option.
        """
        ...

    def variants(
        self, graph: Graph, info: ModelInfo, artifact: Artifact, options: ConvertOptions, folder: Path
    ) -> dict[str, Path]:
        """Other forms that users give such a file, for checks: what each one is, and where in `folder` it was written."""
        ...
