"""Larq Compute Engine's own interpreter, the reference for TFLite files with its binary operators.

It feeds one image at a time and takes batch 1 only, so a batch is a loop. Its extension module is loaded by itself: the package's
`__init__` imports TensorFlow, which running a file does not need.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np

from fdabnn_deploy.errors import ModelRefusedError, RuntimeMissingError, UsageError
from fdabnn_deploy.ops import Array, FloatArray
from fdabnn_deploy.runtimes.base import Session
from fdabnn_deploy.runtimes.tflite_file import FLOAT32, INT32, TENSORS_KEY, TfliteFile, read_tflite

Kernels = Literal["default", "indirect", "reference"]
"""LCE's implementations of `LceBconv2d`; the default one refuses grouped convolutions."""

_PACKAGE = "larq_compute_engine"
_EXTENSION = "interpreter_wrapper_lite"


@dataclass(frozen=True)
class _Place:
    """Where a tensor of the graph is in a file: one entry of the file's tensor map."""

    name: str
    tensor: int
    shape: tuple[int, ...]
    layout: str
    image: tuple[int, ...] = ()
    flipped: bool = False

    def restore(self, stored: Array) -> FloatArray:
        """The graph's tensor [N, ...] from the file's."""
        batch = stored.shape[0]
        if self.layout == "packed":
            channels = self.shape[0]
            bits = np.unpackbits(
                np.ascontiguousarray(stored).astype("<i4").view(np.uint8), axis=-1, bitorder="little"
            )
            stored = np.float32(1) - np.float32(2) * bits[..., :channels].astype(np.float32)
        if self.image:
            channels, height, width = self.image
            stored = stored.reshape(batch, height, width, channels)
        picture = bool(self.image) or (self.layout in {"NHWC", "packed"} and len(self.shape) == 3)
        if picture:
            if self.flipped:
                stored = stored[:, ::-1, ::-1]
            stored = stored.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(stored.reshape(batch, *self.shape), dtype=np.float32)


class LceSession(Session):
    """A TFLite file on LCE's interpreter.

    Args:
        file: checked.
        path: for messages.
        threads: of the interpreter.
        kernels: which implementation of the binary convolution.

    Raises:
        RuntimeMissingError: LCE is not installed.
        ModelRefusedError: the interpreter does not take the file.
    """

    def __init__(self, file: TfliteFile, path: Path, threads: int, kernels: Kernels) -> None:
        self._file, self._path, self._threads, self._kernels = file, path, threads, kernels
        inputs, outputs, tensors = _places(file, path)
        self._inputs, self._outputs, self._tensors = inputs, outputs, tensors
        for index in (*file.inputs, *file.outputs):
            if file.tensors[index].type != FLOAT32:
                raise ModelRefusedError(
                    f"{path}: {file.tensors[index].name} is not float32, and the graphs compared here have no other inputs and outputs"
                )
        batches = {file.tensors[index].shape[:1] for index in file.inputs}
        if batches != {(1,)}:
            found = ", ".join(str(*batch) or "none" for batch in sorted(batches))
            raise ModelRefusedError(
                f"{path} has batch size {found}, and LCE's interpreter takes 1 only: export it with --batch 1"
            )
        self._model = file.data
        self._interpreter = self._load(self._model)
        self._inner: tuple[Any, bytes] | None = None

    def _load(self, model: bytes) -> Any:
        module = _extension()
        try:
            return module.LiteInterpreter(
                model, self._threads, self._kernels == "reference", self._kernels == "indirect", False
            )
        except RuntimeError as error:
            raise ModelRefusedError(
                f"{self._path}: LCE's interpreter does not take this file: {error}"
            ) from None

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(place.shape for place in self._inputs)

    def run(self, inputs: Sequence[FloatArray]) -> list[FloatArray]:
        stored = self._predict(self._interpreter, inputs, len(self._outputs))
        return [place.restore(values) for place, values in zip(self._outputs, stored, strict=True)]

    def run_all(self, inputs: Sequence[FloatArray]) -> dict[str, FloatArray]:
        indices = tuple(dict.fromkeys(place.tensor for place in self._tensors))
        if self._inner is None:
            model = self._file.with_outputs(indices)
            self._inner = self._load(model), model
        stored = self._predict(self._inner[0], inputs, len(indices))
        values = dict(zip(indices, stored, strict=True))
        found = {
            place.name: np.asarray(value, np.float32)
            for place, value in zip(self._inputs, inputs, strict=True)
        }
        found.update((place.name, place.restore(values[place.tensor])) for place in self._tensors)
        return found

    def _predict(self, interpreter: Any, inputs: Sequence[FloatArray], outputs: int) -> list[Array]:
        stored = self._to_file(inputs)
        # Slices, because the interpreter multiplies shape and stride, and a new axis has stride 0.
        results = [
            interpreter.predict([values[i : i + 1] for values in stored]) for i in range(len(stored[0]))
        ]
        if not results:
            raise UsageError("an empty batch")
        return [np.concatenate([result[i] for result in results]) for i in range(outputs)]

    def _to_file(self, inputs: Sequence[FloatArray]) -> list[FloatArray]:
        if len(inputs) != len(self._inputs):
            raise UsageError(f"{self._path} takes {len(self._inputs)} inputs, {len(inputs)} were given")
        stored = []
        for place, value in zip(self._inputs, inputs, strict=True):
            if value.shape[1:] != place.shape or value.shape[0] != inputs[0].shape[0]:
                raise UsageError(
                    f"input {place.name} of {self._path} takes [N, {', '.join(map(str, place.shape))}], not {list(value.shape)}"
                )
            values = np.asarray(value, dtype=np.float32)
            if place.layout == "NHWC":
                values = values.transpose(0, 2, 3, 1)
            stored.append(np.ascontiguousarray(values))
        return stored

    def native_inputs(self, inputs: Sequence[FloatArray]) -> object:
        return [value[:1] for value in self._to_file(inputs)]

    def run_native(self, prepared: object) -> None:
        self._interpreter.predict(prepared)


