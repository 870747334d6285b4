"""The native kernels over NumPy arrays, by way of `c_api/fdabnn.h`; for tests and benchmarks.

Packed tensors are uint32 [..., ceil(channels / 32)]; see `kernels/words.h`. All arrays are checked before the library sees them. Calls
release Python's interpreter lock; several threads may call at the same time, each with a pool of its own.
"""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.native import delegate_path

Words = NDArray[np.uint32]
Padding = Literal["same", "valid"]

_LEVELS = 6
ALIGNMENT = 64


class _CBmaxpool(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_int32)
        for name in (
            "kernel_h",
            "kernel_w",
            "stride_h",
            "stride_w",
            "same_padding",
            "in_height",
            "in_width",
            "words",
        )
    ]


_INT, _SIZE, _BYTE, _POINTER = ctypes.c_int, ctypes.c_size_t, ctypes.c_uint8, ctypes.c_void_p
SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "level_name": (ctypes.c_char_p, [_INT]),
    "level_supported": (_INT, [_INT]),
    "level_choose": (_INT, [_POINTER, _POINTER]),
    "arm_cores": (_INT, [ctypes.c_char_p, _POINTER, _INT, _POINTER, _POINTER]),
    "arm_level": (_INT, [_POINTER, _INT, _POINTER, _POINTER]),
    "ceiling": (_INT, [_INT, _POINTER, _POINTER]),
    "pool_create": (_POINTER, [_INT, _POINTER]),
    "pool_threads": (_INT, [_POINTER]),
    "pool_destroy": (None, [_POINTER]),
    "quantize_float": (_INT, [_POINTER, _SIZE, _INT, _POINTER, _INT, _POINTER, _POINTER]),
    "quantize_int8": (_INT, [_POINTER, _SIZE, _INT, _INT, _POINTER, _INT, _POINTER, _POINTER]),
    "quantize_bool": (_INT, [_POINTER, _SIZE, _INT, _POINTER, _INT, _POINTER, _POINTER]),
    "dequantize_float": (_INT, [_POINTER, _SIZE, _INT, _POINTER, _INT, _POINTER, _POINTER]),
    "dequantize_bytes": (_INT, [_POINTER, _SIZE, _INT, _BYTE, _BYTE, _POINTER, _INT, _POINTER, _POINTER]),
    "bmaxpool_size": (_INT, [_POINTER, _POINTER, _POINTER, _POINTER]),
    "bmaxpool_run": (_INT, [_POINTER, _POINTER, _INT, _POINTER, _INT, _POINTER, _POINTER]),
    "marker_begin": (None, []),
    "marker_end": (None, []),
    "marked_call": (ctypes.c_int64, [_POINTER, _POINTER]),
}


@functools.cache
def function(name: str) -> Callable[..., Any]:
    """A function of the library by its name without the prefix, one of `SIGNATURES`."""
    found = ctypes.CDLL(delegate_path())[f"fdabnn_{name}"]
    found.restype, found.argtypes = SIGNATURES[name]
    return found


def call(name: str, *arguments: Any) -> Any:
    """Calls a function whose last argument is a buffer for the text of an error.

    Raises:
        UsageError: the library refuses.
    """
    error = ctypes.create_string_buffer(256)
    result = function(name)(*arguments, error)
    if error.value:
        raise UsageError(f"native kernels: {error.value.decode()}")
    return result


def levels() -> tuple[str, ...]:
    """The names of the ISA levels that this processor supports, slowest first."""
    return tuple(function("level_name")(i).decode() for i in range(_LEVELS) if function("level_supported")(i))


def chosen_level() -> str:
    """The fastest level, or the one that the environment variable FDABNN_KERNELS names.

    Raises:
        UsageError: it names no level that this processor supports.
    """
    level = ctypes.c_int()
    call("level_choose", ctypes.byref(level))
    return str(function("level_name")(level.value).decode())


