"""The most that a core can count. The library itself compares the bits that its loops have counted with those that they had to."""

from __future__ import annotations

import pytest

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.native import library


@pytest.mark.parametrize("level", library.levels())
def test_every_level_counts_right(level: str) -> None:
    # From a processor of 50 MHz that takes a cycle per multiply-add to one of 100 GHz that does 10000 at a time.
    assert 5e7 < library.peak(level) < 1e15


def test_a_level_that_is_not_there_is_refused() -> None:
    missing = next(level for level in ("neon", "avx512") if level not in library.levels())
    with pytest.raises(UsageError, match=f"level {missing} is not supported here"):
        library.peak(missing)
