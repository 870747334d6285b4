"""The runner where no runtime is needed: its command line, missing and damaged files, a crash inside a library."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import socket
import struct
import subprocess
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fdabnn_deploy.native import delegate_path, runner_path
from fdabnn_deploy.system.programs_testing import wanted_compiler
from fdabnn_deploy.verify.capsule import Capsule, PackedSigns, Tensor, to_bytes

pytestmark = pytest.mark.programs

CAPSULE = to_bytes(
    Capsule(
        target="tflite",
        exact=True,
        model=b"\x1c\0\0\0TFL3 no more than a beginning",
        inputs=(Tensor("input", np.arange(24, dtype=np.float32).reshape(2, 3, 4)),),
        outputs=(Tensor("output", np.ones((2, 5), np.float32)),),
        packed=(PackedSigns("sign", (3, 1), np.array([1, 2], np.uint64)),),
    )
)


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [runner_path(), *map(str, arguments)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def refused(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line that a failure prints."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("fdabnn-runner: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_help_names_every_option() -> None:
    done = run("--help")
    assert done.returncode == 0
    for option in (
        *("--runtime", "--delegate", "--threads", "--cpus", "--warmup", "--runs", "--seconds", "--per-op", "--xnnpack"),
        *("--inputs", "--selftest", "--selftest-only", "--markers", "--json", "--outputs", "--ceiling", "--version"),
        "--ignore-checksum",
    ):  # fmt: skip
        assert f"  {option}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give a .tflite or .onnx file"),
        (["a.tflite", "b.tflite"], "one model at a time"),
        (["a.tflite", "--treads", "2"], "unknown option '--treads'"),
        (["a.tflite", "-j"], "unknown option '-j'"),
        (["a.tflite", "--threads"], "--threads takes a value"),
        (["a.tflite", "--threads", "0"], "--threads takes a number from 1 to 1024, not '0'"),
        (["a.tflite", "--threads=2x"], "not '2x'"),
        (["a.tflite", "--runs", "99999999999999999999"], "--runs takes a number"),
        (["a.tflite", "--seconds", "nan"], "--seconds takes seconds above 0"),
        (["a.tflite", "--runs", "3", "--seconds", "1"], "either --runs or --seconds"),
        (["a.tflite", "--cpus", "3-1"], "--cpus takes a number from 3"),
        (["a.tflite", "--cpus", "0,,1"], "--cpus takes a number"),
        (["a.tflite", "--xnnpack", "maybe"], "--xnnpack takes on or off"),
        (["a.tflite", "--per-op=yes"], "--per-op takes no value"),
        (["a.tflite", "--json", ""], "--json takes the path"),
        (["a.tflite", "--selftest-only"], "--selftest-only takes --selftest CAPSULE"),
        (["a.tflite", "--outputs", "x"], "--outputs takes --inputs or --selftest"),
        (["a.pb"], "a.pb is neither a .tflite nor an .onnx file"),
        (["a.capsule"], "give it by --selftest"),
        (["no such.tflite"], "cannot read no such.tflite: No such file"),
        (["--selftest", "no such.capsule"], "cannot read no such.capsule: No such file"),
        (["--", "--odd.tflite"], "cannot read --odd.tflite"),
        (["/etc.tflite/../", "--json"], "--json takes a value"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str) -> None:
    assert said in refused(run(*arguments), 2)


@pytest.mark.skipif(platform.machine() == "aarch64", reason="aarch64 has the marker instructions")
def test_markers_are_for_another_processor() -> None:
    assert "the marker instructions are aarch64's" in refused(run("a.tflite", "--markers"), 2)


def test_a_reader_that_has_gone() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        done = subprocess.run(
            [runner_path(), "--help"], stdout=theirs, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(theirs)
    assert done.returncode == 6
    assert done.stderr == "fdabnn-runner: cannot write the standard output: Broken pipe\n"


def test_the_pinned_processors_have_to_exist(tmp_path: Path) -> None:
    model = tmp_path / "a.tflite"
    model.write_bytes(b"")
    assert "cannot pin" in refused(run(model, "--cpus", "1023"), 2)


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
@pytest.mark.parametrize(
    "content", [b"", b"\0", b"just a text\n", b"\xff" * 300, b"\x1c\0\0\0TFL3" + bytes(30)]
)
def test_files_that_are_no_models(tmp_path: Path, suffix: str, content: bytes) -> None:
    """No library is opened for them."""
    model = tmp_path / f"model{suffix}"
    model.write_bytes(content)
    assert "is damaged or not a" in refused(run(model, "--runtime", "/none"), 3)


def test_a_folder_and_an_unreadable_file(tmp_path: Path) -> None:
    folder = tmp_path / "folder.onnx"
    folder.mkdir()
    assert "Is a directory" in refused(run(folder), 2)
    if os.geteuid() != 0:  # root reads everything
        folder.rmdir()
        folder.write_bytes(b"")
        folder.chmod(0)
        assert "Permission denied" in refused(run(folder), 2)


def test_a_damaged_capsule(tmp_path: Path) -> None:
    path = tmp_path / "a.capsule"
    for content, said in (
        (b"", "it does not begin as one"),
        (CAPSULE[:-1], f"{len(CAPSULE) - 1} bytes of {len(CAPSULE)}"),
        (CAPSULE[:-1] + b"?", "its checksum does not fit"),
        (CAPSULE[:8] + b"\2" + CAPSULE[9:], "version 2, known is 1"),
    ):
        path.write_bytes(content)
        for option in ("--selftest", "--inputs"):
            assert said in refused(run("a.onnx", option, path), 3)


@settings(max_examples=80)
@given(
    flips=st.lists(st.tuples(st.integers(16, len(CAPSULE) - 1), st.integers(0, 7)), min_size=1, max_size=4),
    sealed=st.booleans(),
)
def test_flipped_bits_in_a_capsule(
    flips: list[tuple[int, int]], sealed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With a checksum that fits what is behind it is seen as well: then the capsule's model, which is none, is refused at the latest."""
    content = bytearray(CAPSULE)
    for place, bit in flips:
        content[place] ^= 1 << bit
    if sealed:
        struct.pack_into("<I", content, 12, zlib.crc32(content[16:]))
    path = tmp_path_factory.mktemp("flips") / "a.capsule"
    path.write_bytes(content)
    refused(run("--selftest", path), 3)
    shutil.rmtree(path.parent)