class LceRuntime:
    """Runs TFLite files on LCE's interpreter; implements `fdabnn_deploy.runtimes.base.Runtime`."""

    name = "lce"
    suffixes: tuple[str, ...] = (".tflite",)

    def version(self) -> str:
        """The version of the package larq-compute-engine.

        Raises:
            RuntimeMissingError: it is not installed.
        """
        try:
            return package_version("larq-compute-engine")
        except PackageNotFoundError:
            raise _missing() from None

    def open(self, path: Path, threads: int = 1, kernels: Kernels = "default") -> LceSession:
        """Loads a file.

        Args:
            path: of the TFLite file.
            threads: of the interpreter.
            kernels: `default`, `indirect` (faster on x86) or `reference` (slow, takes everything).

        Raises:
            UsageError: there is no such file.
            ModelRefusedError: it is damaged, or LCE's interpreter does not take it.
            RuntimeMissingError: LCE is not installed.
        """
        return LceSession(read_tflite(path), path, threads, kernels)

    def metadata(self, path: Path) -> dict[str, str]:
        """The file's metadata; needs neither LCE nor TensorFlow.

        Raises:
            UsageError: there is no such file.
            ModelRefusedError: it is damaged.
        """
        return read_tflite(path).metadata


def _missing() -> RuntimeMissingError:
    return RuntimeMissingError(
        "runtime 'lce' needs the package larq-compute-engine (x86-64, Python 3.10 to 3.12): install it with  "
        "pip install 'fdabnn-deploy[export]'"
    )


def _extension() -> ModuleType:
    name = f"{_PACKAGE}.tflite.python.{_EXTENSION}"
    if name in sys.modules:
        return sys.modules[name]
    if int(np.__version__.split(".")[0]) >= 2:
        # Its pybind11 reads the item size of an array where NumPy 1 had it, finds 0, and refuses every input.
        raise RuntimeMissingError(
            f"LCE's interpreter was built for NumPy 1 and cannot read the arrays of NumPy {np.__version__}: install  'numpy<2'"
        )
    package = importlib.util.find_spec(_PACKAGE)
    for folder in (package.submodule_search_locations or ()) if package else ():
        for path in sorted(Path(folder, "tflite", "python").glob(f"{_EXTENSION}*.so")):
            spec = importlib.util.spec_from_file_location(name, path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            sys.modules[name] = module
            return module
    raise _missing()


def _places(file: TfliteFile, path: Path) -> tuple[list[_Place], list[_Place], list[_Place]]:
    """The file's inputs, outputs and inner tensors; for a file of other origin, pictures taken as NHWC and nothing inside."""
    text = file.metadata.get(TENSORS_KEY)
    if text is None:
        return (
            _plain_places(file, file.inputs),
            _plain_places(file, file.outputs),
            _plain_places(file, file.outputs),
        )
    try:
        entries = json.loads(text)
        lists = [
            [
                _Place(
                    str(entry["name"]),
                    int(entry["tensor"]),
                    tuple(entry["shape"]),
                    str(entry["layout"]),
                    tuple(entry["image"]),
                    bool(entry["flipped"]),
                )
                for entry in entries[key]
            ]
            for key in ("inputs", "outputs", "tensors")
        ]
    except (ValueError, KeyError, TypeError):
        raise ModelRefusedError(
            f"{path}: its metadata '{TENSORS_KEY}' cannot be read: export it again"
        ) from None
    inputs, outputs, tensors = lists
    known = range(len(file.tensors))
    if (
        tuple(place.tensor for place in inputs) != file.inputs
        or tuple(place.tensor for place in outputs) != file.outputs
        or any(
            place.tensor not in known or file.tensors[place.tensor].type not in {FLOAT32, INT32}
            for place in tensors
        )
    ):
        raise ModelRefusedError(
            f"{path}: its metadata '{TENSORS_KEY}' does not fit the file: export it again"
        )
    return inputs, outputs, tensors


def _plain_places(file: TfliteFile, indices: tuple[int, ...]) -> list[_Place]:
    places = []
    for index in indices:
        tensor = file.tensors[index]
        shape = tensor.shape[1:]
        picture = len(shape) == 3
        places.append(
            _Place(
                tensor.name,
                index,
                (shape[2], shape[0], shape[1]) if picture else shape,
                "NHWC" if picture else "plain",
            )
        )
    return places
