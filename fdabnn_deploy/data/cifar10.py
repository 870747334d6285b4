"""Reads CIFAR-10's official test batch without PyTorch and without running anything that the file says.

The batches are pickles, and a pickle can call any function. This unpickler knows only the few functions with
which NumPy rebuilds an array. Format: https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

import io
import lzma
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.errors import UsageError

CLASSES = 10
SHAPE = (3, 32, 32)
_TEST_BATCH = "test_batch"
_LARGEST_BATCH = 256 << 20
"""Bytes of an unpacked batch; the official ones have 31 million."""
_FOLDERS = ("", "cifar-10", "cifar-10-batches-py")


class _BatchUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            # Lives in a private module whose name depends on NumPy's version; every array names it.
            return np.empty(0).__reduce__()[0]
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        if (module, name) == ("_codecs", "encode"):
            return _latin1_bytes
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no CIFAR-10 batch needs")


def _latin1_bytes(text: str, encoding: str) -> bytes:
    # Python 3 writes bytes into old pickle protocols as a call of codecs.encode with latin1, never another.
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the codec {encoding!r}")
    return text.encode("latin1")


def _decompress(packed: bytes) -> bytes:
    """The content of an `.xz` file of one stream, up to `_LARGEST_BATCH` bytes."""
    stream = lzma.LZMADecompressor(memlimit=_LARGEST_BATCH)
    raw = stream.decompress(packed, max_length=_LARGEST_BATCH)
    if not stream.eof:
        raise ValueError(f"it is cut off, or expands to more than {_LARGEST_BATCH >> 20} MiB")
    return raw


def find_test_batch(folder: Path) -> Path | None:
    """Finds `test_batch` or `test_batch.xz` in a folder, its `cifar-10` or its `cifar-10-batches-py`."""
    for sub in _FOLDERS:
        for name in (_TEST_BATCH, f"{_TEST_BATCH}.xz"):
            path = folder / sub / name
            if path.is_file():
                return path
    return None


def read_content(path: Path, what: str) -> dict[Any, Any]:
    """The content of a file of the CIFAR data sets, plain or `.xz`; keys as text.

    Args:
        path: of the file.
        what: how errors call it, such as "CIFAR-10 batch".

    Raises:
        UsageError: it is damaged, asks to run code, or is no dict.
    """
    try:
        raw = path.read_bytes()
        if path.suffix == ".xz":
            raw = _decompress(raw)
        content = _BatchUnpickler(io.BytesIO(raw), encoding="bytes").load()
    except Exception as error:  # noqa: BLE001  (a damaged pickle can raise anything)
        raise UsageError(
            f"{path} is not a readable {what} ({error}): unpack it from the archive again"
        ) from None
    if not isinstance(content, dict):
        raise UsageError(f"{path} is not a {what}: it holds a {type(content).__name__}, not a dict")
    return {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in content.items()}


def read_batch(
    path: Path, what: str = "CIFAR-10 batch", labels_key: str = "labels", classes: int = CLASSES
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Reads one official batch file, plain or `.xz`.

    Args:
        path: of the file.
        what: how errors call it.
        labels_key: where the labels are.
        classes: how many there are.

    Returns:
        Images uint8 [N, 3, 32, 32] and labels int64 [N].

    Raises:
        UsageError: the file is not such a batch, is damaged, or asks to run code.
    """
    content = read_content(path, what)
    data, labels = content.get("data"), content.get(labels_key)
    size = SHAPE[0] * SHAPE[1] * SHAPE[2]
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != size:
        raise UsageError(f"{path} is not a {what}: its 'data' is not an N x {size} array of bytes")
    if (
        not isinstance(labels, list)
        or len(labels) != len(data)
        or not all(type(label) is int and 0 <= label < classes for label in labels)
    ):
        raise UsageError(
            f"{path} is not a {what}: its '{labels_key}' are not {len(data)} integers 0 to {classes - 1}"
        )
    return np.ascontiguousarray(data).reshape(-1, *SHAPE), np.asarray(labels, dtype=np.int64)
