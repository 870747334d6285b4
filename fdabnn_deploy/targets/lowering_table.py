"""The table by which a target writes operators one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from fdabnn_deploy.ir.graph import Node
from fdabnn_deploy.ir.ops import Op

Lowering = Callable[[Any, Node, Any], None]
"""Takes the target's emitter, the node and its operator."""

F = TypeVar("F", bound=Lowering)


class Lowerings(dict[type[Op], Lowering]):
    """Which function writes which operator. `Input` becomes an input of the file and needs none."""

    def lowers(self, *kinds: type[Op]) -> Callable[[F], F]:
        """Registers the function that writes some operators."""

        def register(lowering: F) -> F:
            self.update(dict.fromkeys(kinds, lowering))
            return lowering

        return register
