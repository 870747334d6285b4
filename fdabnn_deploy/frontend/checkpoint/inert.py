"""Stand-ins for harmless types that often lie beside the tensors: NumPy values, argparse namespaces, paths.

They are our own classes, so that not even the constructors of the originals run on what a file says.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

# NumPy type code -> struct format, for the kinds that are plain numbers.
_FORMATS = {
    "b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q",
    "f2": "e", "f4": "f", "f8": "d",
}  # fmt: skip


class NumpyDtype:
    """`numpy.dtype` of a plain number; anything else is refused when values of it are read."""

    def __init__(self, code: str, *_: object) -> None:
        self.code = code
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = ">" if state[1] == ">" else "<"

    def unpack(self, data: bytes | str) -> tuple[Any, ...]:
        """The numbers in the raw bytes of a NumPy array or scalar.

        Raises:
            ValueError: the type is not a plain number, or the bytes are not a whole number of values.
        """
        raw = data.encode("latin1") if isinstance(data, str) else data
        if self.code not in _FORMATS:
            raise ValueError(f"NumPy values of type {self.code} are not read")
        one = struct.calcsize(_FORMATS[self.code])
        if len(raw) % one:
            raise ValueError("a NumPy value is cut off")
        return struct.unpack(f"{self.order}{len(raw) // one}{_FORMATS[self.code]}", raw)


class NumpyArray:
    """`numpy.ndarray`: only its numbers in their stored order, flat."""

    def __init__(self, *_: object) -> None:
        self.values: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, _, dtype, _, data = state
        self.values = dtype.unpack(data)

    def tolist(self) -> list[Any]:
        """The numbers."""
        return list(self.values)


class Attributes:
    """`argparse.Namespace` and its like: attributes without behaviour."""


class AttributeDict:
    """A dict whose keys are attributes in the original, as Lightning keeps hyper-parameters: here a plain dict."""

    def __new__(cls, *_: object) -> dict[str, Any]:  # type: ignore[misc]
        return {}


def numpy_scalar(dtype: NumpyDtype, data: bytes | str) -> Any:
    """A NumPy scalar as the Python number of the same value."""
    (value,) = dtype.unpack(data)
    return value


def numpy_array(*_: object) -> NumpyArray:
    """An empty array, filled by its `__setstate__`."""
    return NumpyArray()


# What PyTorch's restricted unpickler may call beside its own list, by the name in the pickle. NumPy 2 moved
# its core.
STAND_INS: tuple[tuple[Callable[..., Any], str], ...] = (
    (NumpyDtype, "numpy.dtype"),
    (NumpyArray, "numpy.ndarray"),
    (numpy_scalar, "numpy.core.multiarray.scalar"),
    (numpy_scalar, "numpy._core.multiarray.scalar"),
    (numpy_array, "numpy.core.multiarray._reconstruct"),
    (numpy_array, "numpy._core.multiarray._reconstruct"),
    (Attributes, "argparse.Namespace"),
    (Attributes, "types.SimpleNamespace"),
    (Attributes, "mmengine.logging.history_buffer.HistoryBuffer"),
    (AttributeDict, "lightning_fabric.utilities.data.AttributeDict"),
    (AttributeDict, "lightning.fabric.utilities.data.AttributeDict"),
    (AttributeDict, "pytorch_lightning.utilities.parsing.AttributeDict"),
    (PurePosixPath, "pathlib.PosixPath"),
    (PurePosixPath, "pathlib.PurePosixPath"),
    (PureWindowsPath, "pathlib.WindowsPath"),
    (PureWindowsPath, "pathlib.PureWindowsPath"),
)
