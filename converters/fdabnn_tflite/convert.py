"""The converter of target `tflite`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fdabnn_deploy.errors import FdabnnError, UsageError
from fdabnn_deploy.ir.composites import decompose
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.system.files import write_whole
from fdabnn_deploy.targets.converter import Artifact, ConvertOptions
from fdabnn_tflite.emitter import Emitter
from fdabnn_tflite.finish import finish_file
from fdabnn_tflite.format_limits import check_graph
from fdabnn_tflite.registration import TARGET
from fdabnn_tflite.runtime.tflite_file import INT32, TfliteFile, parse_tflite
from fdabnn_tflite.saved_model import build_flatbuffer
from fdabnn_tflite.tensor_layout import choose_flipped
from fdabnn_tflite.writer import write_flatbuffer


class TfliteConverter:
    """Writes TFLite files with the binary operators of Larq Compute Engine; implements `fdabnn_deploy.targets.converter.Converter`.

    Images are NHWC in the file. `fdabnn_tflite.runtime.tensors` describes the metadata by which a tensor of the file is found in
    the graph.
    """

    def convert(self, graph: Graph, info: ModelInfo, path: Path, options: ConvertOptions) -> Artifact:
        """See `Converter.convert`.

        Raises:
            ModelRefusedError: an operator has no TFLite form, or a file cannot hold the graph.
            UsageError: the batch size is not a positive number.
            NotWrittenError: the file cannot be written.
            RuntimeMissingError: TensorFlow or LCE is not installed.
            FdabnnError: the file has a float layer where the graph has a binary one.
        """
        if options.batch is not None and options.batch < 1:
            raise UsageError(f"batch size {options.batch}: give a positive number, or 'dynamic'")
        graph = decompose(graph)
        check_graph(graph, options.batch)
        if options.via == "lce":
            finished, emitter = _via_lce(graph, info, options.batch)
        else:
            finished, emitter = _written(graph, info, options)
        write_whole(path, finished)
        return Artifact(TARGET.name, path, parse_tflite(finished).op_counts(), _notes(emitter, options))

    def variants(
        self, graph: Graph, info: ModelInfo, artifact: Artifact, options: ConvertOptions, folder: Path
    ) -> dict[str, Path]:
        """With `--via both` the file of LCE's converter; there is no optimiser of TFLite files to try."""
        if options.via != "both":
            return {}
        path = folder / f"{artifact.path.stem}.lce{TARGET.suffix}"
        write_whole(path, _via_lce(decompose(graph), info, options.batch)[0])
        return {"LCE's converter": path}


CONVERTER = TfliteConverter()


def _written(graph: Graph, info: ModelInfo, options: ConvertOptions) -> tuple[bytes, Emitter]:
    integers = options.constants == "integer"
    finished, recorder = write_flatbuffer(
        graph, choose_flipped(graph), options.batch, info, integers=integers
    )
    layers = parse_tflite(finished).op_counts().get("LceBconv2d", 0)
    if layers != len(recorder.binary_layers):
        raise FdabnnError(
            f"the TFLite file has {layers} binary layers instead of {len(recorder.binary_layers)}, and nothing was written. This is a "
            "bug of fdabnn-deploy: please report it with the network"
        )
    return finished, recorder


def _via_lce(graph: Graph, info: ModelInfo, batch: int | None) -> tuple[bytes, Emitter]:
    data, emitter, results = build_flatbuffer(graph, choose_flipped(graph), batch)
    finished = finish_file(data, emitter, info, resizable=batch is None)
    check_counts(parse_tflite(finished), emitter, results)
    return finished, emitter


def check_counts(file: TfliteFile, emitter: Emitter, results: Sequence[Any]) -> None:
    """Compares the binary operators of the finished file with what was emitted.

    - `LceBconv2d`: one per binary layer; one per group of a grouped convolution.
    - `LceBMaxPool2d`: at least one per max-pool whose only reader is a sign or another such max-pool; more where TensorFlow removes
      reshapes in between.
    - `LceQuantize`: one per sign, except those that the binary layer in front of them computes itself: its `LceBconv2d` then writes
      signs packed into int32 instead of floats. LCE does this where the layer's accumulator, after scale and offset, goes to this sign
      (or to this sign through a max-pool) and nowhere else, and the layer does not pad zeros.

    Args:
        file: the finished file.
        emitter: the one that lowered the graph.
        results: outputs of the TensorFlow function that was converted.

    Raises:
        FdabnnError: a number differs.
    """
    counts = file.op_counts()
    returned = {result.op.name for result in results}
    binary = [operator for operator in file.operators if operator.name == "LceBconv2d"]
    packing = [operator for operator in binary if file.tensors[operator.outputs[0]].type == INT32]
    expected = {
        "LceBconv2d": len(emitter.binary_layers),
        "LceBMaxPool2d": sum(_pools_signs(pool, returned) for pool in emitter.pools),
        "LceQuantize": len(emitter.signs) - len(packing),
    }
    wrong = [
        f"{counts.get(name, 0)} {name} instead of {number}"
        for name, number in expected.items()
        if (counts.get(name, 0) < number if name == "LceBMaxPool2d" else counts.get(name, 0) != number)
    ]
    if wrong:
        weights = {file.tensors[operator.inputs[1]].name for operator in binary}
        lost = [layer for layer in emitter.binary_layers.values() if f"{layer}/weight" not in weights]
        raise FdabnnError(
            f"the TFLite file has {' and '.join(wrong)}, and nothing was written. Layers that came out as float ones: "
            f"{', '.join(sorted(set(lost))) or 'none'}. This is a bug of fdabnn-deploy: please report it with the network"
        )


def _pools_signs(pool: Any, returned: set[str]) -> bool:
    """Whether LCE packs the signs before this max-pool: its only reader is a sign or another such max-pool."""
    readers = pool.consumers()
    if pool.op.name in returned or len(readers) != 1:
        return False
    return readers[0].type == "Less" or (
        readers[0].type == "MaxPool" and _pools_signs(readers[0].outputs[0], returned)
    )


def _notes(emitter: Emitter, options: ConvertOptions) -> tuple[str, ...]:
    notes = []
    if emitter.flipped:
        notes.append(
            "the network works on mirrored images, so that TensorFlow's padding is PyTorch's; the file mirrors its input itself"
        )
    if options.batch is None:
        notes.append("the file says batch 1; runtimes that can resize inputs take any batch")
    elif options.batch > 1:
        notes.append(
            f"LCE's own interpreter refuses batch {options.batch}; it is verified with batch 1, for other runtimes to use"
        )
    return tuple(notes)
