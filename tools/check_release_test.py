from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from check_release import ROOT, changelog_problems, main, newest, read_version, repository_problems

HEAD = "# Changelog\n\n## [Unreleased]\n\n"
RELEASED = f"{HEAD}## [1.2.0] - 2026-03-04\n\n### Added\n\n- More.\n\n## [1.1.0] - 2026-01-31\n"


def test_the_projects_own_version_and_changelog_agree() -> None:
    assert version("fdabnn-deploy") == read_version()
    assert newest((ROOT / "CHANGELOG.md").read_text()) in {None, read_version()}


def test_a_release() -> None:
    assert newest(RELEASED) == "1.2.0"
    assert changelog_problems("1.2.0", RELEASED) == []
    assert changelog_problems("1.2.0", RELEASED.replace("## [Unreleased]\n\n", "")) == []


@pytest.mark.parametrize(
    ("number", "changelog", "problem"),
    [
        ("1.3.0", RELEASED, "its newest version is 1.2.0, that of pyproject.toml is 1.3.0"),
        ("1.1.0", RELEASED, "its newest version is 1.2.0, that of pyproject.toml is 1.1.0"),
        ("0.1.0", HEAD, "its newest version is None"),
        ("1.2.0", RELEASED.replace(" - 2026-03-04", ""), "no date, such as"),
        ("1.2.0", RELEASED.replace("2026-03-04", "March"), "no date, such as"),
        (
            "1.2.0",
            RELEASED.replace(HEAD, f"{HEAD}- A change.\n\n"),
            "unreleased changes beside those of 1.2.0",
        ),
        ("1.2", RELEASED, "not a version of three numbers"),
    ],
)
def test_what_is_missing(number: str, changelog: str, problem: str) -> None:
    (found,) = changelog_problems(number, changelog)
    assert problem in found


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_the_repository_and_the_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(tmp_path, "init")
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(RELEASED)
    assert repository_problems("1.2.0", tmp_path) == ["git: there are changes that are not committed"]
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "All.")
    assert main(tmp_path) == 0
    assert capsys.readouterr().out == "1.2.0 can be tagged\n"
    git(tmp_path, "tag", "v1.2.0")
    assert main(tmp_path) == 2
    assert capsys.readouterr().out == "git: the tag v1.2.0 exists\n"
