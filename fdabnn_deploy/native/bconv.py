"""Binary convolutions by the native library, over NumPy arrays, by way of `c_api/fdabnn.h`; for tests and benchmarks."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.native import library
from fdabnn_deploy.native.library import Pool, Words

Output = Literal["float", "packed", "int8"]
Activation = Literal["none", "relu", "relu_n1_to_1", "relu6"]

ACTIVATIONS: tuple[Activation, ...] = ("none", "relu", "relu_n1_to_1", "relu6")
OUTPUTS: tuple[Output, ...] = ("float", "packed", "int8")
_OUTPUT_TYPES: dict[Output, DTypeLike] = {"float": np.float32, "packed": np.uint32, "int8": np.int8}

_INT, _POINTER = ctypes.c_int, ctypes.c_void_p
library.declare_kernel("bconv", [*[_POINTER] * 5, _INT], [_POINTER, _INT, _POINTER, _POINTER, _POINTER])


class _CBconv(ctypes.Structure):
    _fields_ = [
        *(
            (name, ctypes.c_int32)
            for name in (
                *("channels_in", "channels_out", "groups", "kernel_h", "kernel_w", "stride_h", "stride_w"),
                *("dilation_h", "dilation_w", "same_padding", "pad_value", "activation", "output"),
            )
        ),
        ("output_scale", ctypes.c_float),
        ("output_zero_point", ctypes.c_int32),
    ]


@dataclass(frozen=True)
class BconvParams:
    """A binary convolution, as in `kernels/bconv.h`: its formula is there."""

    channels_in: int
    channels_out: int
    kernel_h: int
    kernel_w: int
    groups: int = 1
    stride_h: int = 1
    stride_w: int = 1
    dilation_h: int = 1
    dilation_w: int = 1
    same_padding: bool = False
    pad_value: int = 0
    activation: Activation = "none"
    output: Output = "float"
    output_scale: float = 1.0
    output_zero_point: int = 0


class Bconv(library.PreparedKernel):
    """A prepared binary convolution.

    Args:
        params: Sizes and kind.
        filters: Packed, [channels_out, kernel_h, kernel_w, ceil(channels_in / groups / 32)].
        multiplier: float32 [channels_out], with `bias` for float and int8 output.
        bias: float32 [channels_out].
        thresholds: int32 [channels_out], for packed output.
        level: Whose instructions to use; the fastest by default.

    Raises:
        UsageError: arrays do not fit, or the library refuses the parameters.
    """

    def __init__(
        self,
        params: BconvParams,
        filters: Words,
        *,
        multiplier: NDArray[np.float32] | None = None,
        bias: NDArray[np.float32] | None = None,
        thresholds: NDArray[np.int32] | None = None,
        level: str | None = None,
    ) -> None:
        self.params = params
        inputs = params.channels_in // max(params.groups, 1)
        filters = library.checked(
            "filters",
            filters,
            np.uint32,
            (params.channels_out, params.kernel_h, params.kernel_w, library.words_for(inputs)),
        )
        _kept, pointers = library.checked_constants(
            params.channels_out,
            multiplier=(multiplier, np.float32),
            bias=(bias, np.float32),
            thresholds=(thresholds, np.int32),
        )
        c_params = _CBconv(
            *(params.channels_in, params.channels_out, params.groups, params.kernel_h, params.kernel_w),
            *(params.stride_h, params.stride_w, params.dilation_h, params.dilation_w),
            *(
                params.same_padding,
                params.pad_value,
                ACTIVATIONS.index(params.activation),
                OUTPUTS.index(params.output),
            ),
            *(params.output_scale, params.output_zero_point),
        )
        super().__init__(
            "bconv", ctypes.byref(c_params), filters.ctypes.data, *pointers, library.level_number(level)
        )
        self._input = self._output = (0, 0)

    def resize(self, height: int, width: int) -> tuple[int, int]:
        """Sets the size of the input and returns that of the output; before `run`, and not while one goes on."""
        self._input, self._output = (height, width), self.set_size(height, width)
        return self._output

    def prepare(self, words: Words, pool: Pool | None = None) -> tuple[Callable[[], None], NDArray[Any]]:
        """A call without arguments for one input array [batch, height, width, words], and the array that it writes.

        What a benchmark times: one call into the library, nothing else.
        """
        words = library.checked(
            "input", words, np.uint32, (None, *self._input, library.words_for(self.params.channels_in))
        )
        pool = pool or library.one_thread()
        channels = self.params.channels_out
        depth = library.words_for(channels) if self.params.output == "packed" else channels
        output = np.empty((words.shape[0], *self._output, depth), _OUTPUT_TYPES[self.params.output])
        memory, workspace = self.workspace(pool)
        native_run = library.function("bconv_run")
        error = ctypes.create_string_buffer(256)
        arguments = (
            self.handle,
            words.ctypes.data,
            words.shape[0],
            output.ctypes.data,
            pool.handle,
            workspace,
            error,
        )

        def run(_kept: object = (self, words, output, pool, memory)) -> None:
            if native_run(*arguments) != 0:
                raise UsageError(f"native kernels: {error.value.decode()}")

        return run, output

    def __call__(self, words: Words, pool: Pool | None = None) -> NDArray[Any]:
        """The output for an input [batch, height, width, words] of any size."""
        words = library.checked(
            "input", words, np.uint32, (None, None, None, library.words_for(self.params.channels_in))
        )
        if words.shape[1:3] != self._input:
            self.resize(words.shape[1], words.shape[2])
        run, output = self.prepare(words, pool)
        run()
        return output
