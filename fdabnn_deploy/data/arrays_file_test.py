from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fdabnn_deploy.data.arrays_file import ONLY, check_samples_file, read_arrays
from fdabnn_deploy.errors import UsageError


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back(tmp_path: Path, save: object) -> None:
    given = {
        "x": np.random.default_rng(0).standard_normal((3, 2)),
        "y": np.array([1, 2], ">i2"),
        "z": np.zeros((0, 4), np.float16),
        "t": np.asfortranarray(np.arange(6).reshape(2, 3)),
    }
    save(tmp_path / "a.npz", **given)  # type: ignore[operator]
    found = read_arrays(tmp_path / "a.npz")
    assert found.keys() == given.keys()
    assert all(
        np.array_equal(found[name], given[name]) and found[name].dtype == given[name].dtype for name in given
    )


def test_a_single_array(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(5))
    assert read_arrays(tmp_path / "a.npy")[ONLY].tolist() == [0, 1, 2, 3, 4]


def claims(shape: str, descr: str = "'<f4'", data: bytes = b"") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def archive(path: Path, *members: bytes, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as made:
        for i, member in enumerate(members):
            made.writestr(f"arr_{i}.npy", member)
    return path


def test_what_expands_too_far_is_not_read(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", claims("(1000,)", data=bytes(4000)))
    with pytest.raises(UsageError, match=r"a\.npz expands to 4\.03\d KiB, more than the 1000 B"):
        read_arrays(path, 1000)
    path = archive(tmp_path / "b.npz", claims("(1000000, 1000000)"))
    with pytest.raises(UsageError, match=r"expands to 3\.638 TiB, more than the 4 GiB"):
        read_arrays(path)
    (tmp_path / "c.npy").write_bytes(claims("(1000000, 1000000)"))
    with pytest.raises(UsageError, match="more than the 4 GiB"):
        read_arrays(tmp_path / "c.npy")
    two = claims("(600,)", data=bytes(2400))
    with pytest.raises(UsageError, match=r"more than the 4\.883 KiB"):
        read_arrays(archive(tmp_path / "d.npz", two, two), 5000)


@pytest.mark.parametrize(
    "member",
    [
        b"hello",
        b"",
        b"\x93NUMPY",
        claims("(5,)", data=bytes(8)),
        claims("(-1,)"),
        claims("'a'"),
        claims("(2,)", "'|O'", bytes(16)),
        claims("(2,)", "[('a', '|O')]", bytes(16)),
        claims("(2,)", "'nonsense'"),
        claims("(2,").replace(b"}", b""),
        b"\x93NUMPY\x02\x00" + struct.pack("<I", 1 << 30) + b"{",
    ],
)
def test_members_that_are_no_plain_arrays(tmp_path: Path, member: bytes) -> None:
    with pytest.raises(UsageError, match=r"a\.npz is not a readable \.npz or \.npy file of plain arrays"):
        read_arrays(archive(tmp_path / "a.npz", member))


def test_damage_anywhere_is_said(tmp_path: Path) -> None:
    file = io.BytesIO()
    np.savez_compressed(file, x=np.random.default_rng(0).standard_normal(100), y=np.arange(9))
    content = file.getvalue()
    rng = np.random.default_rng(1)
    path = tmp_path / "a.npz"
    for _ in range(300):
        damaged = bytearray(content)
        for at in rng.integers(0, len(content), 3):
            damaged[at] = rng.integers(0, 256)
        path.write_bytes(damaged[: rng.integers(1, len(content) + 1)] if rng.random() < 0.3 else damaged)
        try:
            read_arrays(path)
        except UsageError as error:
            assert str(path) in str(error)  # noqa: PT017


def test_an_encrypted_archive(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", claims("(1,)", data=bytes(4)), method=zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"encrypted.*without a password"):
        read_arrays(path)


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"text")
    with pytest.raises(UsageError, match="it begins like neither"):
        read_arrays(tmp_path / "a")
    for path in (tmp_path / "none", Path("/dev/zero"), tmp_path):
        with pytest.raises(UsageError, match=r"no samples at .*random:N"):
            check_samples_file(path, str(path))
