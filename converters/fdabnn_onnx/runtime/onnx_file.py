"""Reads what the ONNX Runtime session needs of a file, without the `onnx` package, which devices do not have.

An ONNX file is one protobuf message `ModelProto` (onnx/onnx.proto): field 7 is the graph, field 8 an operator set (1 its domain), field 14
a metadata entry (1 key, 2 value); in the graph field 1 is a node (1 one of its inputs, 2 one of its outputs, 3 its name, 4 its operator,
5 an attribute, 7 the operator's domain), field 5 an initialiser (1 its dimensions, 8 its name, 9 its values) and field 12 an output (1 its
name); in an attribute 1 is the name, 3 a single integer and 8 one of several. Wire format: https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MODEL_GRAPH, MODEL_OPSETS, MODEL_METADATA = 7, 8, 14
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_OUTPUT = 1, 5, 12
NODE_INPUT, NODE_OUTPUT, NODE_NAME, NODE_OPERATOR, NODE_ATTRIBUTE, NODE_DOMAIN = 1, 2, 3, 4, 5, 7
TENSOR_DIMENSION, TENSOR_NAME, TENSOR_RAW_DATA = 1, 8, 9
ATTRIBUTE_NAME, ATTRIBUTE_INTEGER, ATTRIBUTE_INTEGERS = 1, 3, 8
ENTRY_KEY, ENTRY_VALUE = 1, 2
VALUE_NAME = 1
OPSET_DOMAIN, OPSET_VERSION = 1, 2

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


class DamagedError(ValueError):
    """The bytes are not a protobuf message."""


@dataclass(frozen=True)
class NodeInfo:
    """A node of the graph: its operator with the domain ("" for ONNX's own), and its attributes of integers."""

    name: str
    operator: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    integers: dict[str, tuple[int, ...]]


def entry(message: memoryview) -> tuple[str, str]:
    """Key and value of an entry of strings."""
    return _string(message, ENTRY_KEY), _string(message, ENTRY_VALUE)


def text_of(message: memoryview, number: int) -> str:
    """The text of a field of a message, empty where it is missing."""
    return _string(message, number)


def integers_of(message: memoryview, number: int) -> list[int]:
    """The values of a field of integers."""
    return list(_integers(message, number))


def metadata(content: bytes) -> dict[str, str]:
    """The metadata entries of a model.

    Raises:
        DamagedError: the file is not a protobuf message.
    """
    return dict(entry(message) for message in _messages(memoryview(content), MODEL_METADATA))


def domains(content: bytes) -> set[str]:
    """The domains whose operators a model uses, "" for ONNX's own.

    Raises:
        DamagedError: the file is not a protobuf message.
    """
    return set(opsets(content))


def opsets(content: bytes) -> dict[str, int]:
    """The versions of the operator sets that a model uses by domain, "" for ONNX's own.

    Raises:
        DamagedError: the file is not a protobuf message.
    """
    return {
        _string(opset, OPSET_DOMAIN): max(_integers(opset, OPSET_VERSION), default=0)
        for opset in _messages(memoryview(content), MODEL_OPSETS)
    }


def computed_tensors(content: bytes) -> list[str]:
    """The names of all tensors that nodes make, in the file's order, but for constants that are made of constants.

    Raises:
        DamagedError: the file is not a protobuf message.
    """
    found = []
    for graph in _messages(memoryview(content), MODEL_GRAPH):
        constants = {_string(tensor, TENSOR_NAME) for tensor in _messages(graph, GRAPH_INITIALIZER)}
        for node in _messages(graph, GRAPH_NODE):
            outputs = [_text(bytes(name)) for name in _messages(node, NODE_OUTPUT) if name]
            inputs = [_text(bytes(name)) for name in _messages(node, NODE_INPUT) if name]
            if inputs and constants.issuperset(inputs):
                constants.update(outputs)
            else:
                found += outputs
    return found


def nodes(content: bytes) -> list[NodeInfo]:
    """All nodes in the file's order.

    Raises:
        DamagedError: the file is not a protobuf message.
    """
    return [
        NodeInfo(
            _string(node, NODE_NAME),
            _string(node, NODE_OPERATOR),
            _string(node, NODE_DOMAIN),
            tuple(_text(bytes(name)) for name in _messages(node, NODE_INPUT)),
            tuple(_text(bytes(name)) for name in _messages(node, NODE_OUTPUT)),
            {
                _string(attribute, ATTRIBUTE_NAME): (
                    *_integers(attribute, ATTRIBUTE_INTEGER),
                    *_integers(attribute, ATTRIBUTE_INTEGERS),
                )
                for attribute in _messages(node, NODE_ATTRIBUTE)
            },
        )
        for graph in _messages(memoryview(content), MODEL_GRAPH)
        for node in _messages(graph, GRAPH_NODE)
    ]


def initializer_shapes(content: bytes) -> dict[str, tuple[int, ...]]:
    """The shapes of the constants by name.

    Raises:
        DamagedError: the file is not a protobuf message.
    """
    return {
        _string(tensor, TENSOR_NAME): tuple(_integers(tensor, TENSOR_DIMENSION))
        for graph in _messages(memoryview(content), MODEL_GRAPH)
        for tensor in _messages(graph, GRAPH_INITIALIZER)
    }


def initializer_bytes(content: bytes) -> int:
    """The bytes of the values of all constants, where they stand as such, as in files of this project.

    Raises:
        DamagedError: the file is not a protobuf message.
    """
    return sum(
        len(values)
        for graph in _messages(memoryview(content), MODEL_GRAPH)
        for tensor in _messages(graph, GRAPH_INITIALIZER)
        for values in _messages(tensor, TENSOR_RAW_DATA)
    )


def with_outputs(content: bytes, names: Sequence[str]) -> bytes:
    """The model with further tensors as outputs, their types left to inference.

    Protobuf merges a message field that occurs twice, so a second graph that holds nothing but outputs, put behind the file, adds them.
    """
    outputs = b"".join(
        length_delimited(GRAPH_OUTPUT, length_delimited(VALUE_NAME, name.encode())) for name in names
    )
    return content + length_delimited(MODEL_GRAPH, outputs)


def with_metadata(content: bytes, key: str, value: str) -> bytes:
    """The model with one more metadata entry."""
    entry = length_delimited(ENTRY_KEY, key.encode()) + length_delimited(ENTRY_VALUE, value.encode())
    return content + length_delimited(MODEL_METADATA, entry)


def _messages(message: memoryview, wanted: int) -> Iterator[memoryview]:
    """The values of one length-delimited field of a message."""
    for field in fields(message):
        if field.number == wanted and not isinstance(field.value, int):
            yield field.value


def _integers(message: memoryview, wanted: int) -> Iterator[int]:
    """The values of one field of integers, packed or one by one."""
    for field in fields(message):
        if field.number != wanted:
            continue
        if isinstance(field.value, int):
            yield field.value
            continue
        position = 0
        while position < len(field.value):
            item, position = _varint(field.value, position)
            yield item


def _string(message: memoryview, wanted: int) -> str:
    return _text(b"".join(_messages(message, wanted)))


@dataclass(frozen=True)
class Field:
    """A field of a message: its number, its value (an integer, or bytes), and the bytes of both as they stand in the file.

    Values of 4 and 8 bytes are bytes, too.
    """

    number: int
    value: memoryview | int
    raw: memoryview


def fields(message: memoryview) -> Iterator[Field]:
    """Every field of a message, in order.

    Raises:
        DamagedError: the bytes are no protobuf message.
    """
    position = 0
    while position < len(message):
        start = position
        tag, position = _varint(message, position)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise DamagedError(f"field number 0 at byte {position} of {len(message)}")
        if wire == _VARINT:
            value, position = _varint(message, position)
            yield Field(number, value, message[start:position])
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(wire)
        if wire == _LENGTH:
            size, position = _varint(message, position)
        if size is None or position + size > len(message):
            raise DamagedError(f"no protobuf field at byte {position} of {len(message)}")
        end = position + size
        yield Field(number, message[position:end], message[start:end])
        position = end


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


def length_delimited(number: int, value: bytes) -> bytes:
    """A field with its number and length in front."""
    return _number(number << 3 | _LENGTH) + _number(len(value)) + value


def _number(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