def arm_cores(folder: Path = Path("/sys/devices/system/cpu")) -> tuple[int, ...]:
    """The register MIDR_EL1 of every core of an ARM processor, by which `chosen_level` decides; see `kernels/arm_cores.h`.

    Args:
        folder: where Linux describes the processor. Where it has no description, the result is the core that this runs on.
    """
    cores, count = (ctypes.c_uint64 * 4096)(), ctypes.c_int()
    call("arm_cores", str(folder).encode(), cores, len(cores), ctypes.byref(count))
    return tuple(cores[: count.value])


def arm_level(cores: Sequence[int]) -> str:
    """The ISA level that is chosen for a processor with these cores."""
    level = ctypes.c_int()
    call("arm_level", (ctypes.c_uint64 * len(cores))(*cores), len(cores), ctypes.byref(level))
    return str(function("level_name")(level.value).decode())


def level_number(level: str | None) -> int:
    """The number of an ISA level in the C interface; without a name, that of `chosen_level`."""
    level = chosen_level() if level is None else level
    for i in range(_LEVELS):
        if function("level_name")(i) == level.encode():
            return i
    raise UsageError(f"native kernels: no level is called {level!r}; use one of {', '.join(levels())}")


def peak(level: str | None = None) -> float:
    """Binary multiply-adds per second that one core reaches at most, from registers; it takes 50 ms.

    Args:
        level: the fastest by default.

    Raises:
        UsageError: the processor does not support the level.
    """
    found = ctypes.c_double()
    call("ceiling", level_number(level), ctypes.byref(found))
    return found.value


class Pool:
    """A pool of threads for the kernels.

    Args:
        threads: their number, the calling one included.
    """

    def __init__(self, threads: int = 1) -> None:
        self.handle: int = call("pool_create", threads)
        self.threads: int = function("pool_threads")(self.handle)
        weakref.finalize(self, function("pool_destroy"), self.handle)


@functools.cache
def one_thread() -> Pool:
    """The pool that has the calling thread only."""
    return Pool(1)


def _handle(pool: Pool | None) -> int:
    return (pool or one_thread()).handle


def declare_kernel(name: str, create: list[Any], run: list[Any]) -> None:
    """Adds the functions of a `PreparedKernel` to `SIGNATURES`, with the parameters of those that differ, errors apart."""
    SIGNATURES[f"{name}_create"] = (_POINTER, [*create, _POINTER])
    SIGNATURES[f"{name}_resize"] = (_INT, [_POINTER, _INT, _INT, _POINTER, _POINTER, _POINTER])
    SIGNATURES[f"{name}_workspace_bytes"] = (_SIZE, [_POINTER, _INT])
    SIGNATURES[f"{name}_run"] = (_INT, [_POINTER, *run, _POINTER])
    SIGNATURES[f"{name}_destroy"] = (None, [_POINTER])


