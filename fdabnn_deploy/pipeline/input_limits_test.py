from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from fdabnn_deploy.data.samples import Samples
from fdabnn_deploy.frontend.checkpoint import Source
from fdabnn_deploy.ir.model_info import InputFormat, ModelInfo
from fdabnn_deploy.pipeline import input_limits


def _warnings(
    low: float, high: float, *, known: bool = True, input_format: InputFormat = "float32"
) -> tuple[str, ...]:
    info = ModelInfo("net", (3, 2, 2), input_range=(-2.0, 2.0) if known else None, input_format=input_format)
    images = np.linspace(low, high, 24, dtype=np.float32).reshape(2, 3, 2, 2)
    samples = Samples(images, None, "two images", False, "images.npy")
    return input_limits.warnings(Source(nn.Identity(), info, "module", "Identity"), samples)


def test_pixels_that_were_not_normalised_are_warned_of() -> None:
    (warning,) = _warnings(0, 255)
    assert "values 0 .. 255, and inputs of net lie in -2 .. 2: were they normalised?" in warning


@pytest.mark.parametrize(("low", "high"), [(-2, 2), (-5, 4), (-17, 17.9)])
def test_images_somewhat_beyond_are_not(low: float, high: float) -> None:
    assert _warnings(low, high) == ()


def test_where_no_range_is_known_samples_say_it() -> None:
    assert _warnings(0, 255, known=False) == ()
    assert _warnings(0, 255, input_format="pixels") == ()
