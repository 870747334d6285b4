from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Affine, BatchNorm, Input
from fdabnn_deploy.transforms.affine.fold_norm import fold_norm


@given(st.integers(0, 2**32 - 1))
def test_folds_negative_and_zero_gammas(seed: int) -> None:
    generator = np.random.default_rng(seed)
    mean, beta = generator.normal(size=(2, 6))
    gamma = generator.choice([-1.5, 0.0, 2.0], 6)
    var = generator.choice([0.0, 1e-12, 1.0, 1e6], 6)
    norm = BatchNorm(mean, var, gamma, beta, 1e-5)
    outcome = fold_norm(Graph([Node("x", Input((6, 2, 2))), Node("y", norm, ("x",))], ["y"]))
    assert outcome.applied == 1
    op = outcome.graph["y"].op
    assert isinstance(op, Affine)
    np.testing.assert_array_equal(op.scale, gamma / np.sqrt(var + 1e-5))
    # As a real function the two are equal: at x = mean the result is beta, and the slope is A.
    np.testing.assert_allclose(
        mean * op.scale + op.offset, beta, atol=1e-9 * (1 + np.abs(mean * op.scale).max())
    )
