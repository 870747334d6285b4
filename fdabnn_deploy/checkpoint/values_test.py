from __future__ import annotations

import math

import pytest
import torch

from fdabnn_deploy.checkpoint.values import check_values
from fdabnn_deploy.errors import ModelRefusedError


def test_good_tensors_pass() -> None:
    check_values(
        {"a": torch.ones(2), "n": torch.tensor(3), "empty": torch.ones(0, 4), "h": torch.ones(1).half()}, "x"
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_named(bad: float) -> None:
    with pytest.raises(ModelRefusedError, match=r"a\.weight \(1 of 3 values\)"):
        check_values({"a.weight": torch.tensor([1.0, bad, 2.0]), "b": torch.ones(1)}, "x")


@pytest.mark.parametrize(
    "strange",
    [
        torch.empty(2, device="meta"),
        torch.ones(2, 2).to_sparse(),
        torch.ones(2, dtype=torch.complex64),
    ],
    ids=["meta", "sparse", "complex"],
)
def test_tensors_that_are_no_plain_arrays_are_named(strange: torch.Tensor) -> None:
    with pytest.raises(ModelRefusedError, match=r"not plain arrays.*w"):
        check_values({"w": strange}, "x")


@pytest.mark.filterwarnings("ignore:torch.quantize:UserWarning")
def test_quantized_tensors_are_named() -> None:
    quantized = torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)
    with pytest.raises(ModelRefusedError, match="quantized"):
        check_values({"w": quantized}, "x")
