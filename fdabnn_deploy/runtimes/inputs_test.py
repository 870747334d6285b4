from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.ir.ops import Array
from fdabnn_deploy.runtimes.inputs import check_inputs

SHAPES = ((3, 4, 4), (2,))


def given(n: int = 5, m: int = 5) -> list[Array]:
    return [np.zeros((n, 3, 4, 4), dtype=np.float32), np.zeros((m, 2), dtype=np.float32)]


def test_returns_the_number_of_images() -> None:
    assert check_inputs(given(), SHAPES) == 5
    assert check_inputs(given(1, 1), SHAPES) == 1


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (given()[:1], r"takes 2 inputs, 1 were given"),
        ([given()[0][:, :2], given()[1]], r"input 0 of the model is float32 \[N, 3, 4, 4\]; given was float32 \[5, 2, 4, 4\]"),
        ([given()[0][0], given()[1]], r"given was float32 \[3, 4, 4\]"),
        ([given()[0].astype(np.float64), given()[1]], r"given was float64"),
        ([given()[0].astype(np.uint8), given()[1]], r"given was uint8"),
        (given(5, 4), r"input 1 holds 4 images, input 0 holds 5"),
        (given(0, 0), r"the batch is empty"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(inputs: list[Array], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_inputs(inputs, SHAPES)
