"""Larq Compute Engine's own interpreter, the reference for TFLite files with its binary operators.

It feeds one image at a time and takes batch 1 only, so a batch is a loop. Its extension module is loaded by itself: the package's
`__init__` imports TensorFlow, which running a file does not need.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args

import numpy as np

from fdabnn_deploy.errors import RuntimeMissingError, UsageError
from fdabnn_deploy.ir.ops import Array
from fdabnn_deploy.runtimes import batches
from fdabnn_deploy.system.plugins import INSTALL_LCE
from fdabnn_tflite.runtime.native_stderr import native_stderr
from fdabnn_tflite.runtime.session import TfliteSession
from fdabnn_tflite.runtime.tflite_file import TfliteFile, read_tflite

Kernels = Literal["default", "indirect", "reference"]
"""LCE's implementations of `LceBconv2d`. `indirect` is the fastest on x86; `default` refuses grouped convolutions, `reference` zero
padding of an odd number of channels."""

_MOST_AXES = {"LESS": 4, "GREATER": 4, "SELECT_V2": 5, "MAXIMUM": 5, "MINIMUM": 5}
"""That kernels of LCE 0.16.0 take where the operands differ in shape."""

_PACKAGE = "larq_compute_engine"
_EXTENSION = "interpreter_wrapper_lite"


class LceSession(TfliteSession):
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
        self._threads, self._kernels = threads, kernels
        super().__init__(file, path, "LCE's interpreter")

    def _load(self, outputs: tuple[int, ...]) -> Any:
        self._check_axes()
        model = self._file.patched(outputs, batch=1)
        module = _extension()
        try:
            with native_stderr() as log:
                return module.LiteInterpreter(
                    model, self._threads, self._kernels == "reference", self._kernels == "indirect", False
                )
        except RuntimeError as error:
            raise self._not_taken(log.text or str(error)) from None

    def _check_axes(self) -> None:
        tensors = self._file.tensors
        for operator in self._file.operators:
            shapes = {tensors[index].shape for index in operator.inputs if index >= 0}
            axes, most = max(map(len, shapes), default=0), _MOST_AXES.get(operator.name)
            if most is not None and len(shapes) > 1 and axes > most:
                raise self._not_taken(
                    f"{operator.name} of {tensors[operator.outputs[0]].name} has {axes} axes, its kernel at most {most}: reshape the "
                    "tensor to fewer"
                )

    def _predict(self, interpreter: Any, stored: Sequence[Array]) -> list[Array | str]:
        def call(image: list[Array]) -> list[Array]:
            try:
                return list(interpreter.predict(_with_known_types(image)))
            except RuntimeError as error:
                raise self._not_run(str(error)) from None

        return batches.run_where_possible(call, stored, 1)

    def native_inputs(self, inputs: Sequence[Array]) -> object:
        return _with_known_types([value[:1] for value in self._to_file(inputs)])

    def run_native(self, prepared: object) -> None:
        self._interpreter.predict(prepared)


def _with_known_types(values: Sequence[Array]) -> list[Array]:
    """The arrays with NumPy's own objects of their types, which its wrapper compares with: those of unpickled arrays are others."""
    return [value.astype(value.dtype.type) for value in values]


class LceRuntime:
    """Runs TFLite files on LCE's interpreter; implements `fdabnn_deploy.runtimes.base.Runtime`."""

    name = "lce"
    suffixes: tuple[str, ...] = (".tflite",)

    def version(self) -> str:
        """The version of the package larq-compute-engine.

        Raises:
            RuntimeMissingError: it is not installed, or not beside a NumPy that it can use.
        """
        try:
            version = package_version("larq-compute-engine")
        except PackageNotFoundError:
            raise _missing() from None
        _check_numpy()
        return version

    def open(self, path: Path, threads: int = 1, kernels: Kernels = "default") -> LceSession:
        """Loads a file. One with a static batch size runs as if it had been exported with batch 1.

        Args:
            path: of the TFLite file.
            threads: of the interpreter.
            kernels: which implementation of the binary convolution.

        Raises:
            UsageError: there is no such file, or no such kernels.
            ModelRefusedError: the file is damaged, or LCE's interpreter does not take it.
            RuntimeMissingError: LCE is not installed.
        """
        if kernels not in get_args(Kernels):
            raise UsageError(f"unknown LCE kernels '{kernels}': known are {', '.join(get_args(Kernels))}")
        return LceSession(read_tflite(path), path, threads, kernels)

    def settings(self, path: Path) -> Iterator[tuple[str, LceSession]]:
        """Both optimised kernels with one and with two threads; see `Runtime.settings`."""
        file = read_tflite(path)
        kernels: Kernels
        for kernels in ("default", "indirect"):
            for threads in (1, 2):
                yield (
                    f"{kernels} kernels, {threads} thread{'s' * (threads > 1)}",
                    LceSession(file, path, threads, kernels),
                )

    def metadata(self, path: Path) -> dict[str, str]:
        """The file's metadata; needs neither LCE nor TensorFlow.

        Raises:
            UsageError: there is no such file.
            ModelRefusedError: it is damaged.
        """
        return read_tflite(path).metadata


def _missing() -> RuntimeMissingError:
    return RuntimeMissingError(
        "runtime 'lce' needs the package larq-compute-engine (x86-64 Linux or macOS, Python 3.10 to 3.12): install it with  "
        f"{INSTALL_LCE}"
    )


def _check_numpy() -> None:
    if int(np.__version__.split(".")[0]) >= 2:
        # Its pybind11 reads the item size of an array where NumPy 1 had it, finds 0, and refuses every input.
        raise RuntimeMissingError(
            f"LCE's interpreter was built for NumPy 1 and cannot read the arrays of NumPy {np.__version__}: install one with  "
            "pip install 'numpy<2'"
        )


def _extension() -> ModuleType:
    name = f"{_PACKAGE}.tflite.python.{_EXTENSION}"
    if name in sys.modules:
        return sys.modules[name]
    package = importlib.util.find_spec(_PACKAGE)
    folders = list(package.submodule_search_locations or ()) if package else []
    files = [
        file for folder in folders for file in Path(folder, "tflite", "python").glob(f"{_EXTENSION}*.so")
    ]
    if not files:
        raise _missing()
    _check_numpy()
    spec = importlib.util.spec_from_file_location(name, files[0])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[name] = module
    return module
