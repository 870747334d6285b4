"""Reading `.npz` and `.npy` files of unknown origin: nothing is run, and nothing is made that is larger than allowed."""

from __future__ import annotations

import ast
import io
import math
import struct
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.system.memory import check_expanded
from fdabnn_deploy.ir.ops import Array
from fdabnn_deploy.system.read_file import check_file

_NPY_MAGIC, _ZIP_MAGICS = b"\x93NUMPY", (b"PK\x03\x04", b"PK\x05\x06")
_LONGEST_HEADER = 1 << 16
ONLY = "array"
"""The name of the array of an `.npy` file."""


def check_samples_file(path: Path, text: str) -> None:
    """Does nothing for a regular file.

    Raises:
        UsageError: it is something else, or is not there; the message says what samples may be.
    """
    try:
        check_file(path, "file")
    except UsageError as error:
        raise UsageError(
            f"no samples at {text!r}: {error}; give an .npz or .npy file, a folder of images, a CIFAR-10 folder or random:N"
        ) from None


def read_arrays(path: Path, memory_limit: int | None = None) -> dict[str, Array]:
    """The arrays of an `.npz` file by name, or that of an `.npy` file as `ONLY`.

    Args:
        path: of the file.
        memory_limit: bytes that all of them may have, by default `fdabnn_deploy.system.memory.EXPANDED`.

    Raises:
        UsageError: it is neither, is damaged or encrypted, holds objects, or expands to more than is allowed.
    """
    try:
        with path.open("rb") as file:
            start = file.read(len(_NPY_MAGIC))
            file.seek(0)
            if start == _NPY_MAGIC:
                check_expanded(_size_of(file), memory_limit, str(path))
                file.seek(0)
                return {ONLY: _load(file)}
            if not start.startswith(_ZIP_MAGICS):
                raise ValueError("it begins like neither")
            return _read_zip(file, path, memory_limit)
    except UsageError:
        raise
    except RuntimeError as error:
        # zipfile's word for a password; NotImplementedError, for other methods of compression, is one, too.
        raise UsageError(
            f"{path} cannot be read ({error}): save it with numpy.savez, without a password"
        ) from None
    except Exception as error:  # noqa: BLE001 - a damaged archive raises nearly every type there is
        reason = str(error) or type(error).__name__
        raise UsageError(f"{path} is not a readable .npz or .npy file of plain arrays ({reason})") from None


def _read_zip(file: IO[bytes], path: Path, memory_limit: int | None) -> dict[str, Array]:
    with zipfile.ZipFile(file) as archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        check_expanded(sum(entry.file_size for entry in entries), memory_limit, str(path))
        total = 0
        for entry in entries:
            with archive.open(entry) as member:
                total += _size_of(member)
            check_expanded(total, memory_limit, str(path))
        arrays = {}
        for entry in entries:
            with archive.open(entry) as member:
                arrays[entry.filename.removesuffix(".npy")] = _load(member)
    return arrays


def _load(file: IO[bytes]) -> Array:
    # From memory: what a member of an archive claims to have and what it has were compared when its size was.
    array = np.load(io.BytesIO(file.read()), allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise TypeError("it holds something else than arrays")
    return array


def _size_of(file: IO[bytes]) -> int:
    """The bytes of the array that a header announces.

    Raises:
        ValueError: it is no header of a plain array.
    """
    start = file.read(8)
    if start[:6] != _NPY_MAGIC or len(start) < 8:
        raise ValueError("it holds something else than arrays")
    form, width = ("<H", 2) if start[6] == 1 else ("<I", 4)
    length = int(struct.unpack(form, file.read(width))[0])
    if length > _LONGEST_HEADER:
        raise ValueError("the header of an array is too long")
    header: Any = ast.literal_eval(file.read(length).decode("latin1" if start[6] < 3 else "utf-8"))
    dtype, shape = np.dtype(header["descr"]), header["shape"]
    if dtype.hasobject:
        raise ValueError("it holds objects, which could run code")
    if not all(isinstance(size, int) and size >= 0 for size in shape):
        raise ValueError("an array has a negative size")
    return int(math.prod(shape) * dtype.itemsize)