def onnx_file(path: Path) -> Path:
    """Sound as far as the runner looks: a graph and nothing in it."""
    path.write_bytes(b"\x3a\x02\x0a\x00")
    return path


def test_a_missing_library(tmp_path: Path) -> None:
    model = onnx_file(tmp_path / "a.onnx")
    assert "/none does not exist: give its path by --runtime" in refused(run(model, "--runtime", "/none"), 6)
    text = tmp_path / "libonnxruntime.so"
    text.write_text("no library")
    said = refused(run(model, "--runtime", text), 6)
    assert "cannot load" in said
    assert "give its path by --runtime; it is in the wheel onnxruntime" in said
    said = refused(run(model, "--runtime", delegate_path()), 6)
    assert "has no function OrtGetApiBase" in said


def test_a_library_that_is_not_beside_it_is_named(tmp_path: Path) -> None:
    """The runner alone in a folder, as after a copy to a device that forgot the libraries."""
    runner = shutil.copy(runner_path(), tmp_path / "fdabnn-runner")
    model = onnx_file(tmp_path / "a.onnx")
    done = subprocess.run([str(runner), str(model)], capture_output=True, text=True, check=False)
    assert "cannot load libonnxruntime.so" in refused(done, 6)


def test_a_crash_inside_a_library_is_told(tmp_path: Path) -> None:
    """A library whose first function does what damaged files have made runtimes do."""
    compiler = wanted_compiler("cc", ["-fPIC"])
    model = onnx_file(tmp_path / "a.onnx")
    for name, code, status in (
        ("SIGSEGV", "*(volatile int *)8 = 1;", 3),
        ("SIGABRT", "abort();", 3),
        ("SIGILL", "raise(SIGILL);", 6),
    ):
        source, library = tmp_path / f"{name}.c", tmp_path / f"lib{name}.so"
        source.write_text(
            "#include <signal.h>\n#include <stdio.h>\n#include <stdlib.h>\n"
            f'const void *OrtGetApiBase(void) {{ fputs("its last words\\n", stderr); {code} return 0; }}\n'
        )
        subprocess.run([compiler, "-w", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
        said = refused(run(model, "--runtime", library), status)
        assert "starting ONNX Runtime" in said
        assert status != 3 or ("its last words" in said and "damaged or not for this runtime" in said)


def test_it_ends_when_it_is_told_to(tmp_path: Path) -> None:
    """And its child with it; quietly."""
    compiler = wanted_compiler("cc", ["-fPIC"])
    model = onnx_file(tmp_path / "a.onnx")
    source, library, ready = tmp_path / "sleep.c", tmp_path / "libsleep.so", tmp_path / "ready"
    source.write_text(
        "#include <stdio.h>\n#include <unistd.h>\n"
        "const void *OrtGetApiBase(void) {\n"
        f'  FILE *f = fopen("{ready}", "w");\n'
        '  fprintf(f, "%d", getpid());\n'
        "  fclose(f);\n"
        "  sleep(60);\n"
        "  return 0;\n"
        "}\n"
    )
    subprocess.run([compiler, "-w", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        ready.unlink(missing_ok=True)
        process = subprocess.Popen(
            [runner_path(), str(model), "--runtime", str(library)], stderr=subprocess.PIPE, text=True
        )
        while not (ready.exists() and ready.read_text()):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        assert process.communicate(timeout=10)[1] == ""
        assert process.returncode in {128 + number, -number}
        child = Path("/proc") / ready.read_text()
        for _ in range(500):
            if not child.exists():
                break
            time.sleep(0.01)
        assert not child.exists()


def test_a_capsule_whose_entries_want_more_than_it_has(tmp_path: Path) -> None:
    """Sealed by a checksum that fits: 4 billion images, and a thousand entries for the same bytes."""
    path, header = tmp_path / "a.capsule", 80
    entry = struct.pack("<3Q2I8I", 12, 0, 4, 2, 1, 1, *[0] * 7)
    for count, entries, said in (
        (2**32 - 1, [entry], "a part lies outside"),
        (1, [entry] * 1000, "parts overlap"),
    ):
        for data in (b"", b"x" * 4096):
            content = bytearray(
                struct.pack(
                    "<8s2IQ16s3Q4I", b"FDABNCAP", 1, 0, 0, b"onnx", 0, 0, header, len(entries), count, 0, 0
                )
                + b"".join(entries)
                + data
            )
            if count == 1:  # every entry's data is half of the file
                for i in range(len(entries)):
                    struct.pack_into("<3Q2I8I", content, header + 64 * i, 12, 0, 32_000, 0, 1, 8000, *[0] * 7)
            struct.pack_into("<I", content, 12, 0)
            struct.pack_into("<Q", content, 16, len(content))
            struct.pack_into("<I", content, 12, zlib.crc32(content[16:]))
            path.write_bytes(content)
            assert said in refused(run("a.onnx", "--selftest", path), 3)


def tflite_file(tables: int) -> bytes:
    """A root table whose vector of buffers leads to one table many times. That one has 30000 fields, none of them there."""
    vtable = struct.pack("<2H", 4 + 2 * 30_000, 4) + bytes(2 * 30_000)
    root_vtable = struct.pack("<7H", 14, 12, 4, 0, 0, 0, 8) + bytes(2)
    start = 8 + len(root_vtable)
    root = struct.pack("<iII", len(root_vtable), 3, 4)
    vector = start + len(root)
    table = vector + 4 + 4 * tables
    references = b"".join(struct.pack("<I", table - (vector + 4 + 4 * i)) for i in range(tables))
    return (
        struct.pack("<I4s", start, b"TFL3")
        + root_vtable
        + root
        + struct.pack("<I", tables)
        + references
        + struct.pack("<i", -4)
        + vtable
    )


def test_a_small_file_that_would_be_endless_work(tmp_path: Path) -> None:
    model = tmp_path / "a.tflite"
    for tables, said in ((1, "no subgraph"), (100_000, "its parts are used again and again")):
        model.write_bytes(tflite_file(tables))
        assert said in refused(run(model), 3)


def test_a_caller_that_ignores_how_its_children_end(tmp_path: Path) -> None:
    done = subprocess.run(
        [runner_path(), str(onnx_file(tmp_path / "a.onnx")), "--runtime", "/none"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
    )
    assert "/none does not exist" in refused(done, 6)


def test_who_kills_it_is_not_called_a_bug(tmp_path: Path) -> None:
    """Outside of a runtime: while it opens the model."""
    compiler = wanted_compiler("cc", ["-fPIC"])
    source, library = tmp_path / "kill.c", tmp_path / "libkill.so"
    source.write_text(
        "#include <signal.h>\n#include <string.h>\n"
        "int open(const char *path, int flags, ...) {\n"
        '  return strstr(path, ".onnx") ? raise(SIGKILL) : -1;\n'
        "}\n"
        "int __open_2(const char *path, int flags) { return open(path, flags); }\n"
    )
    subprocess.run([compiler, "-w", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    model = onnx_file(tmp_path / "a.onnx")
    said = refused(run(model, LD_PRELOAD=str(library)), 6)
    assert said.startswith(f"fdabnn-runner: {model}: the system stopped it, most likely for want of memory")


def test_what_never_ends_is_not_read(tmp_path: Path) -> None:
    """As a model, as a capsule and as a library, and where a link leads there."""
    model = onnx_file(tmp_path / "a.onnx")
    for suffix in (".onnx", ".tflite"):
        pipe, device = tmp_path / f"pipe{suffix}", tmp_path / f"device{suffix}"
        os.mkfifo(pipe)
        device.symlink_to("/dev/zero")
        for path, kind in ((pipe, r"a pipe (FIFO)"), (device, "a device")):
            for arguments, code in (
                ((path,), 2),
                ((model, "--selftest", path), 2),
                ((model, "--inputs", path), 2),
                ((model, "--runtime", path), 6),
            ):
                said = refused(run(*arguments), code)
                assert f"cannot read {path}: it is {kind}, which may never end: save what it gives" in said
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket.onnx"))
        assert "it is a socket" in refused(run(tmp_path / "socket.onnx"), 2)


def test_an_output_that_cannot_be_written_is_no_wrong_usage(tmp_path: Path) -> None:
    """Seen before the work it is (2); where the result is lost, it is not (6), as with all tools of the project."""
    model = onnx_file(tmp_path / "a.onnx")
    assert "it is a folder" in refused(run(model, "--json", tmp_path), 2)
    assert "No such file" in refused(run(model, "--json", tmp_path / "none" / "a.json"), 2)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [runner_path(), "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 6
    assert done.stderr == "fdabnn-runner: cannot write the standard output: No space left on device\n"


def test_the_library_for_the_peak_is_opened_before_anything_is_measured(tmp_path: Path) -> None:
    model = onnx_file(tmp_path / "a.onnx")
    said = refused(run(model, "--ceiling", "--delegate", "/none", "--runtime", "/none either"), 6)
    assert "the library /none does not exist: --ceiling needs it" in said


def test_control_characters_of_a_name_are_blanks() -> None:
    assert "cannot read a b c\xa0d é.tflite: No such file" in refused(run("a\x1bb\x9bc\xa0d é.tflite"), 2)
