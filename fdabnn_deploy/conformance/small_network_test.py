from __future__ import annotations

import numpy as np

from fdabnn_deploy.conformance import network, network_inputs
from fdabnn_deploy.ir.ops import DEPLOYED, CentredPixels
from fdabnn_deploy.ir.reference import evaluate


def test_every_operator_occurs() -> None:
    # Its inputs are floats.
    assert {type(node.op) for node in network()} == DEPLOYED - {CentredPixels}


def test_it_depends_on_both_inputs() -> None:
    graph = network()
    image, bias = network_inputs(3)
    probabilities, largest = evaluate(graph, [image, bias])
    assert probabilities.shape == (3, 5)
    assert largest.shape == (3, 4)
    assert not np.array_equal(evaluate(graph, [image, -bias])[1], largest)
    assert not np.array_equal(evaluate(graph, [-image, bias])[0], probabilities)


def test_the_seed_changes_the_weights() -> None:
    inputs = network_inputs(1)
    assert not np.array_equal(evaluate(network(0), inputs)[0], evaluate(network(1), inputs)[0])
