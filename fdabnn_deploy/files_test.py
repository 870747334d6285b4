from __future__ import annotations

from pathlib import Path

import pytest

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.files import check_writable, write_whole


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_whole(path, b"old")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode


def test_what_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", b"kept")
    with pytest.raises(UsageError, match="cannot write"):
        write_whole(tmp_path / "file" / "below", b"")
    for path in (tmp_path / "file" / "below", tmp_path):
        with pytest.raises(UsageError, match=f"cannot write {path}"):
            check_writable(path)
    check_writable(tmp_path / "file")
    check_writable(tmp_path / "other")
    assert (tmp_path / "file").read_bytes() == b"kept"
    assert [child.name for child in tmp_path.iterdir()] == ["file"]
