"""Command line tools never overwrite their inputs, and leave whole files or none where they are stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

READING = [
    "--model",
    "nets:Small",
    "--input-shape",
    "3,8,8",
    "--mean",
    "0.5,0.5,0.5",
    "--std",
    "0.25,0.25,0.25",
]
EXPORT = [*READING, "--target", "onnx", "--samples", "random:8"]


@pytest.fixture
def place(tmp_path: Path, write_network: Callable[..., Path]) -> Path:
    """A user's folder: a network in a file, its checkpoint."""
    return write_network(tmp_path, "a.pt")


def start(place: Path, tool: str, *arguments: str, before: str = "") -> subprocess.Popen[str]:
    code = f"import sys\n{before}\nfrom fdabnn_deploy.cli.{tool} import main\nsys.exit(main(sys.argv[1:]))"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(place: Path, tool: str, *arguments: str) -> tuple[int, str, str]:
    with start(place, tool, *arguments) as process:
        out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def odd(place: Path) -> Iterator[Path]:
    """The folder with one of everything that must not be replaced."""
    (place / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place / "socket"))
        yield place


@pytest.mark.parametrize("option", ["--json", "--capsule"])
def test_what_must_not_be_replaced_is_refused_before_the_work(option: str, odd: Path) -> None:
    before = names(odd)
    for name, reason in (
        ("folder", "it is a folder"),
        ("socket", "it is a socket"),
        ("a.pt/below", "Not a directory"),
        ("a.pt", "would replace CHECKPOINT"),
    ):
        code, out, err = run(odd, "export", "a.pt", *EXPORT, "--out", "out", option, name)
        assert (code, err.count("\n")) == (2, 1), err
        assert reason in err
        assert "read" not in out
    assert set(names(odd)) - {"__pycache__"} == set(before)
    assert stat.S_ISSOCK((odd / "socket").stat().st_mode)


def test_the_files_of_the_export_likewise(odd: Path) -> None:
    out = odd / "out"
    out.mkdir()
    (out / "a.onnx").mkdir()
    code, said, err = run(odd, "export", "a.pt", *EXPORT, "--out", "out")
    assert (code, err) == (2, "fdabnn-export: cannot write out/a.onnx: it is a folder: name a file\n")
    assert "capture" not in said
    code, _, err = run(odd, "export", "a.pt", *EXPORT, "--out", "out", "--json", "out/report.onnx")
    assert (code, err.count("\n")) == (2, 1)
    assert "ends as the exported files do" in err
    (out / "a.onnx").rmdir()
    (odd / "far.onnx").write_bytes(b"old")
    (out / "a.onnx").symlink_to("../far.onnx")
    code, _, err = run(odd, "export", "a.pt", *EXPORT, "--out", "out", "--json", "/dev/null")
    assert (code, err) == (0, "")
    assert (out / "a.onnx").is_symlink()
    assert len((odd / "far.onnx").read_bytes()) > 1000
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert names(out) == ["a.onnx"]


def test_a_report_that_cannot_be_written_after_a_good_export(place: Path) -> None:
    code, out, err = run(place, "export", "a.pt", *EXPORT, "--out", "out", "--json", "/dev/full")
    assert (code, err) == (6, "fdabnn-export: cannot write /dev/full: No space left on device\n")
    assert names(place / "out") == ["a.onnx"]
    assert "Layers: 1 of 3" in out


@pytest.mark.parametrize("tool", ["export", "parity"])
def test_json_on_the_standard_output_is_alone_there(tool: str, place: Path) -> None:
    arguments = (
        ["a.pt", *EXPORT, "--out", "out"]
        if tool == "export"
        else ["a.pt", "a.pt", *READING, "--inputs", "random:4"]
    )
    code, out, err = run(place, tool, *arguments, "--json", "/dev/stdout")
    assert code == 0, err
    assert json.loads(out)["verified" if tool == "export" else "verdict"]
    assert "random:" in err or "inputs" in err
    os.mkfifo(place / "fifo")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append((place / "fifo").read_text()))
    reader.start()
    code, _, err = run(place, tool, *arguments, "--json", "fifo")
    reader.join(20)
    assert (code, err) == (0, "")
    assert json.loads(read[0]).keys() == json.loads(out).keys()
    assert (place / "fifo").is_fifo()


