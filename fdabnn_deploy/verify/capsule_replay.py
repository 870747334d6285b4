"""Fills golden capsules from exported files, and replays them on a runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fdabnn_deploy.errors import ModelRefusedError, ParityError, UsageError
from fdabnn_deploy.exact.record import KEY, Numerics
from fdabnn_deploy.ir.ops import Array, FloatArray
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.runtimes.base import Session
from fdabnn_deploy.runtimes.onnx.external_data import read_model
from fdabnn_deploy.runtimes.onnx.onnxruntime import OnnxRuntimeSession
from fdabnn_deploy.runtimes.tflite.session import TfliteSession
from fdabnn_deploy.runtimes.tflite.tensors import Layout
from fdabnn_deploy.runtimes.tflite.tflite_file import INT32, TfliteFile
from fdabnn_deploy.system.scratch import ScratchFolder
from fdabnn_deploy.verify import capsule as capsules
from fdabnn_deploy.verify import metrics
from fdabnn_deploy.verify.capsule import Capsule, PackedSigns, Tensor, hash_words
from fdabnn_deploy.verify.metrics import Comparison

DEFAULT_INPUTS = 16
_PACKERS = frozenset({"LceQuantize", "LceBconv2d", "LceBMaxPool2d"})
"""Operators of a TFLite file whose int32 results are packed signs."""


@dataclass(frozen=True)
class Replay:
    """A capsule replayed.

    Attributes:
        outputs: what was computed against what the capsule expects (`Difference.a`).
        packed: how many packed tensors were compared.
        differing: names of those of which any input's hash differs, in the order of computation.
    """

    outputs: Comparison
    packed: int
    differing: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether everything compared is equal."""
        return self.outputs.equal and not self.differing


def write_golden(
    out: Path, files: Sequence[Path], inputs: Sequence[FloatArray], expected: Sequence[FloatArray]
) -> Capsule:
    """Writes the capsule of an export: of its TFLite file, whose packed signs it can check, else of the first file.

    Args:
        out: the capsule's file.
        files: that were exported, at least one.
        inputs: as `build` takes them; the first `DEFAULT_INPUTS` are recorded.
        expected: the outputs of the deployed graph for `inputs`.

    Raises:
        NotWrittenError: the capsule cannot be written.
        ParityError: a runtime computes other bits than expected.
    """
    path = next((file for file in files if file.suffix == ".tflite"), files[0])
    first = [[value[:DEFAULT_INPUTS] for value in values] for values in (inputs, expected)]
    capsule = build(path, *first)
    capsules.write_capsule(out, capsule)
    return capsule


def build(path: Path, inputs: Sequence[FloatArray], expected: Sequence[FloatArray] | None = None) -> Capsule:
    """Runs an exported file and puts it, its inputs and what it computed into a capsule.

    Args:
        path: an ONNX or TFLite file.
        inputs: one array float32 [N, ...] per input of the model, in the graph's layout (NCHW); some tens of images
            are plenty, `DEFAULT_INPUTS` by custom.
        expected: the outputs that the file has to compute, those of the deployed graph; None to trust the runtime.

    Raises:
        UsageError: the file cannot be opened, or the inputs do not have its shapes.
        ModelRefusedError: the file is damaged, or an output has another shape for every input.
        RuntimeMissingError: its runtime is not installed.
        ParityError: the runtime computes other bits than expected.
    """
    runtime = registry.for_file(path)
    session = runtime.open(path)
    outputs = session.run(inputs)
    if any(value.dtype == object for value in outputs):
        raise ModelRefusedError(
            f"{path} has an output that is a sequence, or of another shape for every input: a capsule holds tensors of one shape; "
            "leave that output out of the file"
        )
    found = metrics.compare_outputs(outputs if expected is None else expected, outputs)
    if not found.equal:
        raise ParityError(
            f"{path} computes {found.differing} of {found.values} output values otherwise than expected, "
            f"on {runtime.name}: no capsule was made of it"
        )
    try:
        record = Numerics.from_text(runtime.metadata(path).get(KEY, Numerics().to_text()))
    except ValueError as error:
        raise ModelRefusedError(
            f"{path}: its metadata '{KEY}' is damaged ({error}): export it again"
        ) from None
    if isinstance(session, TfliteSession):
        names = tuple(
            [session.file.tensors[i].name for i in indices]
            for indices in (session.file.inputs, session.file.outputs)
        )
    elif isinstance(session, OnnxRuntimeSession):
        names = list(session.input_names), list(session.output_names)
    else:
        raise UsageError(f"no capsule can be made of files for {runtime.name}")
    target = path.suffix.removeprefix(".").lower()
    return Capsule(
        target=target,
        exact=record.mode == "exact",
        model=read_model(path),
        inputs=tuple(
            Tensor(name, _to_file(value, _has_images(session, target, value)))
            for name, value in zip(names[0], inputs, strict=True)
        ),
        outputs=tuple(
            Tensor(name, _to_file(value, _has_images(session, target, value, i)))
            for i, (name, value) in enumerate(zip(names[1], outputs, strict=True))
        ),
        packed=_packed(session, inputs),
    )


