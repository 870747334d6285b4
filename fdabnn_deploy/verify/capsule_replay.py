"""Fills golden capsules from exported files, and replays them on a runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fdabnn_deploy.errors import ModelRefusedError, ParityError
from fdabnn_deploy.exact.record import KEY, Numerics
from fdabnn_deploy.ir.ops import Array, FloatArray
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.runtimes.base import Session
from fdabnn_deploy.system.scratch import ScratchFolder
from fdabnn_deploy.targets import installed as targets
from fdabnn_deploy.verify import capsule as capsules
from fdabnn_deploy.verify import metrics
from fdabnn_deploy.verify.capsule import Capsule, PackedSigns, Tensor, hash_words
from fdabnn_deploy.verify.metrics import Comparison

DEFAULT_INPUTS = 16


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
    out: Path, files: Sequence[Path], inputs: Sequence[Array], expected: Sequence[FloatArray]
) -> Capsule:
    """Writes the capsule of an export: of a file whose packed signs it can check, else of the first that devices take.

    Args:
        out: the capsule's file.
        files: that were exported, at least one.
        inputs: as `build` takes them; the first `DEFAULT_INPUTS` are recorded.
        expected: the outputs of the deployed graph for `inputs`.

    Raises:
        NotWrittenError: the capsule cannot be written.
        ParityError: a runtime computes other bits than expected.
    """
    places = {target.suffix: place for place, target in enumerate(targets.in_order_for_capsules())}
    path = min(files, key=lambda file: places.get(file.suffix, len(places)))
    first = [[value[:DEFAULT_INPUTS] for value in values] for values in (inputs, expected)]
    capsule = build(path, *first)
    capsules.write_capsule(out, capsule)
    return capsule


def build(path: Path, inputs: Sequence[Array], expected: Sequence[FloatArray] | None = None) -> Capsule:
    """Runs an exported file and puts it, its inputs and what it computed into a capsule.

    Args:
        path: of the file.
        inputs: one array [N, ...] per input of the model, float32 or pixels, in the graph's layout (NCHW); some tens of images
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
    metadata = runtime.metadata(path)
    try:
        record = Numerics.from_text(metadata.get(KEY, Numerics().to_text()))
    except ValueError as error:
        raise ModelRefusedError(
            f"{path}: its metadata '{KEY}' is damaged ({error}): export it again"
        ) from None
    tensors = session.file_tensors()
    target = targets.for_suffix(path)
    assert target is not None
    return Capsule(
        target=target.name,
        exact=record.mode == "exact",
        model=target.read(path),
        inputs=tuple(
            Tensor(tensor.name, _to_file(value, tensor.channels_last))
            for tensor, value in zip(tensors.inputs, inputs, strict=True)
        ),
        outputs=tuple(
            Tensor(tensor.name, _to_file(value, tensor.channels_last))
            for tensor, value in zip(tensors.outputs, outputs, strict=True)
        ),
        packed=_packed(session, inputs),
        same_accuracy=bool(metadata.get("fidelity")),
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
    tensors = session.file_tensors()
    inputs, expected = (
        [_to_graph(tensor.values, place.channels_last) for tensor, place in zip(stored, places, strict=True)]
        for stored, places in ((capsule.inputs, tensors.inputs), (capsule.outputs, tensors.outputs))
    )
    outputs = metrics.compare_outputs(expected, session.run(inputs))
    wanted = {tensor.name: tensor for tensor in capsule.packed}
    packed = [tensor for tensor in _packed(session, inputs) if tensor.name in wanted]
    differing = tuple(t.name for t in packed if not np.array_equal(t.hashes, wanted[t.name].hashes))
    return Replay(outputs, len(packed), differing)


def _packed(session: Session, inputs: Sequence[Array]) -> tuple[PackedSigns, ...]:
    return tuple(
        PackedSigns(name, words.shape[1:], hash_words(words))
        for name, words in session.packed_signs(inputs).items()
    )


def _open(capsule: Capsule) -> Session:
    suffix = f".{capsule.target}"
    runtime = registry.for_file(Path(f"capsule{suffix}"))
    with ScratchFolder("fdabnn-replay-") as folder:
        path = folder.path / f"capsule{suffix}"
        path.write_bytes(capsule.model)
        return runtime.open(path)


def _to_file(values: Array, images: bool) -> Array:
    return np.ascontiguousarray(values.transpose(0, 2, 3, 1) if images else values)


def _to_graph(values: Array, images: bool) -> Array:
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2) if images else values)
