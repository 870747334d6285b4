"""Runs the user's PyTorch module, with which every exported file is compared. Imports PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ops import FloatArray

BATCH_SIZE = 32


def run_module(module: torch.nn.Module, images: FloatArray) -> list[FloatArray]:
    """The module's outputs for pictures [N, C, H, W], computed in batches.

    NNPACK is kept out: its Winograd convolution is off by up to 1e-3.

    Raises:
        ModelRefusedError: an output is not a float tensor with the batch in front.
    """
    parts: list[list[FloatArray]] = []
    with torch.inference_mode(), torch.backends.nnpack.flags(enabled=False):
        for start in range(0, len(images), BATCH_SIZE):
            batch = torch.from_numpy(np.ascontiguousarray(images[start : start + BATCH_SIZE]))
            parts.append([_to_array(output, len(batch)) for output in _flatten(module(batch))])
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def _flatten(outputs: Any) -> Sequence[Any]:
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def _to_array(output: Any, count: int) -> FloatArray:
    if not isinstance(output, torch.Tensor) or output.ndim == 0 or len(output) != count:
        raise ModelRefusedError(
            "the model's outputs are not tensors with the batch in front: return the logits only"
        )
    return np.asarray(output.float().numpy())
