"""That the peers compute what we compute; nothing here is timed."""

from __future__ import annotations

import importlib.util

import pytest

from bench.layers import BenchLayer, Problem
from bench.measure import difference
from bench.peers import ours
from fdabnn_deploy.native.library import levels

pytestmark = pytest.mark.runtimes

LAYERS = [
    BenchLayer(9, 32),
    BenchLayer(8, 32, stride=2),
    BenchLayer(5, 32, kernel=1),
    BenchLayer(6, 32, kernel=5),
    BenchLayer(1, 64, kernel=1),
]
PACKAGES = {
    "lce": "larq_compute_engine",
    "onnxruntime": "onnxruntime",
    "tflite": "ai_edge_litert",
    "torch": "torch",
}


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
@pytest.mark.parametrize("peer", PACKAGES)
def test_a_peer_gives_the_expected_bits(peer: str, layer: BenchLayer) -> None:
    if importlib.util.find_spec(PACKAGES[peer]) is None:
        pytest.skip(f"{PACKAGES[peer]} is not installed")
    for contender in importlib.import_module(f"bench.peers.{peer}").contenders(Problem(layer)):
        contender.seconds(1)
        assert contender.expected is not None
        assert difference(contender.output(), contender.expected) == "", contender.name


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_our_kernels_give_the_expected_bits_at_every_level(layer: BenchLayer) -> None:
    problem = Problem(layer)
    for level in levels():
        contenders = [ours.convolution(problem, output, level, 2) for output in ours.OUTPUTS]
        for contender in (*contenders, *ours.sign_packing(problem, level)):
            contender.seconds(2)
            assert contender.output is not None
            assert contender.expected is not None
            assert difference(contender.output(), contender.expected) == "", contender.name
