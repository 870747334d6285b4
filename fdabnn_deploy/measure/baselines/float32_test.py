from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.measure.baselines.float32 import macs
from fdabnn_deploy.measure.format_tools import tools_for
from fdabnn_deploy.prove.geometry import Windows
from fdabnn_deploy.prove.program import Step


@pytest.mark.parametrize(("axis", "shape"), [(1, (1, 8, 5, 7)), (3, (1, 5, 7, 8))])
def test_macs_of_a_convolution(axis: int, shape: tuple[int, ...]) -> None:
    windows = Windows((1, 2), (3, 3), (1, 1), (1, 1), "SAME")
    weight = np.zeros((8, 4, 9), dtype=np.float32)
    step = Step("Conv", "linear", ("x",), "y", {"weight": weight, "axis": axis, "windows": windows})
    assert macs(step, shape) == 5 * 7 * 8 * 4 * 9


@pytest.mark.parametrize("kind", ["linear", "dense"])
def test_macs_of_a_dense_layer(kind: str) -> None:
    weight = np.zeros((10, 64, 1), dtype=np.float32)
    step = Step("Gemm", kind, ("x",), "y", {"weight": weight, "axis": 1, "windows": None})
    assert macs(step, (1, 10)) == 640


@pytest.mark.runtimes
@pytest.mark.parametrize(
    ("suffix", "reason"), [(".tflite", "damaged or not a TFLite file"), (".onnx", "does not take the model")]
)
def test_what_is_no_model_is_refused(suffix: str, reason: str) -> None:
    pytest.importorskip("onnx")
    for content in (b"", b"\0" * 64, b"TFL3" * 16):
        with pytest.raises(ModelRefusedError, match=reason):
            tools_for(Path(f"model{suffix}")).float_baseline(content)
