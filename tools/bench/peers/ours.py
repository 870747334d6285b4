"""Our kernels, through the C interface of the native library, and the peaks that they are measured against."""

from __future__ import annotations

import ctypes
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bench import cc
from bench.layers import Problem, packed
from bench.measure import Array, Contender
from fdabnn_deploy.measure.timer import Seconds
from fdabnn_deploy.native import delegate_path
from fdabnn_deploy.native.bconv import Bconv, BconvParams, Output
from fdabnn_deploy.native.library import Pool, levels

OUTPUTS: tuple[Output, ...] = ("float", "packed")

CLOCK, NAIVE, CLASSIC = "clock", "naive", "classic AVX2"
"""Names of the peaks: cycles; xor, vpopcntd, add; xor, two pshufb counts, add."""

PACKING, COPY = "ours: sign packing", "memory copy"

_LEVELS = ("scalar", "popcnt", "avx2", "avx512", "neon", "neon_lookup")
"""As the C interface numbers them."""


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(delegate_path())
    library.fdabnn_bconv_workspace_bytes.restype = ctypes.c_size_t
    library.fdabnn_bconv_workspace_bytes.argtypes = [ctypes.c_void_p, ctypes.c_int]
    return library


def _aligned(size: int) -> NDArray[np.uint8]:
    space = np.zeros(size + 64, np.uint8)
    return space[-space.ctypes.data % 64 :][:size]


class _Prepared:
    """A convolution with its threads, buffers and workspace. The threads run where the calling one may run now."""

    def __init__(self, problem: Problem, output: Output, level: str, threads: int) -> None:
        layer, is_float = problem.layer, output == "float"
        self._conv = Bconv(
            BconvParams(
                *(layer.channels, layer.channels, layer.kernel, layer.kernel),
                stride_h=layer.stride,
                stride_w=layer.stride,
                same_padding=True,
                pad_value=0 if is_float else 1,
                output=output,
            ),
            packed(problem.filters),
            multiplier=problem.multiplier if is_float else None,
            bias=problem.bias if is_float else None,
            thresholds=None if is_float else problem.thresholds,
            level=level,
        )
        self._conv.resize(layer.size, layer.size)
        self._pool = Pool(threads)
        expected = problem.expected_float if is_float else problem.expected_packed
        self.output: Array = _aligned(expected.nbytes).view(expected.dtype).reshape(expected.shape)
        # What the kernel has not written is then seen.
        self.output.view(np.uint32)[...] = 0x7FC0DEAD
        words = problem.packed_signs
        self._input = _aligned(words.nbytes).view(words.dtype).reshape(words.shape)
        self._input[...] = words
        self._workspace = _aligned(
            _library().fdabnn_bconv_workspace_bytes(self._conv.handle, self._pool.threads)
        )

    def seconds(self, calls: int) -> float:
        """See `measure.Seconds`."""
        function = ctypes.cast(_library().fdabnn_bconv_run, ctypes.c_void_p)
        buffers = (_address(self._input), _address(self.output), self._pool.handle, _address(self._workspace))
        found = float(cc.library().repeat_bconv(function, self._conv.handle, *buffers, calls))
        assert found >= 0, "a prepared convolution was refused"
        return found


def _address(array: Array) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def convolution(problem: Problem, output: Output, level: str, threads: int = 1) -> Contender:
    """A prepared kernel from packed input to written output."""
    conv = _Prepared(problem, output, level, threads)
    return Contender(
        name(output, level, threads),
        "ours",
        conv.seconds,
        lambda: conv.output,
        problem.expected_float if output == "float" else problem.expected_packed,
        {"macs": problem.layer.macs, "level": level, "output": output, "threads": threads},
    )


def name(output: str, level: str, threads: int = 1) -> str:
    """The name of a kernel in the rows of `convolution`."""
    return f"ours: {output}, {level}" + (f", {threads} threads" if threads > 1 else "")


def sign_packing(problem: Problem, level: str) -> list[Contender]:
    """Packing the signs of the layer's float input, and copying that input, into the same buffers each time."""
    pool = Pool()
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
            *(_LEVELS.index(level), pool.handle, calls),
        )
        assert found >= 0, "sign packing was refused"
        return float(found)

    def copy(calls: int) -> float:
        return float(cc.library().repeat_copy(_address(copied), _address(values), values.nbytes, calls))

    return [
        Contender(PACKING, "packing", pack, lambda: words, expected, {"level": level}),
        Contender(COPY, "copy", copy, lambda: copied, values, {"bytes": values.nbytes}),
    ]


def peaks() -> list[Contender]:
    """The clock and what xor, count and add can do from registers, as far as this processor has the instructions."""
    generator = np.random.default_rng(0)
    found = [Contender(CLOCK, "clock", _clock, detail={"cycles": 1000})]
    for label, level, vector, macs in (
        (NAIVE, "avx512", 64, cc.AVX512_MAC),
        (CLASSIC, "avx2", 32, cc.AVX2_MAC),
    ):
        if level in levels():
            data = generator.integers(0, 256, 4 * vector, np.uint8)
            weights = generator.integers(0, 256, 3 * vector, np.uint8)
            found.append(Contender(label, "ceiling", _peak(level, data, weights), detail={"macs": macs}))
    return found


def _clock(calls: int) -> float:
    return 1000 * calls / cc.cycles_per_second(calls)


def _peak(level: str, data: NDArray[np.uint8], weights: NDArray[np.uint8]) -> Seconds:
    return lambda calls: cc.count_bits(level, calls, data, weights)[0]
