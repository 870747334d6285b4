from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fdabnn_deploy.prove.rows import UnprovedError
from fdabnn_onnx.prove.onnx_blocked import plain_filter


def blocked(plain: NDArray[np.float32], block: int) -> NDArray[np.float32]:
    """The layouts of the module's docstring, written index by index."""
    outputs, inputs, height, width = plain.shape
    values = []
    if inputs < block:
        for o in range(0, outputs, block):
            values += [
                plain[o + b, i, u, v]
                for i in range(inputs)
                for u in range(height)
                for v in range(width)
                for b in range(block)
            ]
    else:
        for o in range(0, outputs, block):
            for i in range(0, inputs, block):
                values += [
                    plain[o + b, i + c, u, v]
                    for u in range(height)
                    for v in range(width)
                    for c in range(block)
                    for b in range(block)
                ]
    return np.array(values, dtype=np.float32).reshape(plain.shape)


@pytest.mark.parametrize("block", [8, 16])
@pytest.mark.parametrize("inputs", [1, 3, 16, 32])
def test_blocks_are_undone(block: int, inputs: int) -> None:
    plain = np.arange(32 * inputs * 6, dtype=np.float32).reshape(32, inputs, 2, 3)
    assert np.array_equal(plain_filter(blocked(plain, block), block), plain)


def test_broken_blocks_are_refused() -> None:
    with pytest.raises(UnprovedError, match="whole blocks"):
        plain_filter(np.zeros((20, 3, 1, 1), dtype=np.float32), 16)
