"""Checks of an export before it starts: labels that the outputs can have, and the memory that it takes."""

from __future__ import annotations

import math

import numpy as np

from fdabnn_deploy.data.labels import check_labels
from fdabnn_deploy.data.samples import Samples
from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.runtimes.batches import images_at_once
from fdabnn_deploy.system.memory import check_memory
from fdabnn_deploy.verify.layer_checks import MAX_IMAGES, read_tensors

COPIES_OF_WEIGHTS = 6
"""The module, its captured and its deployed graph, a file with its bytes in a runtime, and that runtime's packed form."""


def check_work(graph: Graph, samples: Samples, batch: int | None = 1) -> None:
    """Does nothing where labels and memory suffice.

    Args:
        graph: deployed.
        samples: that it will be run on.
        batch: of the files; a runtime computes as many images at once.

    Raises:
        UsageError: a label is none of the outputs.
        ModelRefusedError: it needs more than `fdabnn_deploy.system.memory.SHARE` of the available memory.
    """
    shape = graph.shape(graph.outputs[0])
    if len(shape) == 2:
        check_labels(samples.labels, shape[1], samples.description)
    largest = max(graph, key=lambda node: _values(graph, node.name))
    check_memory(
        needed_bytes(graph, batch or 1),
        f"running the model on {_at_once(graph, batch or 1)} inputs at once, with tensors such as {largest.name} of "
        f"{'x'.join(map(str, graph.shape(largest.name)[1:]))},",
        "use smaller inputs, a smaller --batch, or a machine with more memory",
        ModelRefusedError,
    )


def needed_bytes(graph: Graph, batch: int = 1) -> int:
    """An estimate of the cost of running a graph.

    `4 (COPIES_OF_WEIGHTS weights + batch (largest three tensors) + MAX_IMAGES (tensors that signs read))` bytes: the last are those of the
    inputs that layers are checked on, one by one.
    """
    weights = sum(
        value.size
        for node in graph
        for value in node.op.attributes().values()
        if isinstance(value, np.ndarray)
    )
    sizes = sorted((_values(graph, node.name) for node in graph), reverse=True)
    return 4 * (
        COPIES_OF_WEIGHTS * weights
        + _at_once(graph, batch) * sum(sizes[:3])
        + MAX_IMAGES * sum(_values(graph, name) for name in read_tensors(graph))
    )


def _at_once(graph: Graph, batch: int) -> int:
    return max(batch, images_at_once(graph.shape(graph.inputs[0])[1:]))


def _values(graph: Graph, name: str) -> int:
    return math.prod(graph.shape(name)[1:])
