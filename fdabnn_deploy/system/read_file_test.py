from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.system.read_file import check_file, exists, read_whole


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    (tmp_path / "link").symlink_to(path)
    assert read_whole(path) == read_whole(tmp_path / "link") == b"abc"


def test_what_never_ends_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((Path("/dev/zero"), "a device"), (tmp_path / "pipe", "a pipe")):
        with pytest.raises(UsageError, match=f"{kind}.*never end: save what it gives to a file"):
            read_whole(path)


def test_other_things_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder; name the capsule in it"):
        check_file(tmp_path, "capsule")
    with pytest.raises(UsageError, match="there is no file"):
        check_file(tmp_path / "b")
    with pytest.raises(UsageError, match="holds a NUL character"):
        check_file(Path("a\0b"))
    with pytest.raises(UsageError, match="cannot be read: File name too long"):
        check_file(tmp_path / ("a" * 300))
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(UsageError, match="cannot be read: Too many levels of symbolic links"):
        check_file(tmp_path / "loop")


def test_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        with pytest.raises(UsageError, match="is a socket"):
            read_whole(Path("s"))


def test_a_file_beyond_memory_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 42)
    with pytest.raises(UsageError, match="needs 4 TiB of memory, and"):
        read_whole(path)


def test_whether_something_is_there(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    assert exists(tmp_path)
    assert exists(tmp_path / "a")
    assert not exists(tmp_path / "b")
    assert not exists(tmp_path / "a" / "b")
    assert not exists(tmp_path / "dangling")
    for name, reason in (("a" * 300, "File name too long"), ("loop", "Too many levels"), ("a\0b", "NUL")):
        with pytest.raises(UsageError, match=reason):
            exists(tmp_path / name)
