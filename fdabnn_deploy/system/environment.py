"""Where something ran: Python, system, processor and the versions of the packages that take part in an export."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = (
    "fdabnn-deploy", "torch", "numpy", "onnx", "onnxruntime", "onnxsim", "tensorflow", "larq-compute-engine",
)  # fmt: skip
_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Environment:
    """Where the export ran: Python, system, processor, and the version of every package that took part."""

    python: str
    platform: str
    cpu: str
    packages: dict[str, str]


def environment() -> Environment:
    """Describes this machine."""
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    return Environment(platform.python_version(), system, cpu_name(), packages)


def cpu_name() -> str:
    """The processor as it calls itself, without the marks of its vendor."""
    names: dict[str, str] = {}
    if _CPUINFO.is_file():
        for line in _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            names.setdefault(key.strip(), value.strip())
    name = names.get("model name") or names.get("Model") or platform.processor() or platform.machine()
    for mark in ("(R)", "(TM)", "(tm)"):
        name = name.replace(mark, "")
    return " ".join(name.split())
