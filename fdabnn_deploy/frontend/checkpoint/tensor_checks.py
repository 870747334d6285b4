"""Checking the tensors of a network before anything is built on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend.checkpoint.unwrap import shorten
from fdabnn_deploy.system.memory import check_memory

LARGEST = 1.8e19
"""The square root of the largest float32. Magnitudes in a trained network stay far below."""


def check_values(tensors: Mapping[str, Any], what: str) -> None:
    """Checks that every tensor holds data, is a plain array that fits into memory, and has values that a network can have.

    Args:
        tensors: a state dict; what is no tensor in it is not looked at.
        what: how errors call its file or module.

    Raises:
        ModelRefusedError: named tensors without data, sparse, quantized or complex ones; NaN or infinity, magnitudes beyond `LARGEST`, or
            a negative variance in one; or all of them together do not fit into memory.
    """
    plain = {name: tensor for name, tensor in tensors.items() if isinstance(tensor, Tensor)}
    strange = [
        name
        for name, tensor in plain.items()
        if tensor.is_meta or tensor.is_quantized or tensor.is_complex() or tensor.layout != torch.strided
    ]
    if strange:
        raise ModelRefusedError(
            f"{what} has tensors that are not plain arrays of numbers (without data, sparse, quantized or complex): {shorten(strange)}; "
            "save the network before it was converted, with dense tensors of real numbers"
        )
    # A tensor may be a single number, expanded to any shape; as float32 it takes all its room.
    size = sum(4 * tensor.numel() for tensor in plain.values())
    largest = max(plain, key=lambda name: plain[name].numel(), default="")
    if size:
        check_memory(
            3 * size,
            f"{what} with tensors such as {largest} {list(plain[largest].shape)}",
            "check how it was saved (a tensor may have been expanded), or use a machine with more memory",
            ModelRefusedError,
        )
    bad: list[str] = []
    huge: list[str] = []
    negative: list[str] = []
    for name, tensor in plain.items():
        if not tensor.is_floating_point() or not tensor.numel():
            continue
        values = tensor if tensor.element_size() > 1 else tensor.float()
        finite = torch.isfinite(values)
        if not finite.all():
            bad.append(f"{name} ({int((~finite).sum())} of {tensor.numel()} values)")
        elif float(values.abs().max()) > LARGEST:
            huge.append(f"{name} (up to {float(values.abs().max()):.3g})")
        elif name.endswith("running_var") and float(values.min()) < 0:
            negative.append(f"{name} (down to {float(values.min()):.3g})")
    if bad:
        raise ModelRefusedError(
            f"{what} has NaN or infinity in {shorten(bad)}: the training diverged; use a checkpoint from before that"
        )
    if huge:
        raise ModelRefusedError(
            f"{what} has values beyond {LARGEST:.2g} in {shorten(huge)}: products of two of them overflow float32; the training diverged "
            "or the file is damaged: use another save"
        )
    if negative:
        raise ModelRefusedError(
            f"{what} has negative variances in {shorten(negative)}, which no training gives: the file is damaged or was edited; use "
            "another save"
        )
