"""The native library: binary kernels, and what brings them to TFLite runtimes and to ONNX Runtime."""

from __future__ import annotations

import platform
from pathlib import Path

from fdabnn_deploy.errors import RuntimeMissingError

DELEGATE = "libfdabnn_delegate.so"
RUNNER = "fdabnn-runner"
_FOLDER = Path(__file__).parent / "lib"


def delegate_path(machine: str | None = None) -> str:
    """The path of the external delegate, for `load_delegate` of any TFLite runtime; see docs/delegate.md.

    A checkout may hold the library for further processors, each in a folder of the processor's name.

    Args:
        machine: a processor as `platform.machine()` names it, to find the library that was built for it beside this machine's; by
            default the one that runs this code.

    Raises:
        RuntimeMissingError: this installation has no native library.
    """
    return _find(DELEGATE, "native library", machine)


def runner_path(machine: str | None = None) -> str:
    """The path of the program that measures and checks models without Python; see docs/runner.md.

    Args:
        machine: as for `delegate_path`.

    Raises:
        RuntimeMissingError: this installation has no runner.
    """
    return _find(RUNNER, "runner", machine)


def custom_ops_path(machine: str | None = None) -> str:
    """The path of the operators for ONNX Runtime, for `SessionOptions.register_custom_ops_library`; see docs/custom-ops.md.

    It is the library of `delegate_path`, which has a door for each runtime.

    Args:
        machine: as for `delegate_path`.

    Raises:
        RuntimeMissingError: this installation has no native library.
    """
    return delegate_path(machine)


def _find(name: str, what: str, machine: str | None) -> str:
    path = _FOLDER / (machine or platform.machine()) / name
    if not path.is_file() and machine is None:
        path = _FOLDER / name
    if not path.is_file():
        raise RuntimeMissingError(
            f"the {what} {path} is missing: install fdabnn-deploy again, with  pip install --force-reinstall --no-deps"
        )
    return str(path)
