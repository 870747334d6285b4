from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fdabnn_deploy.prove.domain import Value
from fdabnn_deploy.prove.geometry import Windows
from fdabnn_deploy.prove.result import Judged
from fdabnn_deploy.prove.rows import UnprovedError
from fdabnn_deploy.prove.transfer.lce import bconv, quantize
from fdabnn_deploy.prove.transfer.pointwise import signs

SAME = Windows((1, 2), (3, 3), (1, 1), (1, 1), "SAME")
VALID = Windows((1, 2), (3, 3), (1, 1), (1, 1), ((0, 0), (0, 0)))


def judge(x: Value | None = None, **changes: Any) -> Judged:
    parameters: dict[str, Any] = {
        "weight": np.zeros((2, 9, 1), dtype=np.int32),
        "channels": 20,
        "groups": 1,
        "windows": SAME,
        "zeros": True,
        "multiplier": np.array([0.5, -0.25], dtype=np.float32),
        "bias": np.array([1.0, 0.125], dtype=np.float32),
        "thresholds": None,
        "relu": False,
    }
    return bconv(signs((1, 6, 6, 20)) if x is None else x, **(parameters | changes))


def test_multiplier_and_bias() -> None:
    judged = judge()
    assert isinstance(judged.value, Value)
    assert judged.value.shape == (1, 6, 6, 2)
    assert judged.kind == "exact sum"
    # K = 180: (180 / 2 + 1) * 2 units of the first channel, (180 / 4 + 1 / 8) * 8 of the second
    assert judged.bound == 361
    assert judged.value.low.reshape(-1).tolist() == [-89.0, -44.875]
    assert judged.value.high.reshape(-1).tolist() == [91.0, 45.125]


def test_plain_sums_are_integers() -> None:
    assert judge(multiplier=None, bias=None).kind == "exact integer"


def test_relu_cuts_before_the_multiplier() -> None:
    value = judge(relu=True).value
    assert isinstance(value, Value)
    assert value.low.reshape(-1).tolist() == [1.0, -44.875]
    assert value.high.reshape(-1).tolist() == [91.0, 0.125]


def test_packed_output() -> None:
    thresholds = np.array([3, -4], dtype=np.int32)
    assert judge(thresholds=thresholds, windows=VALID, zeros=False).kind == "sign"
    with pytest.raises(UnprovedError, match="zeros are padded"):
        judge(thresholds=thresholds)
    with pytest.raises(UnprovedError, match="no integers"):
        judge(thresholds=thresholds.astype(np.float32), windows=VALID, zeros=False)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"multiplier": np.array([0.5, 0.1], dtype=np.float32)}, "multiplier and bias may need"),
        ({"bias": np.array([0.1, 0.0], dtype=np.float32)}, "multiplier and bias may need"),
        ({"weight": np.full((2, 9, 1), 1 << 20, dtype=np.int32)}, "behind the last channel"),
        ({"weight": np.zeros((2, 9, 2), dtype=np.int32)}, "do not hold"),
        ({"channels": 24}, "24"),
        ({"x": signs((1, 2, 2, 20))}, "smaller than the window"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnprovedError, match=reason):
        judge(**changes)


def test_operands_that_are_no_signs() -> None:
    ones = (1, 1, 1, 1)
    x = Value((1, 6, 6, 20), np.zeros(ones), np.ones(ones), np.zeros(ones, dtype=np.int64))
    with pytest.raises(UnprovedError, match=r"\+1 and -1 only"):
        judge(x)
    assert quantize(x).kind == "sign"
    with pytest.raises(UnprovedError, match="NaN"):
        quantize(Value(x.shape, x.low, x.high, x.grid, nan=True))
