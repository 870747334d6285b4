"""Deploys trained FDA binary neural networks: from a PyTorch checkpoint to verified ONNX and TFLite files.

    import fdabnn_deploy
    report = fdabnn_deploy.export("resnet20.pt", targets="all", out="out")
    report = fdabnn_deploy.export(module, torch.zeros(1, 3, 32, 32), targets="onnx", mean=mean, std=std)
    result = fdabnn_deploy.compare_models("out/resnet20.onnx", "out/resnet20.tflite", "random:64")
    interpreter = Interpreter("out/resnet20.tflite", experimental_delegates=[load_delegate(fdabnn_deploy.delegate_path())])
    session_options.register_custom_ops_library(fdabnn_deploy.custom_ops_path())
    profile = fdabnn_deploy.profile("out/resnet20.tflite", ["local", "ssh://pi@raspberrypi"], threads=[1, 4], baseline="fp32")

Importing this package loads neither PyTorch nor any converter, so that it works where only a runtime is
installed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fdabnn_deploy.errors import (
    FdabnnError,
    ModelRefusedError,
    NotWrittenError,
    ParityError,
    RuntimeMissingError,
    SlowerError,
    UsageError,
)

if TYPE_CHECKING:
    from fdabnn_deploy.measure.devices.ssh import SshOptions
    from fdabnn_deploy.measure.profile_report.compare import compare_profiles
    from fdabnn_deploy.measure.profile_report.html import write_profile_html
    from fdabnn_deploy.measure.profiles.profile import profile
    from fdabnn_deploy.native import custom_ops_path, delegate_path
    from fdabnn_deploy.pipeline.export import export
    from fdabnn_deploy.verify.comparison import compare_models

__all__ = [
    "FdabnnError",
    "ModelRefusedError",
    "NotWrittenError",
    "ParityError",
    "RuntimeMissingError",
    "SlowerError",
    "SshOptions",
    "UsageError",
    "compare_models",
    "compare_profiles",
    "custom_ops_path",
    "delegate_path",
    "export",
    "profile",
    "write_profile_html",
]

_MODULES = {
    "SshOptions": "measure.devices.ssh",
    "compare_models": "verify.comparison",
    "compare_profiles": "measure.profile_report.compare",
    "custom_ops_path": "native",
    "delegate_path": "native",
    "export": "pipeline.export",
    "profile": "measure.profiles.profile",
    "write_profile_html": "measure.profile_report.html",
}
"""Where the names are that are loaded when they are used: a device has not all that some of them need."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'fdabnn_deploy' has no attribute '{name}'")
    if name == "export":
        try:
            import torch  # noqa: F401
        except ModuleNotFoundError:
            raise RuntimeMissingError(
                "exporting needs PyTorch: install it with  pip install 'fdabnn-deploy[export]'"
            ) from None
    return getattr(importlib.import_module(f"fdabnn_deploy.{_MODULES[name]}"), name)
