"""The independent BiBench network for the tests of this package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

_FILE = Path(__file__).parents[3] / "runtime_tests" / "fixtures" / "bibench_fda.py"


@pytest.fixture(scope="session")
def bibench_fda() -> ModuleType:
    """`runtime_tests/fixtures/bibench_fda.py`, which no import path leads to."""
    spec = importlib.util.spec_from_file_location("bibench_fda", _FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bibench_fda"] = module
    spec.loader.exec_module(module)
    return module
