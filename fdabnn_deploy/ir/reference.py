"""The reference executor: the meaning of a graph, op by op in NumPy. Slow, and the specification of everything else."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from fdabnn_deploy.ir.computing import compute_tensors
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import Array, FloatArray, Input


def evaluate_all(graph: Graph, inputs: Sequence[Array]) -> dict[str, Array]:
    """Computes every tensor of the graph.

    Args:
        graph: any graph, captured or deployed.
        inputs: one array [N, ...] per graph input, in the graph's order; uint8 where that holds pixels.

    Returns:
        Every tensor by its name, float32 (boolean for comparisons).

    Raises:
        ValueError: the number or the shape of the inputs is wrong.
    """
    return _computed(graph, inputs, [node.name for node in graph])


def evaluate(graph: Graph, inputs: Sequence[Array]) -> list[FloatArray]:
    """Computes the graph's outputs; see `evaluate_all`."""
    values = _computed(graph, inputs, graph.outputs)
    return [values[name] for name in graph.outputs]


def _computed(graph: Graph, inputs: Sequence[Array], kept: Collection[str]) -> dict[str, Array]:
    """The tensors to keep, by name."""
    names = graph.inputs
    if len(names) != len(inputs):
        raise ValueError(f"the graph has {len(names)} inputs, {len(inputs)} were given")
    values: dict[str, Array] = {}
    for name, value in zip(names, inputs, strict=True):
        if value.shape[1:] != graph.shape(name)[1:]:
            raise ValueError(
                f"input {name} takes [N, {', '.join(map(str, graph.shape(name)[1:]))}], not {value.shape}"
            )
        op = graph[name].op
        values[name] = np.asarray(value, np.uint8 if isinstance(op, Input) and op.pixels else np.float32)
    return compute_tensors(graph, values, lambda node, operands: node.op.reference(*operands), kept)
