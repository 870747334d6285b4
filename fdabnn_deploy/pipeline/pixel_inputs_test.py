from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fdabnn_deploy
from fdabnn_deploy.errors import UsageError

pytestmark = pytest.mark.runtimes

KNOWN = {"mean": (0.5, 0.5, 0.5), "std": (0.2, 0.2, 0.2)}


def export(out: Path, shape: tuple[int, ...] = (3, 8, 8), **options: Any) -> None:
    network = (
        nn.Sequential(nn.Conv2d(shape[0], 4, 3), nn.Flatten()).eval()
        if len(shape) == 3
        else nn.Linear(5, 2).eval()
    )
    fdabnn_deploy.export(network, torch.zeros(1, *shape), out=out, allow_float="*", **options)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        (
            (3, 8, 8),
            {"input_format": "pixels"},
            "does not say how pixels are normalised: give --mean and --std",
        ),
        ((3, 8, 8), {"input_format": "bytes"}, "input_format is 'float32' or 'pixels', not 'bytes'"),
        ((3, 8, 8), {"input_format": "pixels", "layout": "hwc", **KNOWN}, "layout is 'nchw' or 'nhwc'"),
        ((3, 8, 8), {"channel_order": "bgr"}, "are about pixels: add --input-format pixels"),
        ((3, 8, 8), {"layout": "nhwc"}, "are about pixels: add --input-format pixels"),
        ((5,), {"input_format": "pixels"}, "pixels are images of 1 to 4 channels"),
        ((5, 8, 8), {"input_format": "pixels"}, "pixels are images of 1 to 4 channels"),
        (
            (1, 8, 8),
            {"input_format": "pixels", "channel_order": "bgr", "mean": (0.5,), "std": (0.5,)},
            "takes 1 channels, not 3 colours",
        ),
        (
            (3, 8, 8),
            {"input_format": "pixels", "mean": (0.5,) * 3, "std": (0.0, 0.2, 0.2)},
            "std must be above 0",
        ),
        (
            (3, 8, 8),
            {"input_format": "pixels", "samples": np.zeros((4, 3, 8, 8), np.float32), **KNOWN},
            "are floats: give a folder of images, a uint8 array, or random:N",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(
    shape: tuple[int, ...], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        export(tmp_path / "out", shape, **options)
    assert not (tmp_path / "out").exists()
