"""Binary layers of the native library over NumPy arrays, by way of `c_api/fdabnn.h`; for tests and benchmarks."""

from __future__ import annotations

import ctypes
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.native import library
from fdabnn_deploy.native.library import Pool, Words

Floats = NDArray[np.float32]

_INT, _SIZE, _POINTER = ctypes.c_int, ctypes.c_size_t, ctypes.c_void_p
library.declare_kernel("layer", [*[_POINTER] * 5, _INT], [_POINTER, _POINTER, _INT, *[_POINTER] * 4])
library.SIGNATURES["pack_planes"] = (
    _INT,
    [_POINTER, _INT, _INT, _SIZE, _POINTER, _INT, _POINTER, _POINTER],
)


@dataclass(frozen=True)
class BinaryLayerParams:
    """A binary convolution with what follows it, as in `kernels/binary_layer.h`: its formula is there."""

    channels_in: int
    channels_out: int
    groups: int = 1
    kernel_h: int = 1
    kernel_w: int = 1
    stride_h: int = 1
    stride_w: int = 1
    dilation_h: int = 1
    dilation_w: int = 1
    pad_top: int = 0
    pad_left: int = 0
    pad_bottom: int = 0
    pad_right: int = 0
    pad_value: int = 0
    planes: bool = False


@dataclass(frozen=True)
class Finish:
    """Parameters of the epilogue: float32 [channels_out] each, or None."""

    slope: Floats | None = None
    scale: Floats | None = None
    offset: Floats | None = None


class BinaryLayer(library.PreparedKernel):
    """A prepared layer.

    Args:
        params: Sizes.
        filters: Packed, [channels_out, kernel_h, kernel_w, ceil(channels_in / groups / 32)].
        finish: What follows the convolution.
        level: Whose instructions to use; the fastest by default.

    Raises:
        UsageError: arrays do not fit, or the library refuses the parameters.
    """

    def __init__(
        self,
        params: BinaryLayerParams,
        filters: Words,
        finish: Finish = Finish(),
        *,
        level: str | None = None,
    ) -> None:
        self.params = params
        inputs = params.channels_in // max(params.groups, 1)
        shape = (params.channels_out, params.kernel_h, params.kernel_w, library.words_for(inputs))
        filters = library.checked("filters", filters, np.uint32, shape)
        _kept, pointers = library.checked_constants(
            params.channels_out,
            slope=(finish.slope, np.float32),
            scale=(finish.scale, np.float32),
            offset=(finish.offset, np.float32),
        )
        c_params = (ctypes.c_int32 * 15)(*map(int, astuple(params)))
        super().__init__("layer", c_params, filters.ctypes.data, *pointers, library.level_number(level))

    def __call__(
        self,
        words: Words,
        residual: Floats | None = None,
        pool: Pool | None = None,
        *,
        out: Floats | None = None,
    ) -> tuple[Floats, Words]:
        """Values and signs of an input [batch, height, width, words].

        Args:
            words: Packed signs.
            residual: In the layout of the values.
            pool: Threads; the calling one by default.
            out: Where the values go, without gaps; may be the residual.
        """
        params = self.params
        words = library.checked(
            "input", words, np.uint32, (None, None, None, library.words_for(params.channels_in))
        )
        size, channels = self.set_size(words.shape[1], words.shape[2]), params.channels_out
        shape = (len(words), channels, *size) if params.planes else (len(words), *size, channels)
        values = (
            np.empty(shape, np.float32) if out is None else library.checked("out", out, np.float32, shape)
        )
        signs = np.empty((len(words), *size, library.words_for(channels)), np.uint32)
        if residual is not None:
            residual = library.checked("residual", residual, np.float32, shape)
        pool = pool or library.one_thread()
        _memory, workspace = self.workspace(pool)
        library.call(
            *("layer_run", self.handle, words.ctypes.data),
            *(None if residual is None else residual.ctypes.data, len(words)),
            *(values.ctypes.data, signs.ctypes.data, pool.handle, workspace),
        )
        return values, signs


def pack_planes(values: Floats, *, level: str | None = None, pool: Pool | None = None) -> Words:
    """The signs of values [batch, channels, height, width], packed [batch, height, width, words]."""
    values = library.checked("values", values, np.float32, (None, None, None, None))
    batch, channels, height, width = values.shape
    words = np.empty((batch, height, width, library.words_for(channels)), np.uint32)
    pool = pool or library.one_thread()
    library.call(
        *("pack_planes", values.ctypes.data, batch, channels, height * width, words.ctypes.data),
        *(library.level_number(level), pool.handle),
    )
    return words
