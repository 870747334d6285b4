"""Our kernels, through the C interface of the native library, and the ceilings that they are measured against."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import cc
from bench.layers import Problem, packed
from bench.measure import Array, Contender, Seconds
from fdabnn_deploy.errors import RuntimeMissingError, UsageError
from fdabnn_deploy.native import delegate_path

LEVELS = ("scalar", "popcnt", "avx2", "avx512", "neon")
"""As the C interface numbers them."""

CLOCK, NAIVE, CLASSIC = "clock", "naive", "classic AVX2"
"""Names of the ceilings: cycles; xor, vpopcntd, add; xor, two pshufb counts, add."""

QUANTIZE, COPY = "ours: sign packing", "memory copy"

_ERROR_BYTES = 256
_OUTPUTS = {"float": 0, "packed": 1}


class _Params(ctypes.Structure):
    """`fdabnn_bconv_params`."""

    _fields_ = (
        *(
            (name, ctypes.c_int32)
            for name in (
                *("channels_in", "channels_out", "groups", "kernel_h", "kernel_w"),
                *("stride_h", "stride_w", "dilation_h", "dilation_w"),
                *("same_padding", "pad_value", "activation", "output"),
            )
        ),
        ("output_scale", ctypes.c_float),
        ("output_zero_point", ctypes.c_int32),
    )


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(delegate_path())
    for name in ("fdabnn_pool_create", "fdabnn_bconv_create"):
        getattr(library, name).restype = ctypes.c_void_p
    library.fdabnn_bconv_workspace_bytes.restype = ctypes.c_size_t
    return library


def supported(level: str) -> bool:
    """Whether this build and processor have the level."""
    return bool(_library().fdabnn_level_supported(LEVELS.index(level)))


def best_level() -> str:
    """What the library chooses: the fastest, or what FDABNN_KERNELS names.

    Raises:
        UsageError: FDABNN_KERNELS names no supported level.
    """
    number, error = ctypes.c_int(), ctypes.create_string_buffer(_ERROR_BYTES)
    if _library().fdabnn_level_choose(ctypes.byref(number), error) != 0:
        raise UsageError(error.value.decode())
    return LEVELS[number.value]


def _checked(result: Any, error: Any) -> Any:
    if not result:
        raise RuntimeMissingError(f"the native library refuses a layer: {error.value.decode()}")
    return ctypes.c_void_p(result)


def _aligned(size: int) -> NDArray[np.uint8]:
    space = np.zeros(size + 64, np.uint8)
    return space[-space.ctypes.data % 64 :][:size]


class _Pool:
    """Threads of the library."""

    def __init__(self, threads: int) -> None:
        error = ctypes.create_string_buffer(_ERROR_BYTES)
        self.handle = _checked(_library().fdabnn_pool_create(threads, error), error)

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            _library().fdabnn_pool_destroy(self.handle)


class Bconv:
    """A prepared convolution with its threads, buffers and workspace.

    Args:
        problem: to compute.
        output: float (zero padding) or packed (one-padding).
        level: one of `LEVELS`.
        threads: to compute with. They run where this thread may run now.
    """

    def __init__(self, problem: Problem, output: str, level: str, threads: int) -> None:
        layer, library = problem.layer, _library()
        error = ctypes.create_string_buffer(_ERROR_BYTES)
        params = _Params(
            *(layer.channels, layer.channels, 1, layer.kernel, layer.kernel),
            *(layer.stride, layer.stride, 1, 1),
            *(1, int(output == "packed"), 0, _OUTPUTS[output]),
            *(1.0, 0),
        )
        filters = np.ascontiguousarray(packed(problem.filters))
        multiplier, bias, thresholds = problem.multiplier, problem.bias, problem.thresholds
        is_float = output == "float"
        self._pool = _Pool(threads)
        self._conv = _checked(
            library.fdabnn_bconv_create(
                ctypes.byref(params),
                *(_address(filters), _address(multiplier) if is_float else None),
                *(_address(bias) if is_float else None, None if is_float else _address(thresholds)),
                *(LEVELS.index(level), error),
            ),
            error,
        )
        out = (ctypes.c_int(), ctypes.c_int())
        status = library.fdabnn_bconv_resize(
            self._conv, layer.size, layer.size, ctypes.byref(out[0]), ctypes.byref(out[1]), error
        )
        _checked(status == 0, error)
        expected = problem.expected_float if is_float else problem.expected_packed
        # What the kernel has not written is then seen.
        self.output: Array = _aligned(expected.nbytes).view(expected.dtype).reshape(expected.shape)
        self.output.view(np.uint32)[...] = 0x7FC0DEAD
        words = problem.packed_signs
        self._input = _aligned(words.nbytes).view(words.dtype).reshape(words.shape)
        self._input[...] = words
        self._workspace = _aligned(library.fdabnn_bconv_workspace_bytes(self._conv, threads))

    def seconds(self, calls: int) -> float:
        """See `measure.Seconds`."""
        function = ctypes.cast(_library().fdabnn_bconv_run, ctypes.c_void_p)
        buffers = (_address(self._input), _address(self.output), self._pool.handle, _address(self._workspace))
        found = float(cc.library().repeat_bconv(function, self._conv, *buffers, calls))
        assert found >= 0, "a prepared convolution was refused"
        return found

    def __del__(self) -> None:
        if hasattr(self, "_conv"):
            _library().fdabnn_bconv_destroy(self._conv)


def _address(array: Array) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def convolution(problem: Problem, output: str, level: str, threads: int = 1) -> Contender:
    """A prepared kernel from packed input to written output."""
    conv = Bconv(problem, output, level, threads)
    return Contender(
        name(output, level, threads),
        "ours",
        conv.seconds,
        lambda: conv.output,
        problem.expected_float if output == "float" else problem.expected_packed,
        {"macs": problem.layer.macs, "level": level, "output": output, "threads": threads},
    )


def name(output: str, level: str, threads: int = 1) -> str:
    """What `convolution` calls a kernel."""
    return f"ours: {output}, {level}" + (f", {threads} threads" if threads > 1 else "")


def sign_packing(problem: Problem, level: str) -> list[Contender]:
    """Packing the signs of the layer's float input, and copying that input, into the same buffers each time."""
    pool = _Pool(1)
    values = _aligned(problem.values.nbytes).view(np.float32).reshape(problem.values.shape)
    values[...] = problem.values
    expected = problem.packed_signs
    words = _aligned(expected.nbytes).view(np.uint32).reshape(expected.shape)
    copied = _aligned(values.nbytes).view(np.float32).reshape(values.shape)
    channels = problem.layer.channels
    function = ctypes.cast(_library().fdabnn_quantize_float, ctypes.c_void_p)

    def pack(calls: int) -> float:
        found = cc.library().repeat_quantize(
            *(function, _address(values), values.size // channels, channels, _address(words)),
            *(LEVELS.index(level), pool.handle, calls),
        )
        assert found >= 0, "sign packing was refused"
        return float(found)

    def copy(calls: int) -> float:
        return float(cc.library().repeat_copy(_address(copied), _address(values), values.nbytes, calls))

    return [
        Contender(QUANTIZE, "packing", pack, lambda: words, expected, {"level": level}),
        Contender(COPY, "copy", copy, lambda: copied, values, {"bytes": values.nbytes}),
    ]


def ceilings() -> list[Contender]:
    """The clock and what xor, count and add can do from registers, as far as this processor has the instructions."""
    generator = np.random.default_rng(0)
    found = [Contender(CLOCK, "clock", _clock, detail={"cycles": 1000})]
    for label, level, vector, macs in (
        (NAIVE, "avx512", 64, cc.AVX512_MAC),
        (CLASSIC, "avx2", 32, cc.AVX2_MAC),
    ):
        if supported(level):
            data = generator.integers(0, 256, 4 * vector, np.uint8)
            weights = generator.integers(0, 256, 3 * vector, np.uint8)
            found.append(Contender(label, "ceiling", _ceiling(level, data, weights), detail={"macs": macs}))
    return found


def _clock(calls: int) -> float:
    return 1000 * calls / cc.cycles_per_second(calls)


def _ceiling(level: str, data: NDArray[np.uint8], weights: NDArray[np.uint8]) -> Seconds:
    return lambda calls: cc.count_bits(level, calls, data, weights)[0]
