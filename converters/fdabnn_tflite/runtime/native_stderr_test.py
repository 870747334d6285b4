from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, sys
from fdabnn_tflite.runtime.native_stderr import native_stderr
os.write(2, b"before;")
try:
    with native_stderr() as log:
        os.write(2, b"hidden")
        print("python", end=";", file=sys.stderr, flush=True)
        raise KeyError
except KeyError:
    pass
os.write(2, b"after")
print(log.text, end="")
"""


def test_native_output_is_kept_and_pythons_is_shown() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert run.stderr == "before;python;after"
    assert run.stdout == "hidden"
