"""Python imports this at its start: the programs that a fast test starts refuse external runtimes, too."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from fast_tests.refuse_runtimes import install

sys.path.pop(0)


def _refuse(name: str) -> NoReturn:
    # No Exception: code that catches a missing package must not take this for one.
    raise SystemExit(f"a fast test started a program that imports {name}: mark the test `runtimes`")


install(_refuse)
