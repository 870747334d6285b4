"""The reference executor: the meaning of a graph, op by op in NumPy. Slow, and the specification of everything else."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import Array, FloatArray, Input


def evaluate_all(graph: Graph, inputs: Sequence[FloatArray]) -> dict[str, Array]:
    """Computes every tensor of the graph.

    Args:
        graph: any graph, captured or deployed.
        inputs: one array [N, ...] per graph input, in the graph's order.

    Returns:
        Every tensor by its name, float32 (boolean for comparisons).

    Raises:
        ValueError: the number or the shape of the inputs is wrong.
    """
    return _computed(graph, inputs, {node.name for node in graph})


def evaluate(graph: Graph, inputs: Sequence[FloatArray]) -> list[FloatArray]:
    """Computes the graph's outputs; see `evaluate_all`."""
    values = _computed(graph, inputs, set(graph.outputs))
    return [values[name] for name in graph.outputs]


def _computed(graph: Graph, inputs: Sequence[FloatArray], kept: AbstractSet[str]) -> dict[str, Array]:
    """The tensors to keep, by name; every other one is freed behind its last reader."""
    names = graph.inputs
    if len(names) != len(inputs):
        raise ValueError(f"the graph has {len(names)} inputs, {len(inputs)} were given")
    values: dict[str, Array] = {}
    for name, value in zip(names, inputs, strict=True):
        if value.shape[1:] != graph.shape(name)[1:]:
            raise ValueError(
                f"input {name} takes [N, {', '.join(map(str, graph.shape(name)[1:]))}], not {value.shape}"
            )
        values[name] = np.asarray(value, dtype=np.float32)
    waiting = {node.name: len(graph.consumers(node.name)) for node in graph}
    for node in graph:
        if isinstance(node.op, Input):
            continue
        values[node.name] = node.op.reference(*(values[name] for name in node.inputs))
        for name in dict.fromkeys(node.inputs):
            waiting[name] -= 1
            if not waiting[name] and name not in kept:
                del values[name]
    return values
