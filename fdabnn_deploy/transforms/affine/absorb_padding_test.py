from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.ir.expression import literal
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
