"""clang-tidy over the C++ sources, as tools/native/build.py compiles them; a file that passed is not checked again until it changes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

_CLANG_TIDY = Path(sys.executable).with_name("clang-tidy")


def check_cpp(root: Path) -> int:
    """Prints what clang-tidy finds in the checkout at `root`; 0 if that is nothing.

    Files of levels that only aarch64 has are left out on x86-64, and the other way round: their headers are not there.
    """
    from native import build

    machine = build.supported_machine() or "x86_64"
    foreign = ("_neon",) if machine == "x86_64" else tuple(build.RULES["levels"])
    commands = [c for c in build.compile_commands(machine) if not Path(str(c["file"])).stem.endswith(foreign)]
    passed = root / "build" / "tidy"
    passed.mkdir(parents=True, exist_ok=True)
    headers = b"".join(path.read_bytes() for path in sorted(build.NATIVE.rglob("*.h")))
    rules = hashlib.sha256((root / ".clang-tidy").read_bytes() + version("clang-tidy").encode() + headers)

    def check(command: dict[str, Any]) -> str:
        digest = rules.copy()
        digest.update(json.dumps(command["arguments"]).encode())
        digest.update((build.NATIVE / command["file"]).read_bytes())
        mark = passed / digest.hexdigest()[:32]
        if mark.exists():
            return ""
        done = subprocess.run(
            [_CLANG_TIDY, "-p", folder, f"--config-file={root / '.clang-tidy'}", "--quiet", command["file"]],
            cwd=build.NATIVE,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            mark.touch()
            return ""
        return done.stdout or done.stderr

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        Path(folder, "compile_commands.json").write_text(json.dumps(commands))
        found = [text for text in pool.map(check, commands) if text]
    print(*found, f"clang-tidy: {len(commands)} files, {len(found)} with findings", sep="\n")
    return 1 if found else 0
