from __future__ import annotations

from collections.abc import Sequence

from fdabnn_deploy.ir.computing import compute_tensors
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Add, Input, Relu


class Counted:
    """A value that knows how many of its kind are alive."""

    alive = 0

    def __init__(self) -> None:
        Counted.alive += 1

    def __del__(self) -> None:
        Counted.alive -= 1


def test_what_nobody_reads_any_more_is_freed() -> None:
    nodes = [Node("x", Input((1,))), Node("y0", Relu(), ("x",))]
    nodes += [Node(f"y{i}", Add(), (f"y{i - 1}", f"y{i - 1}")) for i in range(1, 9)]
    most = 0

    def compute(node: Node, operands: Sequence[Counted]) -> Counted:
        nonlocal most
        value = Counted()
        most = max(most, Counted.alive)
        return value

    found = compute_tensors(Graph(nodes, ["y8"]), {"x": Counted()}, compute, ["y3", "y8"])
    assert set(found) == {"y3", "y8"}
    # An operand, a result, and what is kept; the operand of the call before may not be freed yet.
    assert most <= 4
