"""TFLite's own metadata, which TensorFlow's and Android's tools read: normalisation of pixels, range of the input, names of the classes.

An entry `TFLITE_METADATA` of the file holds a FlatBuffer of its own; the names stand in `labels.txt`, in a ZIP archive behind the model.
These tools normalise by `(pixel - mean) / std` with pixels 0..255, which rounds otherwise than `(pixel / 255 - mean) / std`: the same bits
as the trained network come from the latter only (docs/input-contract.md).

Source of the field numbers: tensorflow_lite_support/metadata/metadata_schema.fbs, version 1.5.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.model_info import ModelInfo

KEY = "TFLITE_METADATA"
LABELS = "labels.txt"

_IDENTIFIER = b"M001"
_PIXEL = 255
_AXIS_LABELS, _IMAGE, _NORMALISATION = 2, 2, 1
_COLOURS = {1: 2, 3: 1}
"""ColorSpaceType by the number of channels: greyscale and RGB."""
_TEXT = (
    "Exported by fdabnn-deploy. Pixels normalised as (pixel / 255 - mean) / std, with the file's entries mean and std, give the bits of "
    "the trained network."
)
_TEXT_OF_PIXELS = "Exported by fdabnn-deploy. Takes pixels 0 to 255 and normalises them itself."
_PARSER = "1.0.0"


@dataclass(frozen=True)
class StandardMetadata:
    """The content of the entry, and the files that go behind the model, by name."""

    content: bytes
    files: dict[str, bytes] = field(default_factory=dict)

    def append_files(self, model: bytes) -> bytes:
        """The model with its files behind it, as a ZIP archive whose offsets count from the model's first byte."""
        if not self.files:
            return model
        buffer = io.BytesIO(model)
        with zipfile.ZipFile(buffer, "a") as archive:
            for name, content in self.files.items():
                # With a date of its own the same graph gives the same bytes.
                archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
        return buffer.getvalue()


def standard_metadata(graph: Graph, info: ModelInfo) -> StandardMetadata | None:
    """The facts that tools can be told of a model; None where nothing is known of its inputs and classes.

    Class names with a line break, which a label file cannot hold, are left out.

    Args:
        graph: deployed.
        info: of the model.
    """
    labels = _labels(graph, info)
    if info.mean is None and info.input_range is None and not labels:
        return None
    # Comes with LiteRT and with TensorFlow, without type information.
    import flatbuffers  # type: ignore[import-untyped]

    writer = _Writer(flatbuffers.Builder(1024))
    inputs = [writer.input(name, graph, info) for name in graph.inputs]
    outputs = [writer.output(name, labels if i == 0 else ()) for i, name in enumerate(graph.outputs)]
    subgraph = writer.table({0: "main", 2: writer.tables(inputs), 3: writer.tables(outputs)})
    text = _TEXT if info.input_format == "float32" else _TEXT_OF_PIXELS
    model = {0: info.name, 1: text, 3: writer.tables([subgraph]), 7: _PARSER}
    writer.builder.Finish(writer.table(model), file_identifier=_IDENTIFIER)
    files = {LABELS: "".join(f"{label}\n" for label in labels).encode()} if labels else {}
    return StandardMetadata(bytes(writer.builder.Output()), files)


def _labels(graph: Graph, info: ModelInfo) -> tuple[str, ...]:
    """The class names, where the first output has a value for each and a line can hold them."""
    fits = graph.shape(graph.outputs[0])[1:] == (len(info.classes),)
    return info.classes if fits and not any(name.splitlines() != [name] for name in info.classes) else ()


class _Reference(int):
    """Offset of what stands in the buffer already."""


class _Writer:
    """Writes tables from the inside out, as FlatBuffers want it."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def input(self, name: str, graph: Graph, info: ModelInfo) -> _Reference:
        """An input's `TensorMetadata`: name, content, normalisation and range, as far as they are known of it."""
        fields: dict[int, Any] = {0: name}
        if graph.shape(name)[1:] == info.input_shape and len(graph.inputs) == 1:
            if len(info.input_shape) == 3:
                colour = _COLOURS.get(info.input_shape[0], 0) if info.channel_order == "rgb" else 0
                fields[3] = self.table({0: _Byte(_IMAGE), 1: self.table({0: _Byte(colour)})})
            if info.input_format == "pixels":
                fields[5] = self.table({0: self.floats([_PIXEL]), 1: self.floats([0])})
                return self.table(fields)
            if info.mean is not None and info.std is not None:
                scaled = (
                    self.floats([_PIXEL * value for value in values]) for values in (info.mean, info.std)
                )
                options = self.table(dict(enumerate(scaled)))
                fields[4] = self.tables([self.table({0: _Byte(_NORMALISATION), 1: options})])
            if info.input_range is not None:
                low, high = info.input_range
                fields[5] = self.table({0: self.floats([high]), 1: self.floats([low])})
        return self.table(fields)

    def output(self, name: str, labels: Sequence[str]) -> _Reference:
        """An output's `TensorMetadata`: its name, and where its classes are named."""
        fields: dict[int, Any] = {0: name}
        if labels:
            fields[6] = self.tables([self.table({0: LABELS, 2: _Byte(_AXIS_LABELS)})])
        return self.table(fields)

    def table(self, fields: dict[int, Any]) -> _Reference:
        """A table of texts, bytes and references, by field number."""
        texts = {
            key: _Reference(self.builder.CreateString(value))
            for key, value in fields.items()
            if isinstance(value, str)
        }
        self.builder.StartObject(max(fields) + 1)
        for key, value in {**fields, **texts}.items():
            if isinstance(value, _Byte):
                self.builder.PrependInt8Slot(key, value, 0)
            else:
                self.builder.PrependUOffsetTRelativeSlot(key, value, 0)
        return _Reference(self.builder.EndObject())

    def tables(self, tables: Sequence[_Reference]) -> _Reference:
        """A vector of tables."""
        self.builder.StartVector(4, len(tables), 4)
        for table in reversed(tables):
            self.builder.PrependUOffsetTRelative(table)
        return _Reference(self.builder.EndVector())

    def floats(self, values: Sequence[float]) -> _Reference:
        """A vector of float32."""
        self.builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            self.builder.PrependFloat32(value)
        return _Reference(self.builder.EndVector())


class _Byte(int):
    """A field of one byte."""
