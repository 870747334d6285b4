from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fdabnn_deploy.choices import batch_size, one_of, whole_number
from fdabnn_deploy.errors import UsageError


def test_a_choice_is_taken_as_it_is_spelled() -> None:
    assert one_of("exact", ("exact", "float"), "numerics") == "exact"


@pytest.mark.parametrize("given", ["Exact", "fp32", "", None, 1, b"exact", ["exact"]])
def test_another_spelling_is_refused_with_the_choices(given: Any) -> None:
    with pytest.raises(UsageError, match=r"numerics is 'exact' or 'float', not"):
        one_of(given, ("exact", "float"), "numerics")


def test_the_nearest_choice_is_named() -> None:
    with pytest.raises(UsageError, match="did you mean 'packed'"):
        one_of("Packed", ("standard", "packed"), "kernels")


@pytest.mark.parametrize("given", [4, np.int64(4), np.uint8(4), "4"])
def test_batch_sizes(given: Any) -> None:
    taken = batch_size(given)
    assert taken == 4
    assert type(taken) is int


@pytest.mark.parametrize("given", [None, "dynamic"])
def test_any_batch_size(given: Any) -> None:
    assert batch_size(given) is None


@pytest.mark.parametrize("given", [0, -1, True, 1.0, np.float32(1), "Dynamic", "1.5", "", [1]])
def test_what_is_no_batch_size(given: Any) -> None:
    with pytest.raises(UsageError, match="batch is a positive number or 'dynamic'"):
        batch_size(given)


def test_whole_numbers() -> None:
    assert type(whole_number(np.int32(3), "runs")) is int
    with pytest.raises(UsageError, match=r"warmup is a whole number of at least 0, not 0\.5"):
        whole_number(0.5, "warmup", 0)
