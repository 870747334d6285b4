"""TensorFlow's own `tf.lite.Interpreter`, with our delegate for the binary operators."""

from __future__ import annotations

import importlib
import warnings
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from typing import Any

from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.system.plugins import INSTALL_LCE
from fdabnn_tflite.runtime.interpreter import InterpreterRuntime, Package
from fdabnn_tflite.runtime.native_stderr import native_stderr


class TfliteRuntime(InterpreterRuntime):
    """See `InterpreterRuntime`. TensorFlow is loaded when a file is opened, which takes seconds."""

    name = "tflite"
    interpreter_name = "TensorFlow Lite"

    def version(self) -> str:
        try:
            return package_version("tensorflow")
        except PackageNotFoundError:
            raise _missing() from None

    def package(self) -> Package:
        try:
            with native_stderr():
                lite = importlib.import_module("tensorflow").lite
        except ModuleNotFoundError:
            raise _missing() from None

        def interpreter(**options: Any) -> Any:
            with warnings.catch_warnings():
                # It says that it will move to LiteRT one day.
                warnings.simplefilter("ignore")
                return lite.Interpreter(**options)

        return Package(interpreter, lite.experimental.load_delegate, lite.experimental.OpResolverType)


def _missing() -> RuntimeMissingError:
    return RuntimeMissingError(f"runtime 'tflite' needs TensorFlow: install it with  {INSTALL_LCE}")
