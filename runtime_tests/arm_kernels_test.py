"""The test suite of the kernels on an ARM processor, by the Python of the arm64 root: every level that the library has there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from arm_root.make import TESTS
from fdabnn_deploy.runtimes.emulator.arm_root import Guest

pytestmark = pytest.mark.programs

ROOT = Path(__file__).parents[1]
SUITE = sorted((ROOT / "fdabnn_deploy" / "native" / "kernels").glob("*_test.py"))


def run(guest: Guest, file: Path, profile: str, scratch: Path) -> None:
    command = guest.command(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", f"--hypothesis-profile={profile}"),
        str(file.relative_to(ROOT)),
    )
    environment = guest.environment(ROOT, guest.root / TESTS, HYPOTHESIS_STORAGE_DIRECTORY=str(scratch))
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    assert re.fullmatch(r"[1-9]\d* passed(, \d+ warnings?)? in .*", done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("cpu", "forced", "chosen"),
    [
        ("cortex-a53", "", "neon"),
        ("cortex-a72", "", "neon"),
        ("cortex-a76", "", "neon_lookup"),
        ("neoverse-n1", "", "neon_lookup"),
        ("cortex-a72", "neon_lookup", "neon_lookup"),
        ("neoverse-n1", "neon", "neon"),
    ],
)
def test_the_level_suits_the_processor(cpu: str, forced: str, chosen: str, arm_guest: Guest) -> None:
    program = "from fdabnn_deploy.native import library; print(*library.levels(), library.chosen_level())"
    done = subprocess.run(
        arm_guest.command("-c", program),
        env=arm_guest.environment(ROOT, QEMU_CPU=cpu, FDABNN_KERNELS=forced),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["scalar", "neon", "neon_lookup", chosen]


@pytest.mark.parametrize("file", SUITE, ids=lambda file: file.stem)
def test_kernels(file: Path, arm_guest: Guest, tmp_path: Path) -> None:
    run(arm_guest, file, "few", tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("file", SUITE, ids=lambda file: file.stem)
def test_kernels_with_all_examples(file: Path, arm_guest: Guest, tmp_path: Path) -> None:
    run(arm_guest, file, "dev", tmp_path)
