from __future__ import annotations

import numpy as np

from fdabnn_deploy.ir.ops import Add, Affine, AvgPool2d, Clamp, Relu, Sign
from fdabnn_deploy.transforms.pass_testing import Build
from fdabnn_deploy.verify.zeros.zero_points import zero_point


def test_scales_offsets_and_pools_are_solved() -> None:
    b = Build(3, 4, 4)
    scaled = b(Affine(np.array([0.5, 2.0, 0.0]), np.array([-0.25, 0.5, 1.0])), "x")
    pooled = b(AvgPool2d((2, 2), (2, 2)), scaled)
    graph = b.graph(b(Sign(), pooled))
    found = zero_point(graph, pooled)
    assert found.tensor == "x"
    np.testing.assert_array_equal(found.values, np.array([0.5, -0.25, np.nan], np.float32))


def test_a_clamp_without_the_value_has_no_zero() -> None:
    b = Build(2, 2, 2)
    moved = b(Affine(np.ones(2), np.array([-0.5, -2.0])), b(Clamp(-1.0, 1.0), "x"))
    graph = b.graph(b(Sign(), moved))
    np.testing.assert_array_equal(zero_point(graph, moved).values, np.array([0.5, np.nan], np.float32))


def test_half_lines_and_sums_end_the_way() -> None:
    b = Build(2, 2, 2)
    half = b(Relu(), b(Affine(np.ones(2), -np.ones(2)), "x"))
    total = b(Add(), half, "x")
    graph = b.graph(b(Sign(), total))
    assert zero_point(graph, half).tensor == half
    assert zero_point(graph, total).tensor == total
