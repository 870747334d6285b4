"""The operators of a TFLite file, for profiles."""

from __future__ import annotations

import math
from pathlib import Path

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.measure.profiles.operators import OURS, Operator
from fdabnn_deploy.prove.rows import UnprovedError
from fdabnn_tflite.prove.flexbuffer import integer_map
from fdabnn_tflite.runtime import tflite_file
from fdabnn_tflite.runtime.flatbuffer import root

_WORD = 32


def operators(path: Path) -> tuple[Operator, ...]:
    """The operators of a file in its order; see `fdabnn_deploy.measure.profiles.operators`.

    Raises:
        UsageError: the file cannot be read.
        ModelRefusedError: it is damaged.
        RuntimeMissingError: the runtime for its shapes is not installed.
    """
    file = tflite_file.read_tflite(path)
    ours = OURS in file.metadata
    tables = list(next(iter(root(file.data, tflite_file.IDENTIFIER).tables(2))).tables(3))
    writers: dict[int, int] = {}
    found: list[Operator] = []
    for i, operator in enumerate(file.operators):
        shapes = [file.tensors[t].shape if t >= 0 else () for t in operator.inputs]
        outputs = [file.tensors[t] for t in operator.outputs]
        name = outputs[0].name if outputs else operator.name
        binary = operator.name == "LceBconv2d"
        try:
            options = integer_map(tables[i].octets(5)) if binary else {}
            macs = _tflite_macs(operator.name, shapes, outputs[0].shape if outputs else (), options)
        except (UnprovedError, IndexError, KeyError, ZeroDivisionError) as error:
            raise ModelRefusedError(f"{path}: operator {i}, {operator.name}, is damaged: {error}") from None
        packer = None
        owner = name
        if binary:
            owner = file.tensors[operator.inputs[0]].name
            writer = writers.get(operator.inputs[0])
            packer = writer if writer is not None and found[writer].type == "LceQuantize" else None
        layer = owner.partition("/")[0] if ours else name
        reads = tuple(dict.fromkeys(writers[t] for t in operator.inputs if t in writers))
        found.append(Operator(name, name, operator.name, layer, macs, binary, packer, reads))
        writers.update(dict.fromkeys(operator.outputs, i))
    return tuple(found)


def constant_bytes(content: bytes) -> int:
    """The bytes of all constants of the main subgraph; one that several tensors share counts once."""
    model = root(content, tflite_file.IDENTIFIER)
    buffers = list(model.tables(4))
    used = {tensor.number(2, "<I") for tensor in next(iter(model.tables(2))).tables(0)}
    return sum((buffers[index].span(0, 1) or (0, 0))[1] for index in used)


def _tflite_macs(
    name: str, inputs: list[tuple[int, ...]], output: tuple[int, ...], options: dict[str, int]
) -> int:
    """Multiply-adds of one image; filters are [O, kh, kw, C / groups], depthwise ones [1, kh, kw, O], dense ones [O, C]."""
    pixels = math.prod(output[1:-1])
    if name == "LceBconv2d":
        outputs, height, width, words = inputs[1]
        channels = options["channels_in"]
        groups = max(1, -(-channels // _WORD) // words)
        return pixels * outputs * height * width * (channels // groups)
    if name == "CONV_2D":
        return pixels * math.prod(inputs[1])
    if name == "DEPTHWISE_CONV_2D":
        return pixels * math.prod(inputs[1])
    if name == "FULLY_CONNECTED":
        return pixels * math.prod(inputs[1])
    return 0
