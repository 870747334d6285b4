from __future__ import annotations

import numpy as np
import pytest

from bench.layers import LAYERS, BenchLayer, Problem, packed

SMALL = [
    BenchLayer(5, 33),
    BenchLayer(6, 32, stride=2),
    BenchLayer(7, 16, kernel=5),
    BenchLayer(4, 40, kernel=1),
    BenchLayer(5, 8, 3, 2),
    BenchLayer(1, 40, kernel=1),
]


def test_the_layers_have_names_of_their_own() -> None:
    assert len({layer.name for layer in LAYERS}) == len(LAYERS)
    assert BenchLayer(28, 128).name == "28x28x128"
    assert BenchLayer(28, 64, kernel=5, stride=2).name == "28x28x64 5x5 /2"
    assert BenchLayer(1, 100, kernel=1).name == "dense 100"


def test_work_is_counted_with_the_padding() -> None:
    assert BenchLayer(56, 64).macs == 56 * 56 * 64 * 64 * 9
    assert BenchLayer(7, 16, stride=2).macs == 4 * 4 * 16 * 16 * 9


@pytest.mark.parametrize(
    ("layer", "padding"),
    [
        (BenchLayer(8, 1), (1, 1)),
        (BenchLayer(8, 1, stride=2), (0, 1)),
        (BenchLayer(7, 1, stride=2), (1, 1)),
        (BenchLayer(8, 1, kernel=1, stride=2), (0, 0)),
    ],
)
def test_padding_is_tensorflows(layer: BenchLayer, padding: tuple[int, int]) -> None:
    assert layer.padding == padding


def test_signs_are_packed_along_channels() -> None:
    signs = np.ones((2, 34), np.float32)
    signs[0, 0] = signs[0, 33] = signs[1, 31] = -1
    assert packed(signs).tolist() == [[1, 2], [1 << 31, 0]]


@pytest.mark.parametrize("layer", SMALL, ids=lambda layer: layer.name)
def test_expected_values_are_those_of_the_definition(layer: BenchLayer) -> None:
    problem = Problem(layer)
    before = layer.padding[0]
    for padding in (0, 1):
        sums = np.zeros((layer.out_size, layer.out_size, layer.channels), np.int64)
        for y, x in np.ndindex(layer.out_size, layer.out_size):
            for i, j in np.ndindex(layer.kernel, layer.kernel):
                row, column = y * layer.stride - before + i, x * layer.stride - before + j
                inside = 0 <= row < layer.size and 0 <= column < layer.size
                pixel = problem.signs[0, row, column] if inside else np.full(layer.channels, padding)
                sums[y, x] += (problem.filters[:, i, j] @ pixel).astype(np.int64)
        if padding == 0:
            exact = sums * problem.multiplier.astype(np.float64) + problem.bias
            assert np.array_equal(problem.expected_float[0], exact)
            assert np.array_equal(problem.expected_int8[0], sums.clip(-128, 127))
        else:
            differing = (layer.taps - sums) // 2
            signs = np.where(differing > problem.thresholds, -1, 1).astype(np.float32)
            assert np.array_equal(problem.expected_packed[0], packed(signs))
