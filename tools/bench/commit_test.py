from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench import commit
from fdabnn_deploy.errors import RuntimeMissingError, UsageError

VENV = """#!/bin/sh
mkdir -p "$1/bin"
echo "$3" > "$1/bin/asked"
"""


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=n", "-c", "user.email=n@example.org"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit_file(root: Path, content: str) -> str:
    script = root / "tools" / "make" / "venv.sh"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(content)
    script.chmod(0o755)
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "A commit")
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "--quiet")
    return root


def test_a_commit_is_installed_once_by_its_own_script(repository: Path) -> None:
    sha = commit_file(repository, VENV)
    commit_file(repository, "#!/bin/sh\nexit 1\n")
    programs = commit.install(sha[:8], repository)
    assert (programs / "asked").read_text().strip().endswith(f"{sha}/source[export,lce]")
    (programs / "asked").write_text("kept")
    assert commit.install(sha, repository) == programs
    assert (programs / "asked").read_text() == "kept"


def test_an_installation_that_fails_is_told_and_tried_again(repository: Path) -> None:
    sha = commit_file(repository, "#!/bin/sh\necho 'venv: needs Python' >&2\nexit 6\n")
    for _ in range(2):
        with pytest.raises(
            RuntimeMissingError, match=f"{sha[:7]} cannot be installed here: venv: needs Python"
        ):
            commit.install(sha, repository)


@pytest.mark.parametrize("name", ["0123456", "--help", ""])
def test_an_unknown_commit_is_refused(repository: Path, name: str) -> None:
    commit_file(repository, VENV)
    with pytest.raises(UsageError, match="has no commit"):
        commit.install(name, repository)
