from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fdabnn_deploy.errors import NotWrittenError, UsageError
from fdabnn_deploy.system import files
from fdabnn_deploy.system.files import check_outputs, check_writable, move_whole, write_whole

ROOT = os.geteuid() == 0


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refusal(path: Path) -> str:
    """Checks the message before the work and at writing, and that nothing changes."""
    before = path.lstat()
    with pytest.raises(UsageError, match=f"^cannot write {path}: ") as early:
        check_writable(path)
    with pytest.raises(NotWrittenError) as late:
        write_whole(path, b"content")
    assert str(early.value) == str(late.value)
    assert path.lstat().st_ino == before.st_ino
    assert path.lstat().st_mode == before.st_mode
    return str(early.value)


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    check_writable(path)
    assert names(tmp_path) == []
    write_whole(path, b"old")
    check_writable(path)
    write_whole(path, lambda file: file.write(b"new"))
    assert path.read_bytes() == b"new"
    assert names(path.parent) == ["file"]
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode
    path.chmod(0o640)
    write_whole(path, b"newer")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("name", ["n" * 255, "ä" * 127, "a\nb\x1b[31m", "-", "a b"])
def test_names_that_are_long_or_odd(name: str, tmp_path: Path) -> None:
    check_writable(tmp_path / name)
    write_whole(tmp_path / name, b"content")
    assert names(tmp_path) == [name]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"kept")

    def full(file: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(NotWrittenError, match=f"cannot write {path}: No space left on device"):
        write_whole(path, full)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, lambda _: (_ for _ in ()).throw(KeyboardInterrupt()))
    assert path.read_bytes() == b"kept"
    assert names(tmp_path) == ["file"]


def test_below_a_file_there_is_no_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"kept")
    for path in (tmp_path / "file" / "below", tmp_path / "file" / "deep" / "below"):
        with pytest.raises(UsageError, match=f"cannot write {path}: Not a directory"):
            check_writable(path)
        with pytest.raises(NotWrittenError, match=f"cannot write {path}: Not a directory"):
            write_whole(path, b"")
    assert (tmp_path / "file").read_bytes() == b"kept"
    assert names(tmp_path) == ["file"]


def test_folders_sockets_and_disks_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert refusal(tmp_path / "folder").endswith("it is a folder: name a file")
    (tmp_path / "link").symlink_to("folder")
    assert refusal(tmp_path / "link").endswith("it is a folder: name a file")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        assert "it is a socket" in refusal(tmp_path / "socket")
    (tmp_path / "round").symlink_to("round")
    assert "Too many levels of symbolic links" in refusal(tmp_path / "round")
    try:
        os.mknod(tmp_path / "disk", stat.S_IFBLK | 0o600, os.makedev(7, 255))
    except OSError:
        pytest.skip("no right to make a block device")
    assert refusal(tmp_path / "disk").endswith("it is a disk: name a file on it")


@pytest.mark.skipif(ROOT, reason="root may write everywhere")
def test_what_this_user_may_not_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"kept")
    (tmp_path / "file").chmod(0o444)
    with pytest.raises(UsageError, match="Permission denied"):
        check_writable(tmp_path / "file")
    folder = tmp_path / "folder"
    folder.mkdir(0o555)
    with pytest.raises(UsageError, match="Permission denied"):
        check_writable(folder / "deep" / "file")


def test_links_are_followed_and_stay(tmp_path: Path) -> None:
    far = tmp_path / "far"
    far.mkdir()
    for name in ("file", "new"):
        (tmp_path / name).symlink_to(f"far/{name}")
    (far / "file").write_bytes(b"old")
    for name in ("file", "new"):
        check_writable(tmp_path / name)
        write_whole(tmp_path / name, b"content")
        assert (tmp_path / name).is_symlink()
        assert (far / name).read_bytes() == b"content"
    assert names(far) == ["file", "new"]


def test_devices_are_written_into(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(os.devnull)
    for path in (Path(os.devnull), tmp_path / "link"):
        check_writable(path)
        write_whole(path, b"content")
        assert stat.S_ISCHR(path.stat().st_mode)
    assert (tmp_path / "link").is_symlink()
    check_writable(Path("/dev/full"))
    with pytest.raises(NotWrittenError, match="cannot write /dev/full: No space left on device"):
        write_whole(Path("/dev/full"), b"content")
    leader, follower = os.openpty()
    with os.fdopen(leader, "rb") as terminal:
        write_whole(Path(os.ttyname(follower)), b"content")
        assert terminal.read(7) == b"content"
    os.close(follower)


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    path, read = tmp_path / "fifo", []
    os.mkfifo(path)
    check_writable(path)
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    content = bytes(range(256)) * 1024  # more than a pipe holds
    write_whole(path, content)
    reader.join(20)
    assert read == [content]
    assert path.is_fifo()


def test_a_pipe_that_nobody_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "READER_SECONDS", 0.2)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(NotWrittenError, match="nobody reads this pipe, for 0 s"):
        write_whole(tmp_path / "fifo", b"content")
    assert (tmp_path / "fifo").is_fifo()


