"""Differences of convolutions by the native library, over NumPy arrays, by way of `c_api/fdabnn.h`; for tests and benchmarks."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.native import library
from fdabnn_deploy.native.library import Pool

Floats = NDArray[np.float32]

SUBTRACT = -1
"""In an expression: the difference of the two results in front of it."""

_INT, _POINTER = ctypes.c_int, ctypes.c_void_p
library.declare_kernel(
    "conv_sum",
    [_POINTER, _POINTER, _INT, _POINTER, _INT, _INT],
    [_POINTER, _INT, _POINTER, _POINTER, _POINTER],
)


class _CTerm(ctypes.Structure):
    _fields_ = [("input", ctypes.c_int32), ("filter", ctypes.c_void_p), ("bias", ctypes.c_void_p)]


@dataclass(frozen=True)
class ConvSumParams:
    """The shape and settings that the convolutions share, as in `kernels/conv_sum.h`."""

    channels_in: int
    channels_out: int
    kernel_h: int = 1
    kernel_w: int = 1
    stride_h: int = 1
    stride_w: int = 1
    dilation_h: int = 1
    dilation_w: int = 1
    same_padding: bool = False
    pad_top: int = 0
    pad_left: int = 0
    pad_bottom: int = 0
    pad_right: int = 0
    planes: bool = False


@dataclass(frozen=True)
class Term:
    """A convolution: which input; float32 [channels_out, kernel_h, kernel_w, channels_in]; float32 [channels_out]."""

    input: int
    filters: Floats
    bias: Floats


class ConvSum(library.PreparedKernel):
    """Prepared differences of convolutions.

    Args:
        params: Sizes.
        terms: The convolutions.
        expression: Postfix: the number of a term is its convolution; `SUBTRACT`.
        level: Whose instructions to use; the fastest by default.

    Raises:
        UsageError: arrays do not fit, or the library refuses the parameters or the expression.
    """

    def __init__(
        self,
        params: ConvSumParams,
        terms: Sequence[Term],
        expression: Sequence[int],
        *,
        level: str | None = None,
    ) -> None:
        self.params = params
        self.inputs = 1 + max((term.input for term in terms), default=-1)
        shape = (params.channels_out, params.kernel_h, params.kernel_w, params.channels_in)
        kept = [
            (
                library.checked("filters", term.filters, np.float32, shape),
                library.checked("bias", term.bias, np.float32, (params.channels_out,)),
            )
            for term in terms
        ]
        c_terms = (_CTerm * len(terms))(
            *(
                _CTerm(term.input, filters.ctypes.data, bias.ctypes.data)
                for term, (filters, bias) in zip(terms, kept, strict=True)
            )
        )
        super().__init__(
            *("conv_sum", (ctypes.c_int32 * 14)(*map(int, astuple(params))), c_terms, len(terms)),
            *((ctypes.c_int32 * len(expression))(*expression), len(expression), library.level_number(level)),
        )

    def prepare(
        self, inputs: Sequence[Floats], pool: Pool | None = None
    ) -> tuple[Callable[[], None], Floats]:
        """A call without arguments for inputs [batch, height, width, channels_in] of one shape, and the array that it writes.

        Where the parameters say `planes`, both are [batch, channels, height, width].

        What a benchmark times: one call into the library, nothing else.
        """
        if len(inputs) != self.inputs:
            raise UsageError(f"native kernels: {len(inputs)} inputs, not {self.inputs}")
        planes = self.params.planes

        def shape(batch: int, height: int, width: int, channels: int) -> tuple[int, ...]:
            return (batch, channels, height, width) if planes else (batch, height, width, channels)

        batch, rows, columns = np.delete(inputs[0].shape, 1 if planes else 3).tolist()
        arrays = [
            library.checked("input", values, np.float32, shape(batch, rows, columns, self.params.channels_in))
            for values in inputs
        ]
        height, width = self.set_size(rows, columns)
        output = np.empty(shape(batch, height, width, self.params.channels_out), np.float32)
        pool = pool or library.one_thread()
        memory, workspace = self.workspace(pool)
        pointers = (ctypes.c_void_p * len(arrays))(*(values.ctypes.data for values in arrays))

        def run(_kept: object = (self, arrays, output, memory)) -> None:
            library.call(
                *("conv_sum_run", self.handle, pointers, batch, output.ctypes.data, pool.handle, workspace)
            )

        return run, output

    def __call__(self, inputs: Sequence[Floats], pool: Pool | None = None) -> Floats:
        """The output [batch, height, width, channels_out], or as planes, for inputs of one shape."""
        run, output = self.prepare(inputs, pool)
        run()
        return output
