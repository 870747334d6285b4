"""The quantised baseline: the float baseline in 8-bit integers, by the tools that their runtimes come with.

TFLite files: what TensorFlow's converter does behind its conversion, with a float file at hand: calibrate it on images, quantise it
with signed activations and weights per channel, full integer; inputs and outputs stay float32, so that it takes what the model takes.

ONNX files: `onnxruntime.quantization`, static, unsigned activations by signed weights per channel, as operators of ONNX Runtime
(`QLinearConv`). Both signed would be 13 to 22 times slower on x86. Operators that ONNX Runtime has no integer form of, such as a PReLU
with a slope per channel, stay float.
"""

from __future__ import annotations

import numpy as np

from fdabnn_deploy.data.images import synthetic
from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.measure.baselines.baseline import BaselineLayer
from fdabnn_deploy.prove.domain import Shape

CALIBRATION_IMAGES = 8
Found = tuple[bytes, list[BaselineLayer], str]


def one_input(count: int) -> None:
    """Refuses a model that takes several.

    Raises:
        ModelRefusedError: see there.
    """
    if count != 1:
        raise ModelRefusedError(f"it has {count} inputs; files with one are quantised")


def images_for(shape: Shape, given: FloatArray | None) -> FloatArray:
    """Float32 [N, C, H, W] to find ranges with, for an input [C, H, W].

    Args:
        shape: of the input.
        given: normalised; None for made-up ones.

    Raises:
        UsageError: they do not fit.
        ModelRefusedError: the input is no image of a fixed size.
    """
    if len(shape) != 3 or min(shape) < 1:
        raise ModelRefusedError(f"its input {shape} is no image of a fixed size")
    if given is None:
        made = synthetic(CALIBRATION_IMAGES, (3, *shape[1:]), seed=0)[:, np.arange(shape[0]) % 3]
        return (made.astype(np.float32) - 128) / 64
    if not len(given) or given.shape[1:] != shape:
        raise UsageError(
            f"images of shape {given.shape} do not fit its input [N, {', '.join(map(str, shape))}]"
        )
    return given[:CALIBRATION_IMAGES].astype(np.float32)
