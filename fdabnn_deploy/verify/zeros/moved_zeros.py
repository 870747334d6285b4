"""Whether the roundings of exact numerics make or take zeros in front of signs that keep them (`sign_zero` "exact").

A sign with three values is `(Sign(x) - Sign(-x)) / 2` in the deployed graph. Where a grid lies between the layer in front of it and x, a
small value may become 0, or a 0 of float arithmetic something else. Sign by sign, both graphs get the float graph's own signs as inputs, so
that only what lies between two signs counts.

Samples alone do not tell: few of them hold the one value at which `sign(x - 0.3)` is 0, or an even area, on which a filter whose weights
cancel is 0. So the value of every sign's zero is computed (`zero_points`) and tried, and even images are looked at besides the samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import Affine, Array, Clamp, FloatArray, RoundToGrid, Saturate, Sign
from fdabnn_deploy.runtimes.torch_graph import TorchGraphSession
from fdabnn_deploy.verify.reproducer import cut
from fdabnn_deploy.verify.zeros.zero_points import zero_point

LARGEST_SHARE = 1e-4
"""Of the values at a sign whose zeros may change; at least one may."""

EVEN_IMAGES = 8
"""Images of one value each, spread over the samples' values."""


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


def moved_zeros(graph: Graph, exact: Graph, images: Array) -> list[MovedZeros]:
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


def check_zeros(graph: Graph, exact: Graph, images: Array) -> None:
    """Makes sure that zeros stay where they are.

    Raises:
        ModelRefusedError: a rounding moves the one value at which a sign is 0; or, on the images or on even ones, more than one in 10,000
            (and more than one) of a sign's values are 0 in one graph only. The message names the sign and the rounding.
    """
    known = frozenset(node.name for node in graph.nodes_of(Sign) if node.name in exact)
    for plus, minus in _pairs(graph):
        moved = _moved_point(graph, exact, plus, minus)
        if moved:
            what = f"the sign in module '{graph[minus].module or 'model'}' is 0 where {moved}, which rounding does not keep"
            raise ModelRefusedError(_message(what, _rounding(exact, plus, known)))
    for shown, kind in ((images, ""), (_even(images), " (in images of one value)")):
        for sign in moved_zeros(graph, exact, shown):
            if sign.too_many:
                counted = f"{sign.moved} of {sign.values} values at the sign in module '{sign.module}'{kind}"
                raise ModelRefusedError(
                    _message(f"{counted} are 0 before or after rounding only", sign.rounding)
                )


def _message(what: str, rounding: str) -> str:
    return (
        f"--sign-zero exact: {what} ({rounding or 'of the parameters in front of it'}), so its zeros are not the trained ones; "
        "choose --sign-zero plus or minus, or --numerics float"
    )


def _moved_point(graph: Graph, exact: Graph, plus: str, minus: str) -> str:
    """The value in front of a sign at which it is 0 in the float graph only, as `'tensor' is value`, or nothing.

    Float arithmetic rounds, too: the neighbours of the value are tried with it. Values beyond the limits of the exact graph are not.
    """
    point = zero_point(graph, graph[plus].inputs[0])
    readers = [node.op for node in exact.consumers(point.tensor) if isinstance(node.op, Saturate | Clamp)]
    inside = np.isfinite(point.values) & (point.values != 0)
    for limits in readers:
        inside &= (point.values >= limits.low) & (point.values <= limits.high)
    if not np.any(inside):
        return ""
    values = np.where(inside, point.values, np.float32(0))
    tried = np.stack([values, *_neighbours(values)])
    shape = graph.shape(point.tensor)
    given = tried.reshape(*tried.shape, *(1,) * (len(shape) - 2)) * np.ones((1, 1, *shape[2:]), np.float32)
    known, recorded = frozenset({point.tensor}), {point.tensor: given}
    before, after = (
        (_signs(side, plus, known, recorded) > 0) & (_signs(side, minus, known, recorded) > 0)
        for side in (graph, exact)
    )
    lost = np.argwhere(before & ~after)
    lost = lost[inside[lost[:, 1]]]
    return f"'{point.tensor}' is {tried[lost[0][0], lost[0][1]]:.9g}" if len(lost) else ""


def _neighbours(values: FloatArray) -> Iterator[FloatArray]:
    """The two next numbers on both sides."""
    for end in (-np.inf, np.inf):
        near = values
        for _ in range(2):
            near = np.nextafter(near, np.float32(end))
            yield near


def _even(images: Array) -> Array:
    """Images of one value each, from the smallest to the largest value of given ones."""
    values = np.quantile(images, np.linspace(0, 1, EVEN_IMAGES), method="nearest").astype(np.float32)
    even: Array = np.ones((1, *images.shape[1:]), np.float32) * values.reshape(-1, *(1,) * (images.ndim - 1))
    return even.astype(images.dtype)


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