def replay(capsule: Capsule | Path, session: Session | None = None) -> Replay:
    """Runs a capsule's model on its inputs and compares what it computes.

    Args:
        capsule: one, or the path of its file.
        session: that runs the model, None for the runtime that files of its target are verified on. Packed tensors
            are compared where they are in the file.

    Raises:
        UsageError: the file cannot be read, or the session takes other inputs.
        ModelRefusedError: the capsule or its model is damaged.
        RuntimeMissingError: the runtime is not installed.
    """
    if isinstance(capsule, Path):
        capsule = capsules.read_capsule(capsule)
    session = session or _open(capsule)
    target = capsule.target
    inputs = [_to_graph(t.values, _has_images(session, target, t.values)) for t in capsule.inputs]
    expected = [
        _to_graph(t.values, _has_images(session, target, t.values, i)) for i, t in enumerate(capsule.outputs)
    ]
    outputs = metrics.compare_outputs(expected, session.run(inputs))
    wanted = {tensor.name: tensor for tensor in capsule.packed}
    packed = [tensor for tensor in _packed(session, inputs) if tensor.name in wanted]
    differing = tuple(t.name for t in packed if not np.array_equal(t.hashes, wanted[t.name].hashes))
    return Replay(outputs, len(packed), differing)


def packed_tensors(file: TfliteFile) -> tuple[int, ...]:
    """The indices of the tensors that hold packed signs, in the order of computation."""
    return tuple(
        index
        for operator in file.operators
        if operator.name in _PACKERS
        for index in operator.outputs
        if file.tensors[index].type == INT32
    )


def _packed(session: Session, inputs: Sequence[FloatArray]) -> tuple[PackedSigns, ...]:
    if not isinstance(session, TfliteSession):
        return ()
    indices = packed_tensors(session.file)
    if not indices:
        return ()
    words: list[Array] = session.run_stored(indices, inputs)
    return tuple(
        PackedSigns(session.file.tensors[index].name, value.shape[1:], hash_words(value))
        for index, value in zip(indices, words, strict=True)
    )


def _open(capsule: Capsule) -> Session:
    suffix = f".{capsule.target}"
    runtime = registry.for_file(Path(f"capsule{suffix}"))
    with ScratchFolder("fdabnn-replay-") as folder:
        path = folder.path / f"capsule{suffix}"
        path.write_bytes(capsule.model)
        return runtime.open(path)


def _has_images(session: Session, target: str, values: Array, output: int | None = None) -> bool:
    """Whether an input, or the output of this number, lies as NHWC in the file: TFLite holds images so, ONNX as the graph does."""
    if output is not None and isinstance(session, TfliteSession):
        return session.tensor_map.outputs[output].layout is Layout.NHWC
    return target == "tflite" and values.ndim == 4


def _to_file(values: Array, images: bool) -> Array:
    return np.ascontiguousarray(values.transpose(0, 2, 3, 1) if images else values)


def _to_graph(values: Array, images: bool) -> Array:
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2) if images else values)
