"""Another commit of this repository, installed beside the checkout, to be measured in the same run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from bench.cc import cache_folder
from fdabnn_deploy.errors import RuntimeMissingError, UsageError

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = "[export,lce]"
_STAMP = ".installed"


def resolve(commit: str, root: Path = ROOT) -> str:
    """The full hash of a commit.

    Args:
        commit: hash, tag or branch.
        root: of the repository.

    Raises:
        UsageError: the repository does not hold it.
    """
    found = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        raise UsageError(
            f"this repository has no commit '{commit}': give one of `git log`, and fetch it first where the clone is shallow"
        )
    return found.stdout.strip()


def install(commit: str, root: Path = ROOT) -> Path:
    """Clones a commit, makes a virtual environment by its own `tools/make/venv.sh`, and keeps both in the benchmark's cache.

    Args:
        commit: hash, tag or branch.
        root: of the repository.

    Returns:
        The folder of the environment's programs.

    Raises:
        UsageError: the repository does not hold the commit.
        RuntimeMissingError: it cannot be installed here.
    """
    sha = resolve(commit, root)
    folder = cache_folder() / "commits" / sha
    programs = folder / "venv" / "bin"
    if (folder / _STAMP).is_file():
        return programs
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    source = folder / "source"
    for step in (
        ["git", "clone", "--quiet", "--no-checkout", str(root), str(source)],
        ["git", "-C", str(source), "checkout", "--quiet", "--detach", sha],
        [str(source / "tools" / "make" / "venv.sh"), str(folder / "venv"), "-e", f"{source}{EXTRAS}"],
    ):
        done = subprocess.run(step, check=False, capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr or done.stdout).strip().rpartition("\n")[2]
            raise RuntimeMissingError(f"commit {sha[:7]} cannot be installed here: {reason}")
    (folder / _STAMP).touch()
    return programs
