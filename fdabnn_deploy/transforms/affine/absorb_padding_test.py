from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.ir.expression import Expression, literal
from fdabnn_deploy.ir.ops import Pad, TrainedConv2d
from fdabnn_deploy.transforms.affine.absorb_padding import absorb_padding
from fdabnn_deploy.transforms.pass_testing import Build, check, kinds


def conv(padding: tuple[int, int] = (0, 0)) -> TrainedConv2d:
    weight = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    return TrainedConv2d(literal(weight), None, (2, 2), padding, (1, 1), 1)


def test_symmetric_zero_padding_is_absorbed() -> None:
    b = Build(3, 5, 6)
    graph = b.graph(b(conv((1, 0)), b(Pad(((0, 0), (1, 1), (2, 2))), "x")))
    outcome = check(absorb_padding, graph, applied=1)
    assert kinds(outcome.graph) == ["Input", "TrainedConv2d"]
    op = outcome.graph["trainedconv2d2"].op
    assert isinstance(op, TrainedConv2d)
    assert op.padding == (2, 2)


@pytest.mark.parametrize(
    ("pad", "reason"),
    [
        (Pad(((0, 0), (1, 1), (1, 1)), 1.0), "pads with 1, not 0"),
        (Pad(((0, 0), (0, 1), (0, 1))), "does not pad both sides alike"),
    ],
)
def test_reasons(pad: Pad, reason: str) -> None:
    b = Build(3, 5, 6)
    outcome = check(absorb_padding, b.graph(b(conv(), b(pad, "x"))), applied=0)
    assert reason in outcome.skipped[0]


@pytest.mark.parametrize("rows", [(0, 1), (1, 0), (2, 5), (3, 0)])
@pytest.mark.parametrize("columns", [(1, 1), (0, 1), (4, 1)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_uneven_padding_in_front_of_binary_weights(
    rows: tuple[int, int], columns: tuple[int, int], stride: int
) -> None:
    latent = literal(np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32))
    layer = TrainedConv2d(
        Expression("sign", (latent,), np.sign(latent.value)), None, (stride, stride), (1, 0), (1, 1), 1
    )
    b = Build(3, 5, 6)
    outcome = check(
        absorb_padding, b.graph(b(layer, b(Pad(((0, 0), rows, columns)), "x"))), applied=1, ulps=64
    )
    assert "Pad" not in kinds(outcome.graph)
