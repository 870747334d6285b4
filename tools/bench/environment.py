"""The conditions recorded with every number: processor, system, versions, flags, and how quiet the machine was."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench import cc
from fdabnn_deploy.native import delegate_path
from fdabnn_deploy.native.library import chosen_level, levels
from fdabnn_deploy.system.environment import cpu_name
from native import build as builder

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    *("fdabnn-deploy", "larq-compute-engine", "tensorflow", "ai-edge-litert", "onnxruntime", "torch"),
    *("numpy", "ziglang"),
)
_FLAGS = (
    *("popcnt", "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_vpopcntdq"),
    *("avx_vnni", "amx_int8", "asimd", "asimddp", "sve"),
)


def describe(cpus: list[int]) -> dict[str, Any]:
    """Facts for the record.

    Args:
        cpus: that the benchmark runs on.
    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu_name(),
        "cpu_flags": sorted(set(_FLAGS) & _cpu_flags()),
        "cpu_count": os.cpu_count(),
        "pinned_to": cpus,
        "governor": _text(Path(f"/sys/devices/system/cpu/cpu{cpus[0]}/cpufreq/scaling_governor")),
        "system": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "commit": _commit(),
        "library_sha256": hashlib.sha256(Path(delegate_path()).read_bytes()).hexdigest(),
        "library_flags": {
            "compile": [flag for flag in builder.COMPILE if flag != "-I."],
            "instructions": builder.RULES["levels"],
            "targets": builder.TARGETS,
        },
        "bench_flags": list(cc.FLAGS),
        "level": chosen_level(),
        "levels": list(levels()),
        "load": list(os.getloadavg()),
    }


def busy() -> dict[str, int]:
    """Ticks of all processors so far: how many in all, and how many a hypervisor gave to others."""
    line = (_text(Path("/proc/stat")) or "").partition("\n")[0].split()[1:]
    ticks = [int(value) for value in line]
    return {"ticks": sum(ticks), "stolen": ticks[7] if len(ticks) > 7 else 0}


def _cpu_flags() -> set[str]:
    flags: set[str] = set()
    for line in (_text(Path("/proc/cpuinfo")) or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in {"flags", "Features"}:
            flags.update(value.split())
    return flags


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The checkout's commit, with a plus where tracked files differ from it."""
    try:
        commit = _git("rev-parse", "HEAD")
        return commit + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()
