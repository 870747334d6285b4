from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lint.tidy import check_cpp
from native import build

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "native" / "kernels").mkdir(parents=True)
    monkeypatch.setattr(build, "NATIVE", tmp_path / "native")
    shutil.copy(ROOT / ".clang-tidy", tmp_path)
    return tmp_path


def test_findings_are_shown_until_they_are_mended(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = checkout / "native" / "kernels" / "sum_avx2.cc"
    file.write_text("int Sum(int a, int b);\nint Sum(int a, int b) { return a; }\n")
    for _ in range(2):
        assert check_cpp(checkout) == 1
        assert "[misc-unused-parameters" in capsys.readouterr().out
    file.write_text("int Sum(int a, int b);\nint Sum(int a, int b) { return a + b; }\n")
    for _ in range(2):
        assert check_cpp(checkout) == 0
        assert capsys.readouterr().out == "clang-tidy: 1 files, 0 with findings\n"


def test_what_does_not_compile_is_a_finding(checkout: Path) -> None:
    (checkout / "native" / "kernels" / "broken.cc").write_text("int broken( { }")
    assert check_cpp(checkout) == 1
