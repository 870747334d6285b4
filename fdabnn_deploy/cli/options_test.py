from __future__ import annotations

import click
import pytest

from fdabnn_deploy.cli.options import Numbers


def test_numbers_separated_by_commas() -> None:
    kind = Numbers(float, "two numbers", 2)
    assert kind.convert("-2,2.5", None, None) == (-2.0, 2.5)
    assert Numbers(int, "a shape").convert("3x32x32", None, None) == (3, 32, 32)
    for bad in ("1", "1,2,3", "a,b", "nan,1", "1,inf"):
        with pytest.raises(click.BadParameter):
            kind.convert(bad, None, None)
