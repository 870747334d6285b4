from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

PROBE = """
import resource, sys
from fdabnn_models.training.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def use():
    return len(bytes(range(256)) * 65536)
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt belongs to glibc")
def test_freed_memory_is_reused_without_page_faults() -> None:
    sources = Path(__file__).parents[2]
    faults = {}
    for mode in ("leave", "keep"):
        command = [sys.executable, "-c", PROBE, mode]
        done = subprocess.run(command, cwd=sources, check=True, capture_output=True, text=True)
        faults[mode] = int(done.stdout)
    assert faults["keep"] < faults["leave"] / 10