def wait_for_work(process: subprocess.Popen[str], out: Path) -> None:
    """Until the folder in which files are converted is there."""
    end = time.monotonic() + 120
    while not list(out.glob(".fdabnn-export-????????")):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.005)


SLOW = (
    "import time\nfrom fdabnn_deploy.pipeline import verification\nreal = verification.convert_and_check\n"
    "def slow(*a, **k):\n    time.sleep(10)\n    return real(*a, **k)\nverification.convert_and_check = slow\n"
)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_leaves_nothing(number: signal.Signals, code: int, place: Path) -> None:
    with start(place, "export", "a.pt", *EXPORT, "--out", "out", before=SLOW) as process:
        wait_for_work(process, place / "out")
        process.send_signal(number)
        # As a terminal does that closes.
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (code, f"fdabnn-export: stopped by {number.name}\n")
    assert not (place / "out").exists()


def test_a_signal_that_is_ignored_stays_so(place: Path) -> None:
    ignore = "import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    with start(place, "export", "a.pt", *EXPORT, "--out", "out", before=ignore) as process:
        wait_for_work(process, place / "out")
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=120)
    assert process.returncode == 0
    assert names(place / "out") == ["a.onnx"]


def test_what_a_kill_leaves_goes_with_the_next_export(place: Path) -> None:
    with start(place, "export", "a.pt", *EXPORT, "--out", "out", before=SLOW) as killed:
        wait_for_work(killed, place / "out")
        killed.kill()
    (left,) = names(place / "out")
    with start(place, "export", "a.pt", *EXPORT, "--out", "out", "--name", "slow", before=SLOW) as running:
        while left in names(place / "out"):
            assert running.poll() is None
            time.sleep(0.005)
        wait_for_work(running, place / "out")
        # A third one removes nothing of the second, which still runs.
        code, _, err = run(place, "export", "a.pt", *EXPORT, "--out", "out")
        assert (code, err) == (0, "")
        assert len(names(place / "out")) == 2
        _, err = running.communicate(timeout=120)
        assert (running.returncode, err) == (0, "")
    assert names(place / "out") == ["a.onnx", "slow.onnx"]


def test_two_exports_at_once_into_one_folder(place: Path) -> None:
    """Of the same checkpoint, so that both write the same file."""
    both = [start(place, "export", "a.pt", *EXPORT, "--out", "out", "--json", f"{n}.json") for n in range(2)]
    for process in both:
        with process:
            _, err = process.communicate(timeout=300)
        assert (process.returncode, err) == (0, "")
    assert names(place / "out") == ["a.onnx"]
    one, other = (json.loads((place / f"{n}.json").read_text()) for n in range(2))
    assert one["artifacts"] == other["artifacts"]
    code, _, err = run(place, "parity", "a.pt", "out/a.onnx", *READING, "--inputs", "random:4")
    assert (code, err) == (0, "")


def test_names_reach_the_terminal_escaped(place: Path) -> None:
    """A checkpoint whose file has a name that would colour the terminal, and one whose tensors have."""
    import torch

    named = place / "a\x1b[31mred\x07\u202e.pt"
    named.write_bytes((place / "a.pt").read_bytes())
    for code, out, err in (
        run(place, "export", named.name, *EXPORT, "--out", "out"),
        run(place, "export", "missing\x1b]0;title\x07.pt"),
    ):
        assert not set("\x1b\x07\u202e") & set(out + err)
        assert "\\x1b" in out + err
        assert code in {0, 2}
    state = torch.load(place / "a.pt", weights_only=True)
    torch.save({f"{name}\x1b[2J": value for name, value in state.items()}, place / "a.pt")
    code, out, err = run(place, "export", "a.pt", *EXPORT, "--out", "out")
    assert "\x1b" not in out + err
    assert "\\x1b[2J" in err
    assert code != 0
