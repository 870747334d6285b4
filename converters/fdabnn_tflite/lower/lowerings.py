"""Which function emits which operator."""

from __future__ import annotations

from collections.abc import Callable

from fdabnn_deploy.ir.graph import Node
from fdabnn_deploy.ir.ops import Op
from fdabnn_tflite.emitter import Emitter

Lowering = Callable[[Emitter, Node], None]

LOWERINGS: dict[type[Op], Lowering] = {}
"""By operator. `Input` becomes an input of the file and needs no function."""


def lowers(*kinds: type[Op]) -> Callable[[Lowering], Lowering]:
    """Registers the function that emits some operators."""

    def register(lowering: Lowering) -> Lowering:
        LOWERINGS.update(dict.fromkeys(kinds, lowering))
        return lowering

    return register