SCRIPT = """
import sys
from pathlib import Path
from fdabnn_deploy.system.files import check_outputs, write_whole
check_outputs({"--json": Path(sys.argv[1]), "--html": Path(sys.argv[1])}, {})
print("before")
write_whole(Path(sys.argv[1]), b"content\\n")
print("after")
"""


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    link = tmp_path / "a link"
    link.symlink_to("/dev/stdout")
    return [sys.executable, "-c", SCRIPT]


@pytest.mark.parametrize(
    "path", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/proc/thread-self/fd/1", "a link"]
)
def test_the_standard_output(path: str, command: list[str], tmp_path: Path) -> None:
    """Behind what was printed and before what is printed later, whatever it is open on."""
    expected = b"before\ncontent\nafter\n"
    done = subprocess.run([*command, path], cwd=tmp_path, stdout=subprocess.PIPE, check=True)
    assert done.stdout == expected
    out = tmp_path / "out"
    for mode, length in (("wb", 1), ("ab", 2)):
        with out.open(mode) as file:
            inode = os.fstat(file.fileno()).st_ino
            subprocess.run([*command, path], cwd=tmp_path, stdout=file, check=True)
        assert out.read_bytes() == expected * length
        assert out.stat().st_ino == inode
    here, there = socket.socketpair()
    with here, there:
        subprocess.run([*command, path], cwd=tmp_path, stdout=there.fileno(), check=True)
        assert here.recv(100) == expected


def test_a_descriptor_that_is_not_open(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write /dev/fd/987: Bad file descriptor"):
        check_writable(Path("/dev/fd/987"))
    (tmp_path / "file").touch()
    with (tmp_path / "file").open("rb") as file, pytest.raises(UsageError, match="open for reading only"):
        check_writable(Path(f"/dev/fd/{file.fileno()}"))
    with pytest.raises(NotWrittenError, match="cannot write /dev/fd/987: Bad file descriptor"):
        write_whole(Path("/dev/fd/987"), b"")


def test_files_are_moved_to_where_a_path_leads(tmp_path: Path) -> None:
    source = tmp_path / "source"
    far = tmp_path / "far"
    (tmp_path / "link").symlink_to("far")
    os.mkfifo(tmp_path / "fifo")
    for path, leads_to in ((tmp_path / "new", tmp_path / "new"), (tmp_path / "link", far)):
        source.write_bytes(b"content")
        move_whole(source, path)
        assert leads_to.read_bytes() == b"content"
        assert not source.exists()
    assert (tmp_path / "link").is_symlink()
    source.write_bytes(b"content")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "fifo").read_bytes()))
    reader.start()
    move_whole(source, tmp_path / "fifo")
    reader.join(20)
    assert read == [b"content"]
    source.write_bytes(b"content")
    with pytest.raises(NotWrittenError, match="it is a folder"):
        move_whole(source, tmp_path)
    assert source.read_bytes() == b"content"


def test_a_move_to_another_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, other = tmp_path / "source", tmp_path / "other"
    source.write_bytes(b"content")

    def refuse(self: Path, target: Path) -> Path:
        if self == source:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return self.rename(target)

    monkeypatch.setattr(Path, "replace", refuse)
    move_whole(source, other)
    assert other.read_bytes() == b"content"
    assert names(tmp_path) == ["other"]


def test_outputs_take_the_place_of_nothing(tmp_path: Path) -> None:
    model, link, hard = tmp_path / "model", tmp_path / "link", tmp_path / "hard"
    model.write_bytes(b"kept")
    link.symlink_to("model")
    hard.hardlink_to(model)
    for path in (model, link, hard, tmp_path / "." / "model", tmp_path / "x" / ".." / "model"):
        with pytest.raises(UsageError, match=r"^--json .* would replace MODEL: name another file$"):
            check_outputs({"--json": path}, {"MODEL": model})
    both = {"--json": tmp_path / "a", "--capsule": tmp_path / "a"}
    with pytest.raises(UsageError, match=r"^--capsule .* would replace --json: name another file$"):
        check_outputs(both, {})
    check_outputs({"--json": tmp_path / "a", "--html": None}, {"MODEL": model, "--capsule": None})
    check_outputs({"--json": Path(os.devnull), "--html": Path(os.devnull)}, {})
    assert names(tmp_path) == ["hard", "link", "model"]


def test_a_name_with_a_nul_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no file name: it holds a NUL character"):
        check_outputs({"--json": tmp_path / "a\0b"}, {})


def test_links_in_a_circle_are_refused_before_the_work(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for output in (loop, loop / "a.json", loop / "b" / "a.json"):
        with pytest.raises(UsageError, match="Too many levels of symbolic links"):
            check_outputs({"--json": output}, {})
    check_outputs({"--json": tmp_path / "a.json"}, {"MODEL": loop})
