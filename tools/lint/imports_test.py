from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lint.imports import SOURCES, check_imports

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for source in SOURCES:
        shutil.copytree(
            ROOT / source, tmp_path / source, ignore=shutil.ignore_patterns("lib", "*.cc", "__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_house_keeps_its_contracts(capfd: pytest.CaptureFixture[str]) -> None:
    assert check_imports(ROOT) == 0
    assert "0 broken" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("place", "statement", "contract"),
    [
        (
            "fdabnn_deploy/prove/walk.py",
            "from fdabnn_deploy.exact import record",
            "The prover shares nothing",
        ),
        ("fdabnn_deploy/ir/graph.py", "from fdabnn_deploy.pipeline import export", "Each room knows only"),
        ("fdabnn_deploy/pipeline/export.py", "import fdabnn_onnx", "The core knows no converter"),
    ],
)
def test_an_import_the_wrong_way_is_named(
    checkout: Path, place: str, statement: str, contract: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = checkout / place
    path.write_text(f"{path.read_text()}\n\n{statement}\n")
    assert check_imports(checkout) == 1
    broken = [line for line in capfd.readouterr().out.splitlines() if line.endswith("BROKEN")]
    assert any(line.startswith(contract) for line in broken), broken


def test_tests_may_import_from_anywhere(checkout: Path) -> None:
    (checkout / "fdabnn_deploy" / "ir" / "x_test.py").write_text("from fdabnn_deploy.cli import export\n")
    assert check_imports(checkout) == 0
