"""Is the project ready to be tagged? Its version, its changelog and its repository have to agree.

python tools/check_release.py
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_HEADING = re.compile(r"^## \[(.+?)\](?: - (.+))?$", re.MULTILINE)


def read_version(root: Path = ROOT) -> str:
    """The version in pyproject.toml, which is the only place that has it."""
    version: str = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    return version


def newest(changelog: str) -> str | None:
    """The version whose heading comes first, after that of unreleased changes; None before the first release."""
    return next((found[1] for found in _HEADING.finditer(changelog) if found[1] != "Unreleased"), None)


def changelog_problems(version: str, changelog: str) -> list[str]:
    """Lists why the changelog is not that of a release.

    Args:
        version: of the release.
        changelog: the text, in the format of Keep a Changelog.
    """
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        return [f"pyproject.toml: {version} is not a version of three numbers"]
    headings = list(_HEADING.finditer(changelog))
    found = {heading[1]: heading for heading in headings}
    if version not in found or newest(changelog) != version:
        return [
            f"CHANGELOG.md: its newest version is {newest(changelog)}, that of pyproject.toml is {version}"
        ]
    problems = []
    try:
        date.fromisoformat(found[version][2] or "")
    except ValueError:
        problems.append(
            f"CHANGELOG.md: the heading of {version} has no date, such as  ## [{version}] - 2026-01-31"
        )
    if "Unreleased" in found:
        begin = found["Unreleased"].end()
        end = min((heading.start() for heading in headings if heading.start() > begin), default=None)
        if changelog[begin:end].strip():
            problems.append(f"CHANGELOG.md: there are unreleased changes beside those of {version}")
    return problems


def repository_problems(version: str, root: Path = ROOT) -> list[str]:
    """Lists why the checkout must not be tagged."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    problems = []
    if git("status", "--porcelain"):
        problems.append("git: there are changes that are not committed")
    if git("tag", "--list", f"v{version}"):
        problems.append(f"git: the tag v{version} exists")
    return problems


def main(root: Path = ROOT) -> int:
    """The command line, for a checkout."""
    version = read_version(root)
    problems = changelog_problems(version, (root / "CHANGELOG.md").read_text())
    problems += repository_problems(version, root)
    print("\n".join(problems) or f"{version} can be tagged")
    return 2 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
