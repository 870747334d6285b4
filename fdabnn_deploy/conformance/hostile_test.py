from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.conformance.hostile import NORM_KINDS, hostile_inputs, normal_inputs, random_norm
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Input, Saturate

X = np.random.default_rng(0).normal(3, 10, (4, 64, 5, 5)).astype(np.float32)


def norm_scales(kind: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return random_norm(np.random.default_rng(1), kind, X).scale


def test_kinds_of_norms() -> None:
    assert np.all(norm_scales("plain") > 0)
    assert np.all(norm_scales("negative gamma") < 0)
    assert np.all(norm_scales("zero gamma") == 0)
    tiny, huge = np.abs(norm_scales("tiny variance")), np.abs(norm_scales("huge variance"))
    assert np.all((tiny >= 1e3) & (tiny <= 1e6))
    assert tiny.max() > 1e5
    assert np.all((huge >= 1e-8) & (huge <= 1e-3))
    assert huge.min() < 1e-7
    mixed = norm_scales("mixed")
    assert {float(s) for s in np.sign(mixed)} == {-1.0, 0.0, 1.0}
    assert np.abs(mixed).max() > 1e3


def test_a_plain_norm_normalises() -> None:
    y = random_norm(np.random.default_rng(1), "plain", X).reference(X)
    assert np.all(np.abs(y.mean(axis=(0, 2, 3))) < 3)
    assert 0.2 < y.std(axis=(0, 2, 3)).mean() < 2


@pytest.mark.parametrize("kind", NORM_KINDS)
def test_norms_of_constant_channels_are_finite(kind: str) -> None:
    norm = random_norm(np.random.default_rng(1), kind, np.full((2, 8), 7, dtype=np.float32))
    assert np.isfinite(norm.scale).all()
    assert np.isfinite(norm.offset).all()


def test_inputs_hold_what_breaks_implementations() -> None:
    nodes = [Node("x", Input((3, 16, 16))), Node("v", Input((9,))), Node("y", Saturate(-2.75, 3.5), ("x",))]
    graph = Graph(nodes, ["y", "v"])
    x, v = hostile_inputs(graph, np.random.default_rng(0))
    assert (x.shape, v.shape) == ((4, 3, 16, 16), (4, 9))
    assert x.dtype == np.float32
    assert np.isfinite(x[0]).all()
    assert 0 < np.mean(np.isfinite(x[1])) < 1
    special = x[2].reshape(-1)
    assert np.isnan(special).any()
    for value in (
        np.inf,
        -np.inf,
        1e30,
        np.finfo(np.float32).max,
        1e-45,
        -2.75,
        3.5,
        np.nextafter(np.float32(3.5), 9),
    ):
        assert np.any(special == np.float32(value))
    assert np.any(np.signbit(special[special == 0]))
    assert np.any(~np.signbit(special[special == 0]))
    assert len(np.unique(x[3])) == 1
    assert abs(x[3].max()) < 1e-38


def test_inputs_follow_the_seed() -> None:
    graph = Graph([Node("x", Input((3, 4, 4)))], ["x"])
    for make in (hostile_inputs, lambda g, r: normal_inputs(g, r, 3)):
        first, second, other = (make(graph, np.random.default_rng(s))[0] for s in (5, 5, 6))
        assert first.tobytes() == second.tobytes() != other.tobytes()
