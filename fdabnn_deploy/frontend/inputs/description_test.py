from __future__ import annotations

from typing import Any

import pytest
import torch

from fdabnn_deploy.errors import FdabnnError, ModelRefusedError, UsageError
from fdabnn_deploy.frontend.inputs.description import describe_model, read_ranges
from fdabnn_deploy.ir.model_info import ModelInfo

HEADER: dict[str, Any] = {
    "input_shape": [3, 32, 32],
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.5],
    "input_range": [-2.0, 2.0],
    "classes": ["cat", "dog"],
}


def describe(header: dict[str, Any], **words: Any) -> ModelInfo:
    return describe_model(
        header,
        what="a.pt",
        name="a",
        sha256="12",
        **{"input_shape": None, "mean": None, "std": None, "input_range": None, **words},
    )


def test_everything_from_the_checkpoint() -> None:
    info = describe(HEADER)
    assert info == ModelInfo(
        "a", (3, 32, 32), (0.5, 0.5, 0.5), (0.25, 0.25, 0.5), (-2.0, 2.0), ("cat", "dog"), "12"
    )


def test_the_user_overrides_it() -> None:
    info = describe(HEADER, mean=(0, 0, 0), std=(1, 1, 2), input_shape=(3, 8, 8))
    assert (info.mean, info.std, info.input_shape) == ((0.0, 0.0, 0.0), (1.0, 1.0, 2.0), (3, 8, 8))
    assert info.input_range == (0.0, 1.0)  # the checkpoint's range belonged to other values
    assert describe(HEADER, input_range=(-1, 1)).input_range == (-1.0, 1.0)


def test_the_input_range_follows_from_mean_and_std() -> None:
    info = describe({**HEADER, "input_range": None})
    assert info.input_range == (-2.0, 2.0)
    assert describe({"input_shape": [3, 8, 8]}).input_range is None


def test_tensors_in_the_header_are_lists() -> None:
    assert describe({**HEADER, "mean": torch.tensor([0.5, 0.5, 0.5])}).mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("header", "words", "error", "text"),
    [
        ({}, {}, UsageError, "--input-shape C,H,W"),
        (HEADER, {"mean": (0, 0, 0)}, UsageError, "go together"),
        (HEADER, {"mean": (0, 0), "std": (1, 1)}, UsageError, "--mean takes 3 finite numbers"),
        (HEADER, {"mean": (0, 0, 0), "std": (1, 0, 1)}, UsageError, "above 0"),
        (HEADER, {"mean": (0, 0, float("nan")), "std": (1, 1, 1)}, UsageError, "finite"),
        (HEADER, {"input_range": (1, 1)}, UsageError, "from the smallest"),
        (HEADER, {"input_range": (1,)}, UsageError, "--input-range takes 2"),
        (HEADER, {"input_shape": (3, 0)}, UsageError, "--input-shape is a list"),
        ({**HEADER, "std": [0, 1, 1]}, {}, ModelRefusedError, "above 0"),
        ({**HEADER, "mean": [0.5]}, {}, ModelRefusedError, "mean of a.pt takes 3"),
        ({**HEADER, "mean": None}, {}, ModelRefusedError, "only one of mean and std"),
        ({**HEADER, "input_range": [2, 1]}, {}, ModelRefusedError, "from the smallest"),
        ({**HEADER, "input_shape": "3x32x32"}, {}, ModelRefusedError, "input_shape of a.pt"),
        ({**HEADER, "classes": "cat"}, {}, ModelRefusedError, "classes of a.pt"),
    ],
)
def test_wrong_values_are_named(
    header: dict[str, Any], words: dict[str, Any], error: type[FdabnnError], text: str
) -> None:
    with pytest.raises(error, match=text):
        describe(header, **words)


def test_ranges() -> None:
    assert read_ranges({"ranges": {"bn1": {"min": -1, "max": 2.5}}}, "a.pt") == {"bn1": (-1.0, 2.5)}
    assert read_ranges({}, "a.pt") == {}
    for wrong in (
        [1],
        {"a": {"min": 0}},
        {"a": {"min": 2, "max": 1}},
        {"a": [0, 1]},
        {"a": {"min": 0, "max": "1"}},
    ):
        with pytest.raises(ModelRefusedError, match="ranges in"):
            read_ranges({"ranges": wrong}, "a.pt")
