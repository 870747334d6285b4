"""The converter of target `tflite`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from fdabnn_deploy.converter import Artifact, ConvertOptions
from fdabnn_deploy.errors import FdabnnError, UsageError
from fdabnn_deploy.graph import Graph
from fdabnn_deploy.model_info import ModelInfo
from fdabnn_deploy.runtimes.tflite_file import INT32, TfliteFile, parse_tflite
from fdabnn_tflite.emitter import Emitter
from fdabnn_tflite.finish import finish_file
from fdabnn_tflite.layout import choose_flipped
from fdabnn_tflite.saved_model import build_flatbuffer


class TfliteConverter:
    """Writes TFLite files with the binary operators of Larq Compute Engine; implements `fdabnn_deploy.converter.Converter`.

    Pictures are NHWC in the file. `fdabnn_deploy.runtimes.tflite_file.TENSORS_KEY` names the metadata that leads from the file's
    tensors back to the graph's.
    """

    target = "tflite"
    suffix = ".tflite"
    runtimes: tuple[str, ...] = ("lce",)

    def convert(self, graph: Graph, info: ModelInfo, path: Path, options: ConvertOptions) -> Artifact:
        """See `Converter.convert`.

        Raises:
            ModelRefusedError: an operator has no TFLite form.
            UsageError: the batch size is no positive number, or the file cannot be written.
            RuntimeMissingError: TensorFlow or LCE is not installed.
            FdabnnError: a binary layer came out as a float one.
        """
        if options.batch is not None and options.batch < 1:
            raise UsageError(f"batch size {options.batch}: give a positive number, or 'dynamic'")
        flipped = choose_flipped(graph)
        data, emitter, results = build_flatbuffer(graph, flipped, options.batch)
        finished = finish_file(data, emitter, info.metadata())
        file = parse_tflite(finished)
        check_counts(file, emitter, results)
        write_aside(path, finished)
        return Artifact(self.target, path, file.op_counts(), _notes(emitter, options))


def check_counts(file: TfliteFile, emitter: Emitter, results: Sequence[Any]) -> None:
    """Compares the binary operators of the finished file with what was emitted.

    - `LceBconv2d`: one per binary layer; one per group of a grouped convolution.
    - `LceBMaxPool2d`: one per max-pool that only one sign reads.
    - `LceQuantize`: one per sign, except those that the binary layer in front of them computes itself: its file operator then writes
      packed int32 instead of floats. LCE does this where the layer's accumulator, after scale and offset, goes to this sign (or to
      this sign through a max-pool) and nowhere else, and the layer does not pad zeros.

    Args:
        file: finished.
        emitter: that lowered the graph.
        results: the function's outputs.

    Raises:
        FdabnnError: the file lacks a binary operator, or has one too many.
    """
    counts = file.op_counts()
    returned = {result.op.name for result in results}
    packing = [
        operator
        for operator in file.operators
        if operator.name == "LceBconv2d" and file.tensors[operator.outputs[0]].type == INT32
    ]
    expected = {
        "LceBconv2d": len(emitter.binary_layers),
        "LceBMaxPool2d": sum(
            pool.op.name not in returned and [reader.type for reader in pool.consumers()] == ["Less"]
            for pool in emitter.pools
        ),
        "LceQuantize": len(emitter.signs) - len(packing),
    }
    wrong = [
        f"{counts.get(name, 0)} {name} instead of {number}"
        for name, number in expected.items()
        if counts.get(name, 0) != number
    ]
    if wrong:
        found = Counter(operator.name for operator in file.operators if operator.name == "CONV_2D")
        layers = ", ".join(sorted(set(emitter.binary_layers.values())))
        raise FdabnnError(
            f"the TFLite file has {' and '.join(wrong)} ({found['CONV_2D']} float CONV_2D); nothing was written. Binary layers: "
            f"{layers or 'none'}. This is a bug of fdabnn-deploy: please report it with the network"
        )


def write_aside(path: Path, data: bytes) -> None:
    """Writes a file so that it is there completely or not at all.

    Raises:
        UsageError: the folder does not exist or cannot be written to.
    """
    try:
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as aside:
            try:
                aside.write(data)
                aside.flush()
                Path(aside.name).chmod(0o666 & ~_umask())
                Path(aside.name).replace(path)
            except BaseException:
                Path(aside.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _notes(emitter: Emitter, options: ConvertOptions) -> tuple[str, ...]:
    notes = []
    if emitter.flipped:
        notes.append(
            "the network works on mirrored pictures, so that TensorFlow's padding is PyTorch's; the file mirrors its input itself"
        )
    if options.batch is None:
        notes.append("the file says batch 1; runtimes that can resize inputs take any batch")
    elif options.batch > 1:
        notes.append(f"LCE's interpreter refuses batch {options.batch}: other runtimes only")
    return tuple(notes)
