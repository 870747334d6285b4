"""LiteRT, TensorFlow Lite's successor, from the package ai-edge-litert, with our delegate for the binary operators."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version

from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_tflite.runtime.interpreter import InterpreterRuntime, Package

_PACKAGE = "ai-edge-litert"


class LiteRtRuntime(InterpreterRuntime):
    """See `InterpreterRuntime`."""

    name = "litert"
    interpreter_name = "LiteRT"

    def version(self) -> str:
        try:
            return package_version(_PACKAGE)
        except PackageNotFoundError:
            raise _missing() from None

    def package(self) -> Package:
        try:
            module = importlib.import_module("ai_edge_litert.interpreter")
        except ModuleNotFoundError:
            raise _missing() from None
        return Package(module.Interpreter, module.load_delegate, module.OpResolverType)


def _missing() -> RuntimeMissingError:
    return RuntimeMissingError(
        f"runtime 'litert' needs the package {_PACKAGE}: install it with  pip install {_PACKAGE}"
    )
