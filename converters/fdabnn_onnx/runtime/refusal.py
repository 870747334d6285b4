"""Why ONNX Runtime, or the check in front of it, does not take a file: in one sentence that is true, with the remedy.

Not everything that is refused is damaged. A sound file may be newer than the runtime, use operators of somebody's own, or leave open what
has to be known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_onnx.runtime import onnx_file
from fdabnn_onnx.runtime.onnx_file import DamagedError

_INPUT, _OUTPUT = 11, 12
_VALUE_TYPE, _TENSOR_TYPE, _SHAPE = 2, 1, 2
_UNKNOWN_OPERATORS = (
    re.compile(r"(?P<domain>[\w.\-]*):(?P<operator>\w+)\(-?\d+\) is not a registered function/op"),
    re.compile(r"No Op registered for (?P<operator>\w+) with domain_version of \d+"),
    re.compile(r"No opset import for domain '?(?P<domain>[\w.\-]+)"),
)
_NEWER = (
    (re.compile(r"[Oo]pset (\d+) is under development"), "operator set", "convert it to an older one"),
    (re.compile(r"ValidateOpsetForDomain"), "operator set", "convert it to an older one"),
    (re.compile(r"IR version: (\d+)|ir_version (\d+)"), "format version", "write it with an older one"),
)
_LONGEST = 200


def refused(name: str, content: bytes, error: Exception) -> ModelRefusedError:
    """The error for a file that is not taken.

    Args:
        name: of the file in the message.
        content: of it.
        error: of ONNX Runtime or the check.
    """
    text = " ".join(str(error).split())
    try:
        reason = _of_a_sound_file(content, text)
    except DamagedError:
        reason = ""
    if reason:
        return ModelRefusedError(f"{name} {reason}")
    return damaged(name, error)


def damaged(name: str, error: Exception) -> ModelRefusedError:
    """The error for a file of which nothing better is known."""
    reason = " ".join(str(error).split())[:_LONGEST] or type(error).__name__
    return ModelRefusedError(
        f"{name} is damaged or not an ONNX model that ONNX Runtime can run: {reason}; export it again"
    )


def _of_a_sound_file(content: bytes, text: str) -> str:
    """Why a sound file is refused, as a sentence: a newer runtime or operator is needed; empty if it is not that."""
    for pattern, what, remedy in _NEWER:
        found = pattern.search(text)
        if found:
            number = next(filter(None, found.groups()), None) or _opset(content)
            return f"has {what} {number}, which is newer than the installed packages know: update onnxruntime and onnx, or {remedy}"
    for pattern in _UNKNOWN_OPERATORS:
        found = pattern.search(text)
        if found:
            parts = found.groupdict()
            operator = f"the operator {parts['operator']}" if parts.get("operator") else "operators"
            domain = parts.get("domain") or ""
            of = f"of the domain {domain}" if domain else "of ONNX's own domain"
            return f"uses {operator} {of}, which ONNX Runtime does not know: leave it out, or write it as a function of standard operators"
    for kind, value in _without_shape(content):
        return (
            f"does not say how many dimensions its {kind} {value} has: give it a shape "
            "(of outputs, onnx.shape_inference.infer_shapes finds it)"
        )
    return ""


def _opset(content: bytes) -> int:
    return max(onnx_file.opsets(content).values(), default=0)


def _graphs(content: bytes) -> Iterator[memoryview]:
    for field in onnx_file.fields(memoryview(content)):
        if field.number == onnx_file.MODEL_GRAPH and not isinstance(field.value, int):
            yield field.value


def _without_shape(content: bytes) -> Iterator[tuple[str, str]]:
    """Inputs and outputs that are tensors of unknown rank."""
    for graph in _graphs(content):
        for field in onnx_file.fields(graph):
            if field.number in {_INPUT, _OUTPUT} and not isinstance(field.value, int):
                kinds = _inside(field.value, _VALUE_TYPE)
                tensors = [tensor for kind in kinds for tensor in _inside(kind, _TENSOR_TYPE)]
                if tensors and not any(_inside(tensor, _SHAPE) for tensor in tensors):
                    name = onnx_file.text_of(field.value, onnx_file.VALUE_NAME)
                    yield "input" if field.number == _INPUT else "output", name


def _inside(message: memoryview, number: int) -> list[memoryview]:
    return [
        field.value
        for field in onnx_file.fields(message)
        if field.number == number and not isinstance(field.value, int)
    ]
