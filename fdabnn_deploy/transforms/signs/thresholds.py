"""Turns what stands between a binary layer and the next sign into a comparison with a half-integer.

`Sign(f(acc)) -> Sign(s * acc - s * t)` with `s = +-1` and t an odd multiple of 1/2, per channel, where f is a chain of pointwise
operators that nothing else reads. The accumulator of a binary layer with K taps is an integer in [-K, K], so the chain is evaluated at
every one of them, in float32 as the trained model is deployed, and the sign it gives there is the truth: ties, roundings, overflow and
-0.0 included. No integer is left out: near a zero-padded border the accumulator has another parity than inside the image.

| sign of f over [-K, K]          | becomes           |
|---------------------------------|-------------------|
| -1 below n, +1 from n on        | `acc - (n - 1/2)` |
| +1 up to n, -1 above            | `(n + 1/2) - acc` |
| +1 everywhere                   | `acc + (K + 1/2)` |
| -1 everywhere                   | `acc - (K + 1/2)` |

The result is never 0, and exact in float32 in any order, with or without fused multiply-add, since it stays below 2^24 halves. Thresholds
replace batch norms in front of a sign in most descriptions of binary networks (Umuroglu et al. 2017, FINN, section 4.2.2).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.ir.graph import Editor, Graph, Node
from fdabnn_deploy.ir.ops import Affine, BinaryConv2d, BinaryLinear, Clamp, Op, PRelu, Relu, Sign
from fdabnn_deploy.transforms.base import Outcome

LARGEST_TAPS = 2**22
"""Beyond, the largest value `2K + 1/2` would need more than 24 bits."""

_CHUNK = 2**21
"""Values evaluated at once."""


def thresholds(graph: Graph) -> Outcome:
    """Replaces every chain whose sign is monotone in the accumulator, in all channels; the others are named with the reason.

    The affine keeps the name of the last affine of the chain, if there is one.
    """
    editor, applied = Editor(graph), 0
    skipped: list[str] = []
    for node in graph.nodes_of(BinaryConv2d, BinaryLinear):
        assert isinstance(node.op, BinaryConv2d | BinaryLinear)
        found = _chain_to_sign(graph, node)
        if found is None or _is_threshold(found[0]):
            continue
        chain, sign = found
        taps = node.op.taps
        if taps >= LARGEST_TAPS:
            skipped.append(
                f"{node.name}: module '{node.module}' has {taps} taps, too many for exact thresholds"
            )
            continue
        negative = _negative(chain, taps, channels=len(node.op.weight))
        changes = negative[1:] != negative[:-1]
        broken = np.flatnonzero(changes.sum(axis=0) > 1)
        if len(broken):
            skipped.append(_refusal(node, chain, changes, broken, taps))
            continue
        affines = [inner for inner in chain if isinstance(inner.op, Affine)]
        threshold = _affine(negative, taps)
        if affines:
            name = affines[-1].name
            editor.set(name, threshold, (node.name,), same_values=False)
        else:
            name = editor.fresh(f"{sign.name}_threshold")
            editor.add(Node(name, threshold, (node.name,), sign.module, sign.source), near=sign.name)
        editor.set(sign.name, Sign(), (name,))
        applied += 1
    return Outcome(editor.finish() if applied else graph, applied, skipped=tuple(skipped))


def _chain_to_sign(graph: Graph, node: Node) -> tuple[list[Node], Node] | None:
    """The pointwise operators between this node and the only sign that depends on it, or None."""
    chain: list[Node] = []
    while True:
        readers = graph.consumers(node.name)
        if len(readers) != 1 or node.name in graph.outputs:
            return None
        node = readers[0]
        if isinstance(node.op, Sign):
            return (chain, node) if chain else None
        if not isinstance(node.op, Affine | PRelu | Relu | Clamp):
            return None
        chain.append(node)


def _is_threshold(chain: list[Node]) -> bool:
    op: Op = chain[0].op
    return (
        len(chain) == 1
        and isinstance(op, Affine)
        and bool(np.all(np.abs(op.scale) == 1))
        and bool(np.all(np.abs(op.offset) < 2 * LARGEST_TAPS))
        and bool(np.all(np.mod(op.offset, 1) == 0.5))
    )


def _negative(chain: list[Node], taps: int, channels: int) -> NDArray[np.bool_]:
    """Where the chain gives -1: [2 taps + 1, channels], accumulators ascending from -taps."""
    accumulators = np.arange(-taps, taps + 1, dtype=np.float32)
    negative = np.empty((len(accumulators), channels), dtype=np.bool_)
    rows = max(_CHUNK // channels, 1)
    with np.errstate(all="ignore"):
        for start in range(0, len(accumulators), rows):
            piece = accumulators[start : start + rows, None]
            y = np.broadcast_to(piece, (len(piece), channels))
            for node in chain:
                y = node.op.reference(y)
            negative[start : start + rows] = Sign().reference(y) < 0
    return negative


def _affine(negative: NDArray[np.bool_], taps: int) -> Affine:
    """The thresholds of monotone channels; see the table of the module."""
    below = np.sum(negative, axis=0, dtype=np.int64)
    above = len(negative) - below
    falling = ~negative[0] & negative[-1]
    return Affine(
        np.where(falling, -1.0, 1.0),
        # Rising: the first +1 is at -taps + below. Falling: the last is at -taps + above - 1.
        np.where(falling, above - taps - 0.5, taps - below + 0.5),
    )


def _refusal(
    node: Node, chain: list[Node], changes: NDArray[np.bool_], broken: NDArray[np.intp], taps: int
) -> str:
    first = int(broken[0])
    where = np.flatnonzero(changes[:, first]) - taps + 1
    others = f" (and {len(broken) - 1} more channels)" if len(broken) > 1 else ""
    return (
        f"{node.name}: not monotone: module '{node.module}', channel {first}{others}: behind "
        f"{', '.join(inner.name for inner in chain)} the sign changes at {len(where)} accumulators, the first of them "
        f"{where[0]} and {where[1]}; the chain stays as it is"
    )
