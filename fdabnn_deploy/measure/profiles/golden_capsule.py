"""The capsule that a device replays before it is measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fdabnn_deploy.data.images import synthetic
from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.ir.ops import Array
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.runtimes.inputs import PIXELS
from fdabnn_deploy.verify import capsule as capsules
from fdabnn_deploy.verify.capsule_replay import build

INPUTS = 4


def make(model: Path, out: Path) -> Path:
    """Fills a capsule with seeded made-up inputs and what this machine's runtime computes from them.

    Raises:
        UsageError: the model cannot be read.
        ModelRefusedError: it is damaged.
        RuntimeMissingError: its runtime is not installed here.
    """
    session = registry.for_file(model).open(model)
    types = zip(session.input_shapes, session.input_types, strict=True)
    capsules.write_capsule(
        out, build(model, [_inputs(shape, pixels=kind == PIXELS) for shape, kind in types])
    )
    return out


def check(capsule: Path, model: Path) -> Path:
    """A given capsule, if it is one of this model.

    Raises:
        UsageError: it cannot be read, or is of another model.
        ModelRefusedError: it is damaged.
    """
    try:
        content = model.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {model}: {error.strerror or error}") from None
    if capsules.read_capsule(capsule).model != content:
        raise UsageError(f"{capsule} is the capsule of another model than {model}")
    return capsule


def _inputs(shape: tuple[int, ...], *, pixels: bool) -> Array:
    """Images of bytes or between -2 and 2 for images, else seeded normal numbers."""
    if pixels:
        return synthetic(INPUTS, shape)
    if len(shape) == 3:
        return (synthetic(INPUTS, shape) / np.float32(64) - 2).astype(np.float32)
    return np.random.default_rng(0).standard_normal((INPUTS, *shape)).astype(np.float32)
