"""How many samples the gate computes every tensor of: few of a network with much to compute."""

from __future__ import annotations

import math

from fdabnn_deploy.ir.graph import Graph

MOST_IMAGES = 8
WORK = 1 << 25
"""Values of all tensors over all inputs."""


def few_images(graph: Graph, available: int, least: int) -> int:
    """At most `MOST_IMAGES`, as many as stay within `WORK`, but `least` in any case where there are so many.

    Args:
        graph: whose tensors are computed.
        available: samples.
        least: that are needed.
    """
    work = sum(math.prod(graph.shape(node.name)[1:]) for node in graph)
    return min(available, MOST_IMAGES, max(least, WORK // work))
