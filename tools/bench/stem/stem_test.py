"""The files of the stem and its table; nothing here is timed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.measure import Row, difference, timing
from bench.stem import stem
from fdabnn_deploy.data.images import synthetic


def test_filters_become_integers_of_8_bits() -> None:
    filters = np.random.default_rng(0).standard_normal((4, 3, 3, 2)).astype(np.float32)
    filters[1] = 0
    rounded = stem.eight_bits(filters)
    for channel, exact in zip(rounded, filters, strict=True):
        largest = float(np.abs(exact).max())
        unit = 2.0 ** np.ceil(np.log2(max(largest, 2.0**-60) / 127))
        assert np.array_equal(channel / unit, np.round(channel / unit))
        assert np.abs(channel).max() <= 127 * unit
        assert np.abs(channel - exact).max() <= unit / 2


def row(name: str, group: str, seconds: float | None) -> Row:
    found = None if seconds is None else timing([seconds] * 3, 1)
    return Row(name, group, found, "" if found else "3 of 9 values differ", {})


def test_the_table_compares_with_the_best_float_form() -> None:
    rows = [row(stem.THREE, "ours", 2e-3), row(stem.ONE, "ours", None)]
    rows += [row("slow", "fp32", 5e-3), row("fast", "fp32", 3e-3)]
    assert stem.table(rows) == [
        [stem.THREE, "2.00 ms", "1.50 x", "1.2 x"],
        [stem.ONE, "3 of 9 values differ", "", "2.5 x"],
        ["slow", "5.00 ms", "0.60 x", ""],
        ["fast", "3.00 ms", "1.00 x", ""],
    ]


@pytest.mark.runtimes
@pytest.mark.slow
def test_ours_give_the_bits_of_litert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = stem.files(fresh=False)
    images = synthetic(1, stem.SIZE)
    for contender in stem.contenders(made, images):
        contender.seconds(1)
        if contender.output is None:
            continue
        assert contender.expected is not None
        assert difference(contender.output(), contender.expected) == "", contender.name
        assert np.unique(contender.output()).size > 1000