class PreparedKernel:
    """A kernel of the library that is created once, resized, and run with a workspace.

    Args:
        name: the beginning of its functions' names.
        arguments: of the function that creates it.

    Raises:
        UsageError: the library refuses them.
    """

    def __init__(self, name: str, *arguments: Any) -> None:
        self._name = name
        self.handle: int = call(f"{name}_create", *arguments)
        weakref.finalize(self, function(f"{name}_destroy"), self.handle)

    def set_size(self, height: int, width: int) -> tuple[int, int]:
        """Sets height and width of the input and returns those of the output."""
        out_height, out_width = ctypes.c_int(), ctypes.c_int()
        call(
            f"{self._name}_resize",
            self.handle,
            height,
            width,
            ctypes.byref(out_height),
            ctypes.byref(out_width),
        )
        return out_height.value, out_width.value

    def workspace(self, pool: Pool) -> tuple[NDArray[np.uint8], int]:
        """Memory for a run on these threads, and the aligned address in it."""
        size = function(f"{self._name}_workspace_bytes")(self.handle, pool.threads)
        memory = np.empty(size + ALIGNMENT, np.uint8)
        return memory, -(-memory.ctypes.data // ALIGNMENT) * ALIGNMENT


def checked_constants(
    channels: int, **constants: tuple[NDArray[Any] | None, DTypeLike]
) -> tuple[list[NDArray[Any] | None], list[int | None]]:
    """Parameters per output channel by name, each with its type, checked and in C order; and their addresses. None stays None.

    The addresses hold as long as the arrays do.
    """
    arrays = [
        None if array is None else checked(name, array, dtype, (channels,))
        for name, (array, dtype) in constants.items()
    ]
    return arrays, [None if array is None else array.ctypes.data for array in arrays]


def checked(name: str, array: NDArray[Any], dtype: DTypeLike, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """The array in C order, checked for type and shape (None: any size)."""
    fits = len(array.shape) == len(shape) and all(
        want in {None, is_} for want, is_ in zip(shape, array.shape, strict=True)
    )
    if array.dtype != dtype or not fits:
        wanted = ", ".join("*" if size is None else str(size) for size in shape)
        raise UsageError(
            f"native kernels: {name} is {array.dtype} {list(array.shape)}, not {np.dtype(dtype)} [{wanted}]"
        )
    return np.ascontiguousarray(array)


def words_for(channels: int) -> int:
    """The number of words that hold the signs of one pixel."""
    return -(-channels // 32)


def quantize(
    values: NDArray[Any], *, zero_point: int = 0, level: str | None = None, pool: Pool | None = None
) -> Words:
    """Packs the signs of float32, int8 (below `zero_point` is -1) or bool (False is -1) values [..., channels]."""
    kinds = {"float32": "float", "int8": "int8", "bool": "bool"}
    if str(values.dtype) not in kinds or values.ndim == 0:
        raise UsageError(
            f"native kernels: values are {values.dtype} {list(values.shape)}, not float32, int8 or bool with channels"
        )
    values = np.ascontiguousarray(values)
    channels = values.shape[-1]
    words = np.empty((*values.shape[:-1], words_for(channels)), np.uint32)
    kind = kinds[str(values.dtype)]
    rows = words.size // max(words.shape[-1], 1)
    offset = (zero_point,) if kind == "int8" else ()
    call(
        f"quantize_{kind}",
        values.ctypes.data,
        rows,
        channels,
        *offset,
        words.ctypes.data,
        level_number(level),
        _handle(pool),
    )
    return words


def dequantize(
    words: Words, channels: int, *, level: str | None = None, pool: Pool | None = None
) -> NDArray[np.float32]:
    """Words [..., ceil(channels / 32)] to 1.0 and -1.0, float32 [..., channels]."""
    words = checked("words", words, np.uint32, (*words.shape[:-1], words_for(channels)))
    values = np.empty((*words.shape[:-1], channels), np.float32)
    rows = words.size // max(words.shape[-1], 1)
    call(
        "dequantize_float",
        words.ctypes.data,
        rows,
        channels,
        values.ctypes.data,
        level_number(level),
        _handle(pool),
    )
    return values


def dequantize_bytes(
    words: Words, channels: int, plus: int, minus: int, *, level: str | None = None, pool: Pool | None = None
) -> NDArray[np.uint8]:
    """Words [..., ceil(channels / 32)] to the bytes `plus` and `minus`, uint8 [..., channels]."""
    words = checked("words", words, np.uint32, (*words.shape[:-1], words_for(channels)))
    values = np.empty((*words.shape[:-1], channels), np.uint8)
    rows = words.size // max(words.shape[-1], 1)
    arguments = (words.ctypes.data, rows, channels, plus, minus, values.ctypes.data)
    call("dequantize_bytes", *arguments, level_number(level), _handle(pool))
    return values


def bmaxpool(
    words: Words,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: Padding,
    *,
    level: str | None = None,
    pool: Pool | None = None,
) -> Words:
    """Max-pooling of packed signs [batch, height, width, words]: the largest sign of each window."""
    words = checked("words", words, np.uint32, (None,) * 4)
    params = ctypes.byref(_CBmaxpool(*kernel, *stride, padding == "same", *words.shape[1:]))
    height, width = ctypes.c_int(), ctypes.c_int()
    call("bmaxpool_size", params, ctypes.byref(height), ctypes.byref(width))
    output = np.empty((words.shape[0], height.value, width.value, words.shape[3]), np.uint32)
    call(
        "bmaxpool_run",
        params,
        words.ctypes.data,
        words.shape[0],
        output.ctypes.data,
        level_number(level),
        _handle(pool),
    )
    return output
