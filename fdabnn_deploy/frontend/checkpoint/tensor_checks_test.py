from __future__ import annotations

import math

import pytest
import torch

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend.checkpoint.tensor_checks import check_values


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


def test_one_byte_floats_pass_and_are_looked_at() -> None:
    check_values({"w": torch.ones(2).to(torch.float8_e4m3fn)}, "x")
    with pytest.raises(ModelRefusedError, match=r"NaN or infinity in w \(1 of 2 values\)"):
        check_values({"w": torch.tensor([1.0, math.nan]).to(torch.float8_e5m2)}, "x")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_huge_values_are_named(dtype: torch.dtype) -> None:
    check_values({"w": torch.tensor([1e19], dtype=dtype)}, "x")
    with pytest.raises(ModelRefusedError, match=r"beyond 1\.8e\+19 in w \(up to 3e\+38\)"):
        check_values({"w": torch.tensor([1.0, -3e38], dtype=dtype)}, "x")


def test_negative_variances_are_named() -> None:
    check_values({"bn.running_var": torch.zeros(2), "bn.running_mean": -torch.ones(2)}, "x")
    with pytest.raises(ModelRefusedError, match=r"negative variances in bn\.running_var \(down to -0\.25\)"):
        check_values({"bn.running_var": torch.tensor([1.0, -0.25])}, "x")


def test_expanded_tensors_are_refused_before_they_take_their_room() -> None:
    check_values({"w": torch.zeros(1).expand(1000)}, "x")
    with pytest.raises(
        ModelRefusedError, match=r"tensors such as w \[1000000, 1000000\] needs 10\.9\d TiB of memory"
    ):
        check_values({"w": torch.zeros(1).expand(10**6, 10**6), "v": torch.ones(3)}, "x")


def test_what_is_no_tensor_is_left_alone() -> None:
    check_values({"extra_state": {"a": 1}, "w": torch.ones(1)}, "x")
