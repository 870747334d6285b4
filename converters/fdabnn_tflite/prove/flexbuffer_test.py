from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdabnn_deploy.prove.rows import UnprovedError
from fdabnn_tflite.prove.flexbuffer import integer_map

# Options that LCE's converter wrote for a convolution of 20 channels.
OPTIONS = bytes.fromhex(
    "6368616e6e656c735f696e0064696c6174696f6e5f6865696768745f666163746f720064696c6174696f6e5f77696474685f666163746f72"
    "0066757365645f61637469766174696f6e5f66756e6374696f6e007061645f76616c7565730070616464696e67007374726964655f686569"
    "676874007374726964655f776964746800088277614c3329221508010814010100000001010404040404040404102401"
)


def test_options_of_a_convolution() -> None:
    assert integer_map(OPTIONS) == {
        "channels_in": 20,
        "dilation_height_factor": 1,
        "dilation_width_factor": 1,
        "fused_activation_function": 0,
        "pad_values": 0,
        "padding": 0,
        "stride_height": 1,
        "stride_width": 1,
    }


@given(st.binary(max_size=64))
def test_other_bytes_are_refused(data: bytes) -> None:
    try:
        integer_map(data)
    except UnprovedError:
        return


@pytest.mark.parametrize("size", range(0, len(OPTIONS), 7))
def test_a_part_of_the_options_is_refused(size: int) -> None:
    with pytest.raises(UnprovedError, match="options"):
        integer_map(OPTIONS[:size])
