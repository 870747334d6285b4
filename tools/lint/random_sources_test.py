"""Every test has one seeded random source: the global ones start each test alike, and no generator is made without a seed."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]
UNSEEDED = {"default_rng", "Random", "RandomState", "SeedSequence", "PCG64"}
"""Made without an argument, these draw their seed from the system."""


def files_of_tests() -> list[Path]:
    folders = ("fdabnn_deploy", "converters", "models", "runtime_tests", "tools")
    names = ("*_test.py", "*_testing.py", "conftest.py")
    return sorted(path for folder in folders for name in names for path in (ROOT / folder).rglob(name))


def unseeded(source: str) -> Iterator[int]:
    """Lines that make a generator without a seed."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and not node.args and not node.keywords:
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in UNSEEDED:
                yield node.lineno


def test_no_generator_is_made_without_a_seed() -> None:
    found = {str(path): list(unseeded(path.read_text(encoding="utf-8"))) for path in files_of_tests()}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_an_unseeded_generator_is_found() -> None:
    assert list(
        unseeded("import numpy as np\nx = np.random.default_rng()\ny = np.random.default_rng(1)\n")
    ) == [2]


@pytest.mark.parametrize("run", [1, 2])
def test_the_global_sources_start_every_test_alike(run: int) -> None:
    del run
    drawn = (random.random(), float(np.random.rand()), float(torch.rand(())))
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    assert drawn == (random.random(), float(np.random.rand()), float(torch.rand(())))
