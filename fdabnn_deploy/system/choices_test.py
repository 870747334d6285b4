from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.system.choices import batch_size, names, one_of, whole_number, yes_or_no


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


@pytest.mark.parametrize("given", [True, np.bool_(True)])
def test_booleans(given: Any) -> None:
    assert yes_or_no(given, "clean") is True
    assert yes_or_no(not given, "clean") is False


@pytest.mark.parametrize("given", ["no", "", "False", 0, 1, None, [], np.zeros(1, np.bool_)])
def test_what_is_no_boolean(given: Any) -> None:
    with pytest.raises(UsageError, match="clean is True or False, not"):
        yes_or_no(given, "clean")


@pytest.mark.parametrize("given", ["a", ["a"], ("a",), {"a": 1}, iter("a")])
def test_names(given: Any) -> None:
    assert names(given, "targets") == ("a",)


@pytest.mark.parametrize("given", [None, 3, [3], ["a", None], True, b"a", [["a"]]])
def test_what_is_no_name(given: Any) -> None:
    with pytest.raises(UsageError, match="targets is a text or several"):
        names(given, "targets")
