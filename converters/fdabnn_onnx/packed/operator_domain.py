"""The domain of the packed operators, and how a node of it is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, helper, numpy_helper

from fdabnn_onnx.emitter import Emitter

DOMAIN = "fdabnn"
VERSION = 1


def is_packed(model: ModelProto) -> bool:
    """Whether a model has operators of the domain."""
    return any(node.domain == DOMAIN for node in model.graph.node)


def emit(to: Emitter, op_type: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> None:
    """Adds a node of the domain, named after its first result; empty names are inputs and outputs left out."""
    name = next(output for output in outputs if output)
    present = list(inputs)
    while present and not present[-1]:
        present.pop()
    to.nodes.append(helper.make_node(op_type, present, list(outputs), name=name, domain=DOMAIN, **attributes))


def constant(to: Emitter, name: str, value: NDArray[Any]) -> str:
    """Adds an initialiser that no other node shares, and returns its name."""
    name = to.fresh(name)
    to.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
    return name
