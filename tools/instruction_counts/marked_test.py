"""Calls between marks compute what plain calls do, on any processor."""

from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.native import library
from instruction_counts.kernels import cases
from instruction_counts.marked import call_marked, section


def test_results_are_those_of_plain_calls() -> None:
    values = np.random.default_rng(0).normal(size=(3, 5, 70)).astype(np.float32)
    found = []
    call_marked(lambda: found.append(library.quantize(values)))
    np.testing.assert_array_equal(found[0], library.quantize(values))
    with section():
        words = library.quantize(values)
    np.testing.assert_array_equal(found[0], words)


def test_a_refusal_is_raised() -> None:
    values = np.zeros((3, 0), np.float32)
    with pytest.raises(UsageError, match="0 channels"):
        call_marked(lambda: library.quantize(values))


def test_every_kernel_is_a_case_once_per_level() -> None:
    names = [case.name for case in cases()]
    assert len(set(names)) == len(names)
    for level in library.levels():
        ours = [name for name in names if name.endswith(f", {level}")]
        assert len(ours) == len(names) // len(library.levels())
        for kernel in ("bconv 56x56x64 float", "bconv 32x32x16 packed", "quantize", "dequantize", "bmaxpool"):
            assert any(name.startswith(kernel) for name in ours)


def test_every_case_runs_here() -> None:
    for case in cases():
        # The scalar level takes long.
        if case.name.endswith(library.chosen_level()):
            call_marked(case.run)
