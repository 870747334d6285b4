"""What the ONNX Runtime session needs to know of a file without the `onnx` package, which devices do not have.

An ONNX file is one protobuf message `ModelProto` (onnx/onnx.proto): field 7 is the graph, field 8 an operator set (1 its domain), field 14
a metadata entry (1 key, 2 value); in the graph field 1 is a node (2 one of its outputs) and field 12 an output (1 its name). Wire format:
https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

MODEL_GRAPH, MODEL_OPSETS, MODEL_METADATA = 7, 8, 14
GRAPH_NODE, GRAPH_OUTPUT = 1, 12
NODE_OUTPUT = 2
ENTRY_KEY, ENTRY_VALUE = 1, 2
VALUE_NAME = 1
OPSET_DOMAIN = 1

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


class DamagedError(ValueError):
    """The bytes are not a protobuf message."""


def metadata(content: bytes) -> dict[str, str]:
    """The metadata entries of a model.

    Raises:
        DamagedError: the file is not a protobuf message.
    """
    entries = {}
    for entry in _messages(memoryview(content), MODEL_METADATA):
        key, value = (b"".join(_messages(entry, field)) for field in (ENTRY_KEY, ENTRY_VALUE))
        entries[_text(key)] = _text(value)
    return entries


def domains(content: bytes) -> set[str]:
    """The domains whose operators a model uses, "" for ONNX's own.

    Raises:
        DamagedError: the file is not a protobuf message.
    """
    return {
        _text(b"".join(_messages(opset, OPSET_DOMAIN)))
        for opset in _messages(memoryview(content), MODEL_OPSETS)
    }


def node_outputs(content: bytes) -> list[str]:
    """The names of all tensors that nodes make, in the file's order.

    Raises:
        DamagedError: the file is not a protobuf message.
    """
    return [
        _text(bytes(name))
        for graph in _messages(memoryview(content), MODEL_GRAPH)
        for node in _messages(graph, GRAPH_NODE)
        for name in _messages(node, NODE_OUTPUT)
        if name
    ]


def with_outputs(content: bytes, names: Sequence[str]) -> bytes:
    """The model with further tensors as outputs, their types left to inference.

    Protobuf merges a message field that occurs twice, so a second graph that holds nothing but outputs, put behind the file, adds them.
    """
    outputs = b"".join(_field(GRAPH_OUTPUT, _field(VALUE_NAME, name.encode())) for name in names)
    return content + _field(MODEL_GRAPH, outputs)


def _messages(message: memoryview, wanted: int) -> Iterator[memoryview]:
    """The values of one length-delimited field of a message."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise DamagedError(f"field number 0 at byte {position} of {len(message)}")
        if wire == _VARINT:
            _, position = _varint(message, position)
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(wire)
        if wire == _LENGTH:
            size, position = _varint(message, position)
        if size is None or position + size > len(message):
            raise DamagedError(f"no protobuf field at byte {position} of {len(message)}")
        if number == wanted and wire == _LENGTH:
            yield message[position : position + size]
        position += size


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            break
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise DamagedError(f"no number ends at byte {position} of {len(message)}")


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise DamagedError("a name is not UTF-8") from None


def _field(number: int, value: bytes) -> bytes:
    return _number(number << 3 | _LENGTH) + _number(len(value)) + value


def _number(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
