"""The native library: binary kernels, and the delegate that brings them to TFLite runtimes."""

from __future__ import annotations

from pathlib import Path

from fdabnn_deploy.errors import RuntimeMissingError

DELEGATE = "libfdabnn_delegate.so"
_FOLDER = Path(__file__).parent / "lib"


def delegate_path() -> str:
    """The path of the external delegate, for `load_delegate` of any TFLite runtime; see docs/delegate.md.

    Raises:
        RuntimeMissingError: this installation has no native library.
    """
    path = _FOLDER / DELEGATE
    if not path.is_file():
        raise RuntimeMissingError(
            f"the native library {path} is missing: install fdabnn-deploy again, with  pip install --force-reinstall --no-deps"
        )
    return str(path)
