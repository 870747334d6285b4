"""Programs that are absent, too old or broken, by stand-ins on a path of the test's own."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import pytest

from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.measure.profiles.static_model import llvm
from fdabnn_deploy.system.programs import ADB, QEMU, SSH, Program, find
from fdabnn_deploy.system.programs_testing import CHROMIUM, READELF, SSHD, wanted_compiler

pytestmark = pytest.mark.programs

ALL = {
    "ssh": (SSH, "OpenSSH_6.6.1p1 Ubuntu, OpenSSL 1.0.1f", "6.6.1", "OpenSSH_10.0p2 Debian-7, OpenSSL 3.5.1"),
    "adb": (ADB, "Android Debug Bridge version 1.0.31", "1.0.31", "Android Debug Bridge version 1.0.41\nVersion 29.0.6"),
    "qemu": (QEMU, "qemu-aarch64 version 2.5.0 (Debian 1:2.5)", "2.5.0", "qemu-aarch64 version 10.0.2 (Debian 1:10)"),
    "llvm": (llvm("llvm-mca"), "Debian LLVM version 14.0.6", "14.0.6", "Ubuntu LLVM version 20.1.2"),
    "chromium": (CHROMIUM, "Chromium 90.0.4430.212 built on Debian", "90.0.4430.212", "Google Chrome 140.0.7339.80 "),
    "readelf": (READELF, "GNU readelf (GNU Binutils) 2.20.51", "2.20.51", "GNU readelf (GNU Binutils for Debian) 2.40"),
    "sshd": (SSHD, "OpenSSH_7.4p1, OpenSSL 1.0.2k", "7.4", "OpenSSH_9.2p1 Debian-2"),
}  # fmt: skip


MARKED = re.compile(r"^pytestmark = \[?\s*pytest\.mark\.programs\b", re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the whole path."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def stand_in(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def says(text: str) -> str:
    return f"cat <<'END' >&2\n{text}\nEND"


def says_on_stdout(text: str) -> str:
    return f"echo '{text}'"


def refusal(program: Program) -> str:
    with pytest.raises(RuntimeMissingError) as refused:
        find(program)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("name", [0, -1])
def test_absent_too_old_broken_and_right(
    kind: str, name: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, old, version, new = ALL[kind]
    program = dataclasses.replace(program, folders=())
    called, install = program.names[name], f"install it with  apt install {program.package}"
    assert refusal(program) == f"{program.names[0]} is missing: {install}"
    # `cat` and `echo` of the stand-ins; what is looked for is the test's own.
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda wanted, path: path and which(wanted, path=str(folder)))
    path = stand_in(folder, called, says(old))
    said = refusal(program)
    assert said.startswith(f"{path} is too old: it is version {version}, and ")
    assert said.endswith(f": {install}")
    stand_in(folder, called, "echo 'cannot open libfoo.so' >&2; exit 127")
    assert f"{path} does not work: `" in refusal(program)
    assert refusal(program).endswith(f"` ended with status 127 (cannot open libfoo.so): {install}")
    stand_in(folder, called, says(new))
    assert find(program).path == str(path)
    stand_in(folder, called, says_on_stdout(new.splitlines()[0]))
    assert find(program).path == str(path)


def test_ways_of_being_broken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program(("thing",), "things")
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    path = stand_in(folder, "thing", "kill -SEGV $$")
    assert "`thing --version` ended with signal 11: install it" in refusal(program)
    stand_in(folder, "thing", "echo a thing")
    assert "says no version that is known here" in refusal(program)
    path.write_bytes(b"\x7fELF no more")
    assert f"{path} does not work: Exec format error: install it" in refusal(program)
    path.write_text("#!/nowhere/sh\n")
    assert f"{path} does not work: No such file or directory: install it" in refusal(program)
    monkeypatch.setattr("fdabnn_deploy.system.programs.SECONDS", 0.2)
    stand_in(folder, "thing", "exec sleep 20")
    assert "it does not say its version within 0 s" in refusal(program)


def test_one_that_works_is_taken_behind_one_that_does_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    stand_in(folder, "llvm-mca-19", "exit 1")
    stand_in(folder, "llvm-mca", "echo 'LLVM version 21.1.0'")
    assert find(llvm("llvm-mca")).version == "21.1.0"


@pytest.mark.parametrize("name", ["cc", "g++"])
def test_a_compiler_that_makes_nothing_that_runs(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    install = "install it with  apt install g++"
    with pytest.raises(pytest.skip.Exception, match=r"is missing: install it with  apt install g\+\+"):
        wanted_compiler(name)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    for flag, script, reason in (
        ("-std=c++17", "echo 'unrecognized option -std=c++17' >&2; exit 1", "unrecognized option -std=c++17"),
        ("-fsanitize=thread", "exit 0", "No such file or directory"),
        ("-O1", 'while [ "$1" != -o ]; do shift; done; printf "#!/bin/sh\\nexit 3\\n" >"$2"; chmod +x "$2"', "status 3"),
    ):  # fmt: skip
        path = stand_in(folder, name, script)
        with pytest.raises(pytest.skip.Exception) as skipped:
            wanted_compiler(name, [flag])
        said = str(skipped.value)
        assert said.startswith(f"{path} is too old or broken: it makes no program that runs with {flag}: ")
        assert reason in said
        assert said.endswith(install)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="CI has to have this"):
        wanted_compiler(name, ["-O1"])


def test_every_file_that_wants_a_program_is_marked() -> None:
    """So that CI runs it without those programs, too."""
    root = Path(__file__).parents[2]
    wants = re.compile(
        r"programs_testing|sshd_testing|\barm_guest\b|\bpi: Device\b|\barm_root\.find\(|\bmake_root\b"
    )
    folders = ("fdabnn_deploy", "converters", "models", "runtime_tests", "tools")
    found = [
        path
        for folder in folders
        for path in (root / folder).rglob("*_test.py")
        if wants.search(path.read_text())
    ]
    unmarked = [path.name for path in found if not MARKED.search(path.read_text())]
    assert len(found) > 20
    assert unmarked == []
