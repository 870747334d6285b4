"""The twins of a binary network: what its user would run without binarisation, to compare speed with.

`fp32` is the network in which every binary layer is a float32 layer of the same shape (`twin_fp32`), `int8` its quantised form
(`twin_int8`). Both are made from the exported file alone, have its inputs and outputs, and run on the same runtime without our kernels.
What a twin computes means nothing; how long it takes does. docs/baselines.md says what becomes of what.

(The twins of `fdabnn_deploy.twins` are others: binary layers alone, to verify each.)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.files import write_whole
from fdabnn_deploy.ops import FloatArray

Kind = Literal["fp32", "int8"]
SUFFIXES = (".tflite", ".onnx")


@dataclass(frozen=True)
class TwinLayer:
    """A binary layer of the model and the layer that stands for it in the twin.

    Attributes:
        name: of the layer, as the model's file says it.
        model_op: index of its operator in the model: in the list of operators (TFLite) or of nodes (ONNX).
        model_tensor: name of the first tensor that this operator writes.
        model_node: name of this operator; TFLite's have none, there it is the tensor's.
        twin_op: index of its operator in the twin.
        twin_tensor: name of the tensor that this operator writes.
        twin_node: name of this operator, as above.
        macs: multiply-adds for one picture, the same in both.
    """

    name: str
    model_op: int
    model_tensor: str
    model_node: str
    twin_op: int
    twin_tensor: str
    twin_node: str
    macs: int


@dataclass(frozen=True)
class Twin:
    """A twin.

    Attributes:
        kind: "fp32" or "int8".
        path: its file.
        layers: every binary layer of the model, in the model's order.
        note: what it is, in one sentence for reports.
    """

    kind: Kind
    path: Path
    layers: tuple[TwinLayer, ...]
    note: str


def build_twin(kind: Kind, model: Path, folder: Path, pictures: FloatArray | None = None) -> Twin:
    """Makes the twin of an exported model.

    Args:
        kind: "fp32" or "int8".
        model: an exported .tflite or .onnx file, packed or not, or a .tflite file of Larq Compute Engine.
        folder: where the twin goes, as `<stem>.<kind><suffix>`; made if missing.
        pictures: normalised, float32 [N, C, H, W], to find the ranges of integers with; None for made-up ones.

    Raises:
        UsageError: no such kind or file, or pictures of another shape.
        ModelRefusedError: the file is damaged, has no binary layer, or an operator that has no float form.
        RuntimeMissingError: a package is missing.
    """
    from fdabnn_deploy.profiling.twin_fp32 import float_twin
    from fdabnn_deploy.profiling.twin_int8 import quantised_twin

    if kind not in ("fp32", "int8"):
        raise UsageError(f"no baseline '{kind}': there are fp32 and int8")
    if model.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{model}: baselines are made from files that end in {' or '.join(SUFFIXES)}")
    try:
        content = model.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {model}: {error.strerror}") from None
    suffix = model.suffix.lower()
    try:
        found, layers = float_twin(content, suffix)
        note = "float32 layers in place of the binary ones, without signs; all else as in the model"
        if kind == "int8":
            found, layers, note = quantised_twin(found, layers, suffix, pictures)
    except ModelRefusedError as error:
        raise ModelRefusedError(f"{model} has no {kind} baseline: {error}") from None
    except UsageError as error:
        raise UsageError(f"{model}: {error}") from None
    path = folder / f"{model.stem}.{kind}{suffix}"
    write_whole(path, found)
    return Twin(kind, path, tuple(layers), note)
