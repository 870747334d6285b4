from __future__ import annotations

import pytest

from fdabnn_deploy.prove.geometry import Windows
from fdabnn_deploy.prove.rows import UnprovedError


def test_tensorflows_same_pads_more_behind() -> None:
    windows = Windows((1, 2), (3, 3), (2, 2), (1, 1), "SAME")
    assert windows.resolved_pads((1, 8, 7, 5)) == ((0, 1), (1, 1))
    assert windows.output((1, 8, 7, 5)) == (1, 4, 4, 5)
    assert windows.padded((1, 8, 7, 5))


def test_explicit_pads_and_dilation() -> None:
    windows = Windows((2, 3), (3, 3), (1, 2), (2, 1), ((1, 1), (0, 0)))
    assert windows.extents() == (5, 3)
    assert windows.output((1, 4, 7, 9)) == (1, 4, 5, 4)


def test_taps_inside_the_image() -> None:
    windows = Windows((2,), (3,), (1,), (1,), ((1, 1),))
    assert windows.counts((1, 1, 5)) == ({2, 3},)
    assert windows.counts((1, 1, 5), ((0, 1), (0, 1), (2, 5))) == ({0, 1, 2, 3},)


def test_no_window_fits() -> None:
    with pytest.raises(UnprovedError, match="no window"):
        Windows((2,), (5,), (1,), (1,), ((0, 0),)).sizes((1, 1, 4))
