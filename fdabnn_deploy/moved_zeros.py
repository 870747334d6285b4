"""Whether the roundings of exact numerics make or take zeros in front of signs that keep them (`sign_zero` "exact").

A sign with three values is `(Sign(x) - Sign(-x)) / 2` in the deployed graph. Where a grid lies between the layer in front of it and x, a
small value may become 0, or a 0 of float arithmetic something else. Sign by sign, both graphs get the float graph's own signs as inputs, so
that only what lies between two signs counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.graph import Graph
from fdabnn_deploy.ops import Affine, Array, FloatArray, RoundToGrid, Sign
from fdabnn_deploy.reproduction import cut
from fdabnn_deploy.runtimes.torch_graph import TorchGraphSession

LARGEST_SHARE = 1e-4
"""Of the values at a sign whose zeros may change; at least one may."""


@dataclass(frozen=True)
class MovedZeros:
    """A sign with three values.

    Attributes:
        module: its module path.
        moved: how many values are 0 in one graph only.
        values: of how many.
        rounding: the rounding in front of it, empty where there is none.
    """

    module: str
    moved: int
    values: int
    rounding: str

    @property
    def too_many(self) -> bool:
        """Whether the deployed sign is another one than the trained."""
        return self.moved > max(1, int(LARGEST_SHARE * self.values))


def moved_zeros(graph: Graph, exact: Graph, images: FloatArray) -> list[MovedZeros]:
    """Compares the zeros of a float graph and its exact form at every sign with three values."""
    pairs = list(_pairs(graph))
    if not pairs:
        return []
    values = TorchGraphSession(graph).run_all([images])
    known = frozenset(node.name for node in graph.nodes_of(Sign) if node.name in exact)
    found = []
    for plus, minus in pairs:
        expected = (values[plus] > 0) & (values[minus] > 0)
        sides = [_signs(exact, name, known, values) for name in (plus, minus)]
        zeros = (sides[0] > 0) & (sides[1] > 0)
        moved = int(np.count_nonzero(zeros != expected))
        node = graph[minus]
        found.append(MovedZeros(node.module or "model", moved, expected.size, _rounding(exact, plus, known)))
    return found


def check_zeros(graph: Graph, exact: Graph, images: FloatArray) -> None:
    """Makes sure that zeros stay where they are.

    Raises:
        ModelRefusedError: at a sign more than one in 10,000 (and more than one) are moved; the message names it and the rounding.
    """
    for sign in moved_zeros(graph, exact, images):
        if sign.too_many:
            raise ModelRefusedError(
                f"--sign-zero exact: {sign.moved} of {sign.values} values at the sign in module '{sign.module}' are 0 before or after "
                f"rounding only ({sign.rounding or 'of the parameters in front of it'}), so its zeros are not the trained ones; "
                "choose --sign-zero plus or minus, or --numerics float"
            )


def _pairs(graph: Graph) -> Iterator[tuple[str, str]]:
    """The names of `Sign(x)` and `Sign(-x)`."""
    signs = {node.inputs[0]: node.name for node in graph.nodes_of(Sign)}
    for source, name in signs.items():
        node = graph[source]
        op = node.op
        negation = isinstance(op, Affine) and bool(np.all(op.scale == -1)) and not np.any(op.offset)
        if negation and node.inputs[0] in signs:
            yield signs[node.inputs[0]], name


def _signs(exact: Graph, name: str, known: frozenset[str], values: dict[str, FloatArray]) -> Array:
    part, sources = cut(exact, name, known)
    return TorchGraphSession(part).run([values[sources[i]] for i in part.inputs])[0]


def _rounding(exact: Graph, name: str, known: frozenset[str]) -> str:
    """The last rounding in front of a sign."""
    part, _ = cut(exact, name, known)
    grids = part.nodes_of(RoundToGrid)
    if not grids:
        return ""
    assert isinstance(grids[-1].op, RoundToGrid)
    what = f"to multiples of 2^{-grids[-1].op.exponent} for {grids[-1].name.rpartition('/')[0]}"
    return what + (f" in module '{grids[-1].module}'" if grids[-1].module else "")
