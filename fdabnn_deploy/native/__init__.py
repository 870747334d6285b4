"""The native library: binary kernels, and what brings them to TFLite runtimes and to ONNX Runtime."""

from __future__ import annotations

import platform
from pathlib import Path

from fdabnn_deploy.errors import RuntimeMissingError

DELEGATE = "libfdabnn_delegate.so"
DELEGATE_MACOS = "libfdabnn_delegate.dylib"
INSTRUCTION_COUNT = "libfdabnn_instruction_count.so"
RUNNER = "fdabnn-runner"
TRAINING = "libfdabnn_training.so"
_FOLDER = Path(__file__).parent / "lib"


def delegate_path(machine: str | None = None) -> str:
    """The path of the external delegate, for `load_delegate` of any TFLite runtime; see docs/delegate.md.

    An installation may hold the library for further processors, each in a folder of the processor's name: wheels for x86-64 bring the
    one for aarch64 Linux.

    Args:
        machine: a processor as `platform.machine()` names it, to find the library that was built for it beside this machine's; by
            default the one that runs this code.

    Raises:
        RuntimeMissingError: this installation has no native library.
    """
    return _find(
        DELEGATE_MACOS if machine is None and platform.system() == "Darwin" else DELEGATE,
        "native library",
        machine,
    )


def runner_path(machine: str | None = None) -> str:
    """The path of the program that measures and checks models without Python; see docs/runner.md.

    Args:
        machine: as for `delegate_path`.

    Raises:
        RuntimeMissingError: this installation has no runner.
    """
    return _find(RUNNER, "runner", machine)


def training_path() -> str:
    """The path of the loops that `fdabnn_models` trains with.

    Raises:
        RuntimeMissingError: this installation has none; they exist for x86-64.
    """
    return _find(TRAINING, "library for training", None)


def custom_ops_path(machine: str | None = None) -> str:
    """The path of the operators for ONNX Runtime, for `SessionOptions.register_custom_ops_library`; see docs/custom-ops.md.

    It is the library of `delegate_path`, which has a door for each runtime.

    Args:
        machine: as for `delegate_path`.

    Raises:
        RuntimeMissingError: this installation has no native library.
    """
    return delegate_path(machine)


def instruction_count_path() -> str:
    """The path of the plugin with which qemu counts executed instructions; see docs/instruction-counts.md.

    Raises:
        RuntimeMissingError: this installation has none: it is there on x86-64 Linux.
    """
    path = _FOLDER / INSTRUCTION_COUNT
    if not path.is_file():
        raise RuntimeMissingError(
            f"qemu's plugin {path} is missing, which counts instructions: it is part of fdabnn-deploy on x86-64 Linux; in a checkout "
            "build it with  python tools/native/build.py"
        )
    return str(path)


def _find(name: str, what: str, machine: str | None) -> str:
    path = _FOLDER / (machine or platform.machine()) / name
    if not path.is_file() and machine is None:
        path = _FOLDER / name
    if not path.is_file():
        raise RuntimeMissingError(
            f"the {what} {path} is missing: it exists for Linux with glibc on x86-64 and aarch64, where it comes with  "
            "pip install --force-reinstall --no-deps fdabnn-deploy"
        )
    return str(path)
