from __future__ import annotations

import numpy as np

from fdabnn_deploy.conformance import KINDS, chosen_cases


def test_every_operator_has_cases() -> None:
    assert {type(case.op) for case in chosen_cases()} == set(KINDS)


def test_names_are_unique_and_the_same_on_every_call() -> None:
    first, second = chosen_cases(), chosen_cases()
    assert len({case.name for case in first}) == len(first)
    for a, b in zip(first, second, strict=True):
        assert a.name == b.name
        assert all(np.array_equal(x, y) for x, y in zip(a.inputs, b.inputs, strict=True))
