"""The plugin on programs whose instructions are known, and what goes wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from fdabnn_deploy import native
from fdabnn_deploy.errors import RuntimeMissingError, UsageError
from fdabnn_deploy.measure.profiles.instruction_count import (
    Counts,
    Section,
    check_emulator,
    count,
    counting,
    parse,
)
from fdabnn_deploy.native import instruction_count_path
from fdabnn_deploy.system.programs import QEMU
from fdabnn_deploy.system.programs_testing import skip, wanted

pytestmark = pytest.mark.programs

NATIVE = Path(native.__file__).parent
LOOP = 2001
Build = Callable[[int], list[str]]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Path]:
    """Compiles a case of tests/marked_program.cc for a processor."""
    if find_spec("ziglang") is None:
        pytest.skip("no ziglang in this environment, which compiles for other processors")
    folder = tmp_path_factory.mktemp("programs")

    @cache
    def build(machine: str, case: int) -> Path:
        out = folder / f"{machine}-{case}"
        flags = ["-std=c++17", "-O1", "-ffreestanding", "-nostdlib", "-static", f"-DCASE={case}", "-I."]
        command = [*("c++", "-target", f"{machine}-linux-gnu.2.17"), *flags, "tests/marked_program.cc"]
        subprocess.run([sys.executable, "-m", "ziglang", *command, "-o", str(out)], cwd=NATIVE, check=True)
        return out

    return build


@pytest.fixture(scope="module")
def program(compiled: Callable[[str, int], Path]) -> Build:
    """The command that runs a case under the emulator; skips where there is none that counts."""
    qemu = wanted(QEMU)
    try:
        check_emulator(qemu)
        instruction_count_path()
    except RuntimeMissingError as error:
        skip(str(error))
    return lambda case: [qemu, str(compiled("aarch64", case))]


def test_sections_are_counted_exactly(program: Build) -> None:
    run = count(program(0))
    assert run.status == 3
    assert run.sections == (
        Section(Counts(LOOP, vector=0, loads=0, stores=0, branches=1000), own=LOOP),
        Section(Counts(0, 0, 0, 0, 0), own=0),
        Section(Counts(6, vector=2, loads=2, stores=1, branches=0), own=6),
    )
    # With the six marks, the call that ends it, and what brings its arguments there.
    assert LOOP + 6 + 6 < run.total.instructions < LOOP + 50
    assert count(program(0)) == run


def test_a_thread_counts_for_the_program_and_not_for_the_one_that_marks(program: Build) -> None:
    (section,) = count(program(5)).sections
    # The call that starts it returns in it, too; it may end within the section or not.
    assert LOOP + 3 <= section.counts.instructions - section.own <= LOOP + 6
    assert section.own > 5


def test_a_forked_process_is_not_counted(program: Build) -> None:
    run = count(program(6))
    (section,) = run.sections
    assert section.counts.instructions == section.own < 100
    assert run.total.instructions < 200


def test_a_program_that_changes_its_folder(program: Build, tmp_path: Path) -> None:
    command = counting(program(7), Path("counts.jsonl"))
    subprocess.run(command, cwd=tmp_path, check=True)
    sections, total = parse((tmp_path / "counts.jsonl").read_text().splitlines())
    assert [section.own for section in sections] == [LOOP]
    assert total is not None


def test_a_folder_with_a_comma(program: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a,b,,c"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    assert len(count(program(0)).sections) == 3
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (1, "a section began inside section 0 of the same thread"),
        (2, "a section ended that the same thread had not begun"),
        (3, "it ended within a section"),
    ],
)
def test_marks_that_do_not_match(program: Build, case: int, reason: str) -> None:
    with pytest.raises(UsageError, match=f"marks do not come in pairs: {reason}"):
        count(program(case))


def test_a_program_that_is_killed(program: Build) -> None:
    with pytest.raises(
        UsageError, match="ended with status -9 before its instructions were counted to the end"
    ):
        count(program(4))


def test_a_program_that_is_missing(program: Build, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ended with status 1 before its instructions were counted"):
        count([program(0)[0], str(tmp_path / "none")])


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        (",oot=x", "unknown argument oot=x; use it as"),
        ("", "no file is named to write to; use it as"),
        (",out=/proc/none/x", "cannot write /proc/none/x: No such file or directory"),
        (",out=a,size=3", "unknown argument size=3"),
    ],
)
def test_the_plugin_says_what_it_does_not_take(
    program: Build, argument: str, reason: str, tmp_path: Path
) -> None:
    qemu, *arguments = program(0)
    command = [qemu, "-plugin", instruction_count_path() + argument, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"fdabnn instruction count: {reason}")


def test_the_plugin_is_for_aarch64(program: Build) -> None:
    other = wanted(replace(QEMU, names=("qemu-arm",)))
    done = subprocess.run(
        [other, "-plugin", f"{instruction_count_path()},out=x", "/bin/true"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "it counts for aarch64, not for arm" in done.stderr


def test_an_emulator_without_plugins(compiled: Callable[[str, int], Path], tmp_path: Path) -> None:
    static = compiled("x86_64", 0)
    with pytest.raises(
        RuntimeMissingError,
        match="is statically linked and loads no plugins: use a dynamically linked qemu-aarch64",
    ):
        count([str(static), "program"])
    # What the static one says, in case it hides behind a script.
    script = tmp_path / "qemu-aarch64"
    script.write_text("#!/bin/sh\necho \"qemu: unknown option 'plugin'\" >&2\nexit 1\n")
    script.chmod(0o755)
    with pytest.raises(
        RuntimeMissingError, match="knows no option -plugin; use a dynamically linked qemu-aarch64"
    ):
        count([str(script), "program"])


def test_an_emulator_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeMissingError, match="none is missing: install it with  apt install qemu-user"):
        count([str(tmp_path / "none"), "program"])


def test_a_plugin_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_FOLDER", tmp_path)
    with pytest.raises(RuntimeMissingError, match=r"plugin .*libfdabnn_instruction_count\.so is missing"):
        counting(["qemu-aarch64", "program"], tmp_path / "out")


def test_a_program_that_takes_too_long(program: Build, tmp_path: Path) -> None:
    slow = tmp_path / "qemu-aarch64"
    slow.write_text("#!/bin/sh\nexec sleep 20\n")
    slow.chmod(0o755)
    with pytest.raises(UsageError, match=r"did not end within 0\.2 s"):
        count([str(slow), *program(0)[1:]], timeout=0.2)
