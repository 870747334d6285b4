"""Which function writes which operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from fdabnn_deploy.ir.graph import Node
from fdabnn_deploy.ir.ops import Op
from fdabnn_onnx.emitter import Emitter

LOWERINGS: dict[type[Op], Callable[[Emitter, Node, Any], None]] = {}
"""By operator. `Input` becomes an input of the model and needs no node."""

Lowering = TypeVar("Lowering", bound=Callable[[Emitter, Node, Any], None])


def lowers(kind: type[Op]) -> Callable[[Lowering], Lowering]:
    """Registers the function that writes an operator."""

    def register(lowering: Lowering) -> Lowering:
        LOWERINGS[kind] = lowering
        return lowering

    return register
