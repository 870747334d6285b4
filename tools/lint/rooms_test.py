"""The measures of the house: how many modules stand where, how they are called, how large a room is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from lint.imports import SOURCES, is_test

ROOT = Path(__file__).parents[2]
FOLDERS = (*SOURCES, "tools", "runtime_tests")
CASES = ROOT / "tools" / "cases" / "own"


def modules(folder: Path) -> list[Path]:
    return [file for file in folder.glob("*.py") if not is_test(file)]


def packages() -> list[Path]:
    found = {file.parent for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")}
    return sorted(folder for folder in found if folder != CASES)


def test_few_modules_stand_at_the_root() -> None:
    names = {file.name for file in modules(ROOT / "fdabnn_deploy")} - {"__init__.py"}
    assert len(names) <= 6, names


@pytest.mark.parametrize("folder", packages(), ids=lambda folder: str(folder.relative_to(ROOT)))
def test_a_package_has_at_most_15_modules(folder: Path) -> None:
    assert len(modules(folder)) <= 15


def test_no_name_says_nothing() -> None:
    names = {path.stem for folder in packages() for path in [folder, *modules(folder)]}
    assert not names & {"core", "common", "utils", "util", "misc", "helpers", "stuff"}


def test_no_room_is_above_a_quarter() -> None:
    """Lines of Python and templates, tests left out; kernels are C++."""
    lines: Counter[str] = Counter()
    for source in SOURCES:
        for file in (ROOT / source).rglob("*"):
            if file.suffix in (".py", ".j2") and not is_test(file):
                parts = file.relative_to((ROOT / source).parent).parts
                room = "/".join(parts[:2]) if len(parts) > 2 and parts[0] == "fdabnn_deploy" else parts[0]
                lines[room] += len(file.read_text(encoding="utf-8").splitlines())
    room, largest = lines.most_common(1)[0]
    assert largest <= 0.25 * lines.total(), room


def test_no_room_holds_two_modules_of_one_name() -> None:
    """A name such as `values.py` in four rooms says in none of them what is in it; what an operator family is called may recur."""
    families = {
        "__init__",
        "__main__",
        "base",
        "binary",
        "conv",
        "grid",
        "layout",
        "pixels",
        "pointwise",
        "pooling",
        "command",
        "lce",
    }
    names = Counter(
        file.stem for folder in packages() for file in modules(folder) if file.stem not in families
    )
    assert {name: count for name, count in names.items() if count > 2} == {}
