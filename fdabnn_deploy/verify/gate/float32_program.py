"""The trained network's exported program as it was captured, in float32. Imports PyTorch."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils import _pytree

from fdabnn_deploy.frontend.capture import Captured
from fdabnn_deploy.frontend.capture.traced_value import CAPTURE_BATCH
from fdabnn_deploy.ir.ops import Array, FloatArray


class SingleProgram:
    """Runs an exported program: the same operators on the same parameters as the module, so the same bits but for a few roundings.

    Args:
        captured: the network, with its program of batches of `CAPTURE_BATCH` and the outputs that count.
    """

    def __init__(self, captured: Captured) -> None:
        self._module = captured.module
        self._outputs = captured.outputs

    def run(self, images: FloatArray) -> list[FloatArray]:
        """The outputs for up to `CAPTURE_BATCH` inputs [N, ...]; a last one is repeated where there are fewer."""
        batch = torch.from_numpy(repeated(images))
        with torch.inference_mode(), torch.backends.nnpack.flags(enabled=False):
            leaves = _pytree.tree_leaves(self._module(batch))
        return [np.asarray(leaves[position][: len(images)].float().numpy()) for position in self._outputs]


def repeated(images: Array) -> Array:
    """A copy of up to `CAPTURE_BATCH` inputs, with the last one repeated until there are as many."""
    missing = CAPTURE_BATCH - len(images)
    return np.concatenate([images, images[-1:].repeat(missing, axis=0)])
