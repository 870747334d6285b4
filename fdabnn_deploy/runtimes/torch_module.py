"""Runs the user's PyTorch module; its outputs are those that every exported file is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ir.ops import Array, FloatArray
from fdabnn_deploy.runtimes import batches


def run_module(
    module: torch.nn.Module, images: FloatArray, outputs: Sequence[int] | None = None
) -> list[FloatArray]:
    """The module's outputs for images [N, C, H, W], computed in batches.

    The module gets a copy of every batch, because it may write into its input. NNPACK is switched off: its Winograd convolutions err by
    up to 1e-3.

    Args:
        module: in eval mode.
        images: normalised.
        outputs: positions of the outputs to return, counted through nested tuples, lists and dicts (`Captured.outputs`); by default all
            tensors.

    Raises:
        ModelRefusedError: an output is not a float tensor with the batch in front.
    """
    step = batches.images_at_once(images.shape[1:])
    parts: list[list[FloatArray]] = []
    with torch.inference_mode(), torch.backends.nnpack.flags(enabled=False):
        for start in range(0, len(images), step):
            batch = own_tensor(images[start : start + step])
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

    Every batch is a copy and NNPACK is switched off, as in `run_module`. `fdabnn_deploy.runtimes.batches` says how values are assigned to
    images.

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

    step = batches.images_at_once(images.shape[1:])
    parts: list[list[Array]] = []
    with torch.inference_mode(), torch.backends.nnpack.flags(enabled=False):
        # An axis may be as long as a batch of 2 by chance, but not as one of 2 and as one of 3.
        by_row = all(batches.is_by_row(call([images[:1].repeat(count, 0)]), count) for count in (2, 3))
        for start in range(0, len(images), step):
            piece = [images[start : start + step]]
            found = batches.run_where_possible(call, piece, None if by_row else 1)
            parts.append([values for values in found if not isinstance(values, str)])
    return [batches.join(column) for column in zip(*parts, strict=True)]


def own_tensor(images: FloatArray) -> torch.Tensor:
    """A tensor with a copy of the values, so that a module that writes into its input does not change the caller's array."""
    return torch.from_numpy(np.array(images, order="C"))


def _in_own_type(output: torch.Tensor) -> Array:
    # NumPy has no bfloat16; float32 holds all of its values. The copy is for modules that return the same buffer for every batch.
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
