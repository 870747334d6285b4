"""Checking the tensors of a network before anything is built on them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fdabnn_deploy.checkpoint.unwrap import shorten
from fdabnn_deploy.errors import ModelRefusedError


def check_values(tensors: Mapping[str, Tensor], what: str) -> None:
    """Checks that every tensor holds data, is a plain array, and is finite.

    Args:
        tensors: a state dict.
        what: how errors call its file or module.

    Raises:
        ModelRefusedError: tensors without data, sparse, quantized or complex ones, or NaN or infinity in one:
            named.
    """
    strange = [
        name
        for name, tensor in tensors.items()
        if tensor.is_meta or tensor.is_quantized or tensor.is_complex() or tensor.layout != torch.strided
    ]
    if strange:
        raise ModelRefusedError(
            f"{what} has tensors that are not plain arrays of numbers (without data, sparse, quantized or "
            "complex): "
            f"{shorten(strange)}"
        )
    bad = []
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            count = int((~torch.isfinite(tensor)).sum())
            bad.append(f"{name} ({count} of {tensor.numel()} values)")
    if bad:
        raise ModelRefusedError(
            f"{what} has NaN or infinity in {shorten(bad)}: the training diverged; use a checkpoint from "
            "before that"
        )
