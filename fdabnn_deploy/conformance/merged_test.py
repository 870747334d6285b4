from __future__ import annotations

import numpy as np

from fdabnn_deploy.conformance.hostile import normal_inputs
from fdabnn_deploy.conformance.merged import merged
from fdabnn_deploy.conformance.random_graph import random_graph
from fdabnn_deploy.ir.reference import evaluate


def test_graphs_keep_their_inputs_and_results() -> None:
    graphs = {f"g{seed}": random_graph(np.random.default_rng(seed)).graph for seed in range(6)}
    inputs = {key: normal_inputs(graph, np.random.default_rng(1), 2) for key, graph in graphs.items()}
    together = merged(graphs)
    assert together.inputs == tuple(f"{key}/{name}" for key, graph in graphs.items() for name in graph.inputs)
    results = iter(evaluate(together, [x for values in inputs.values() for x in values]))
    for key, graph in graphs.items():
        for alone, name in zip(evaluate(graph, inputs[key]), graph.outputs, strict=True):
            assert np.array_equal(alone, next(results)), (key, name)
    assert next(results, None) is None
