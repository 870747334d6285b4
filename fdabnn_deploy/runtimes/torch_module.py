"""Runs the user's PyTorch module, with which every exported file is compared. Imports PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ir.ops import Array, FloatArray
from fdabnn_deploy.runtimes import batches

BATCH_SIZE = 32


def run_module(
    module: torch.nn.Module, images: FloatArray, outputs: Sequence[int] | None = None
) -> list[FloatArray]:
    """The module's outputs for images [N, C, H, W], computed in batches.

    The module gets a copy of every batch, which it may write into. NNPACK is kept out: its Winograd convolution is off by up to 1e-3.

    Args:
        module: in eval mode.
        images: normalised.
        outputs: which ones, by their position among all that stand in tuples, lists and dicts (`Captured.outputs`); by default those
            that are tensors.

    Raises:
        ModelRefusedError: an output is not a float tensor with the batch in front.
    """
    parts: list[list[FloatArray]] = []
    with torch.inference_mode(), torch.backends.nnpack.flags(enabled=False):
        for start in range(0, len(images), BATCH_SIZE):
            batch = own_tensor(images[start : start + BATCH_SIZE])
            returned = _pytree.tree_leaves(module(batch))
            chosen = (
                [item for item in returned if isinstance(item, torch.Tensor)]
                if outputs is None
                else [returned[position] for position in outputs]
            )
            parts.append([_to_array(output, len(batch)) for output in chosen])
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def run_as_it_is(module: torch.nn.Module, images: FloatArray) -> list[Array]:
    """All tensors that the module returns, each in its own type, whether the batch stands in front or not.

    Every batch is a copy and NNPACK is kept out, as in `run_module`. What belongs to which image: `fdabnn_deploy.runtimes.batches`.

    Args:
        module: in eval mode.
        images: normalised, [N, ...].

    Raises:
        ModelRefusedError: the module returns no tensor.
    """

    def call(inputs: list[FloatArray]) -> list[batches.Result]:
        returned = _pytree.tree_leaves(module(own_tensor(inputs[0])))
        found: list[batches.Result] = [
            _in_own_type(item) for item in returned if isinstance(item, torch.Tensor)
        ]
        if not found:
            raise ModelRefusedError("the model returns no tensor: return what it computes")
        return found

    parts: list[list[Array]] = []
    with torch.inference_mode(), torch.backends.nnpack.flags(enabled=False):
        # Of two numbers of images, one may be the length of an axis by chance.
        by_row = all(batches.is_by_row(call([images[:1].repeat(count, 0)]), count) for count in (2, 3))
        for start in range(0, len(images), BATCH_SIZE):
            piece = [images[start : start + BATCH_SIZE]]
            found = batches.run_where_possible(call, piece, None if by_row else 1)
            parts.append([values for values in found if not isinstance(values, str)])
    return [batches.join(column) for column in zip(*parts, strict=True)]


def own_tensor(images: FloatArray) -> torch.Tensor:
    """A tensor of copied values: a module that writes into its input changes nobody else's."""
    return torch.from_numpy(np.array(images, order="C"))


def _in_own_type(output: torch.Tensor) -> Array:
    # NumPy has no bfloat16; float32 has all of its values. The next batch may write into what this one returned.
    return np.array((output.float() if output.dtype == torch.bfloat16 else output).numpy())


def _to_array(output: Any, count: int) -> FloatArray:
    if not isinstance(output, torch.Tensor) or output.ndim == 0 or len(output) != count:
        what = (
            f"a tensor {list(output.shape)}"
            if isinstance(output, torch.Tensor)
            else f"a {type(output).__name__}"
        )
        raise ModelRefusedError(
            f"an output of the model for {count} inputs is {what}, without the batch in front: return the logits only"
        )
    return np.array(output.float().numpy())
