"""Whether what was captured is the module: its program in float32 against the module itself, before anything is judged by the program.

Both run the same operators on the same parameters, in batches of the same size. So their outputs are equal, or differ by the roundings
of operators that PyTorch fuses in one of them only. Those are 1e-7 of a value each, and 1e-3 of an output's range is more than thousands
of them leave. A binary network may turn a rounding into a sign, which changes an output by more; then its float32 and its float64 are
as far apart, and up to three times that passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend.capture import Captured
from fdabnn_deploy.frontend.capture.traced_value import CAPTURE_BATCH
from fdabnn_deploy.ir.array_types import DoubleArray
from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.runtimes.torch_module import run_module
from fdabnn_deploy.verify.gate.few_images import few_images
from fdabnn_deploy.verify.gate.float32_program import SingleProgram, repeated
from fdabnn_deploy.verify.gate.float64_program import DoubleProgram

_Values = TypeVar("_Values", FloatArray, DoubleArray)

ROUNDING = 1e-3
"""Of an output's range, that no value may be off by for roundings alone."""

ARITHMETIC = 3
"""How many times the mean distance of float32 and float64."""


def check_capture(module: torch.nn.Module, captured: Captured, images: FloatArray) -> None:
    """Compares a module with its program on the first few samples.

    Args:
        module: the trained network.
        captured: the same, captured.
        images: the samples.

    Raises:
        ModelRefusedError: they compute different things.
    """
    # At least two calls: what changes from call to call shows in the second.
    few = images[: few_images(captured.graph, len(images), 2 * CAPTURE_BATCH)]
    batches = [few[start : start + CAPTURE_BATCH] for start in range(0, len(few), CAPTURE_BATCH)]
    single = SingleProgram(captured)
    own = _joined(
        [
            [output[: len(batch)] for output in run_module(module, repeated(batch), captured.outputs)]
            for batch in batches
        ]
    )
    traced = _joined([single.run(batch) for batch in batches])
    far = [i for i, (a, b) in enumerate(zip(own, traced, strict=True)) if distance(a, b)[0] > ROUNDING]
    if not far:
        return
    double = DoubleProgram(captured)
    wide = _joined([double.run(batch) for batch in batches])
    for i in far:
        largest, mean = distance(own[i], traced[i])
        if not mean <= ARITHMETIC * distance(traced[i], wide[i])[1]:
            raise ModelRefusedError(_message(i, len(own), len(few), largest))


def distance(a: FloatArray, b: FloatArray | DoubleArray) -> tuple[float, float]:
    """The largest and the mean distance of two outputs, relative to the range of the first; infinite where only one is a number."""
    if a.shape != b.shape:
        return np.inf, np.inf
    # Infinities of the same sign and NaN on both sides are the same.
    other = ~((a == b) | (np.isnan(a) & np.isnan(b)))
    if not other.any():
        return 0.0, 0.0
    finite = np.isfinite(a)
    if not np.isfinite(b[other]).all() or not finite[other].all():
        return np.inf, np.inf
    wide = a[finite].astype(np.float64)
    apart = np.abs(wide - b[finite])
    scale = float(np.ptp(wide)) or float(np.abs(wide).max())
    if not scale:
        return np.inf, np.inf
    return float(apart.max()) / scale, float(apart.mean()) / scale


def _joined(parts: Sequence[Sequence[_Values]]) -> list[_Values]:
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def _message(position: int, outputs: int, images: int, largest: float) -> str:
    which = "its outputs" if outputs == 1 else f"output {position + 1} of {outputs}"
    return (
        f"the network computes something else while it is traced: {which} for the first {images} sample{'s' * (images != 1)} "
        f"{'are' if outputs == 1 else 'is'} off by up to {largest:.3g} of the range between a call of the module and its traced program, "
        "both in float32; forward() branches on torch.compiler.is_compiling() or the like, or keeps a state between calls, such as a "
        "counter: make it compute the same in every call"
    )
