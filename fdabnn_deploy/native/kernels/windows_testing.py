"""Random strides and dilations for the tests of kernels over images."""

from __future__ import annotations

from hypothesis import strategies as st


def strides(draw: st.DrawFn) -> dict[str, int]:
    """`stride_h` and `stride_w`, mostly 1."""
    return {f"stride_{axis}": draw(st.sampled_from([1, 1, 2, 3])) for axis in "hw"}


def dilations(draw: st.DrawFn) -> dict[str, int]:
    """`dilation_h` and `dilation_w`, mostly 1."""
    return {f"dilation_{axis}": draw(st.sampled_from([1, 1, 1, 2, 3])) for axis in "hw"}
