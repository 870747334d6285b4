from __future__ import annotations

import pytest

from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Input
from fdabnn_deploy.verify.gate.few_images import WORK, few_images


@pytest.mark.parametrize(
    ("share", "available", "least", "expected"),
    [(100, 50, 2, 8), (5, 50, 2, 5), (5, 3, 2, 3), (1, 50, 4, 4), (1, 1, 4, 1)],
)
def test_large_networks_get_few(share: int, available: int, least: int, expected: int) -> None:
    graph = Graph([Node("x", Input((WORK // share,)))], ["x"])
    assert few_images(graph, available, least) == expected
