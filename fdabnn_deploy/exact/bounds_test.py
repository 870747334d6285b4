from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.conformance.hostile import hostile_inputs
from fdabnn_deploy.conformance.random_graph import random_graph
from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.exact.make_exact import make_exact
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import GraphError, Input, Saturate, Softmax
from fdabnn_deploy.ir.ops.drawing import floats
from fdabnn_deploy.ir.ranges import Values, grid_of, uniform
from fdabnn_deploy.ir.reference import evaluate_all


def bounds_of(graph: Graph) -> dict[str, Values]:
    """Bounds of every tensor behind the inputs' guards."""
    largest = float(np.finfo(np.float32).max)
    bounds: dict[str, Values] = {}
    for node in graph:
        shapes = [graph.shape(name) for name in node.inputs]
        bounds[node.name] = (
            uniform(-largest, largest, 149, graph.shape(node.name)[1])
            if isinstance(node.op, Input)
            else node.op.bounds([bounds[name] for name in node.inputs], shapes, graph.shape(node.name))
        )
    return bounds


@pytest.mark.parametrize("seed", range(40))
def test_every_value_lies_within_its_bounds_and_on_its_grid(seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = random_graph(rng).graph
    try:
        graph = make_exact(drawn, [floats(rng, (4, *drawn.shape(name)[1:])) for name in drawn.inputs]).graph
    except ModelRefusedError:
        pytest.skip("has no exact form")
    with np.errstate(all="ignore"):
        tensors = evaluate_all(graph, hostile_inputs(graph, rng))
    for name, bounds in bounds_of(graph).items():
        if isinstance(graph[name].op, Input | Saturate):
            continue
        values = tensors[name].astype(np.float64)
        shape = (1, -1, *(1,) * (values.ndim - 2))
        assert np.all(values >= bounds.low.reshape(shape)), graph[name]
        assert np.all(values <= bounds.high.reshape(shape)), graph[name]
        units = np.ldexp(values, bounds.grid)
        assert np.array_equal(units, np.rint(units)), graph[name]
        assert bounds.grid <= 126


@pytest.mark.parametrize(
    ("values", "grid"),
    [
        ([0.0], 0),
        ([1.0, -3.0, 2.0**30], 0),
        ([0.5], 1),
        ([0.75, 8.0], 2),
        ([2.0**-126], 126),
        ([2.0**-149], 149),
        ([0.1], 27),
    ],
)
def test_the_grid_of_numbers(values: list[float], grid: int) -> None:
    assert grid_of(np.array(values, dtype=np.float32)) == grid
    units = np.ldexp(np.array(values, dtype=np.float32).astype(np.float64), grid)
    assert np.array_equal(units, np.rint(units))


def test_what_has_no_bounds_is_named() -> None:
    with pytest.raises(GraphError, match="Softmax"):
        Softmax().bounds([uniform(0, 1, 0, 3)], [(-1, 3)], (-1, 3))
