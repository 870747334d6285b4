from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.data.labels import LARGEST_FILE, check_labels, labels_of_subfolders, read_labels

CLASSES = ("cat", "dog", "owl")


def folder_of(root: Path, text: str | bytes | None, outside: bool = False) -> tuple[Path, list[Path]]:
    folder = root / "val"
    folder.mkdir()
    if text is not None:
        path = (root if outside else folder) / "labels.csv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return folder, [folder / "a.png", folder / "b.png"]


@pytest.mark.parametrize(
    "text",
    [
        "a.png,2\nb.png,1\n",
        "file,class\na.png,2\nb.png,1\n",
        "file,class,more\nb.png,1,x\n\na.png,2,y\nc.png,0,z",
        "a.png;2\r\nb.png;1\r\n",
        "a.png\t2\nb.png\t1\n",
        '"a.png", 2\n"b.png", 1\n',
        "a.png,owl\nb.png,dog\n",
        "val/a.png,2\n./b.png,1\nval\\c.png,0\n",
        "a.png,2\nb.png,1\na.png,owl\n",
        "\ufefffile,class\na.png,2\nb.png,1\n",
        "file\tclass\na.png\t2\nb.png\t1\n".encode("utf-16"),
    ],
)
@pytest.mark.parametrize("outside", [False, True])
def test_labels_of_every_image(tmp_path: Path, text: str | bytes, outside: bool) -> None:
    found = read_labels(*folder_of(tmp_path, text, outside), CLASSES)
    assert found.values is not None
    assert found.values.tolist() == [2, 1]
    assert not found.notes


def test_no_file_no_labels(tmp_path: Path) -> None:
    found = read_labels(*folder_of(tmp_path, None))
    assert found.values is None
    assert not found.notes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.png,2\n", r"has no label for 1 of 2 images: b\.png; add them"),
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("file,class\n", "has a header line only"),
        ("c.png,1\nd.png,2\n", r"names none of the 2 images beside it \(it has 2 names, such as c\.png\)"),
        ("a.png,1\nb.png,1\na.png,2\n", r"line 3: a\.png is labelled 1 before and 2 here"),
        ("a.png,1\nb.png,-1\n", "line 2: the class '-1' is not a number from 0"),
        ("a.png,1\nb.png,1.5\n", "line 2: the class '1.5'"),
        ("a.png,1\nb.png,fox\n", "line 2: the class 'fox' is not a number from 0 or one of cat, dog, owl"),
        ("a.png\nb.png\n", r"line 1 has one column \('a\.png'\)"),
        (b"a.png,1\nb\xe4.png,2\n", "is not text in UTF-8 .byte 9 is 0xe4"),
        (b"\xff\xfea", "is not text in UTF-8"),
        ("a.png,1\0\n", "has a header line only"),
        (f"a.png,{'1' * 200_000}\n", "line 1 is not a line of a CSV file"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_labels(*folder_of(tmp_path, text), CLASSES)


def test_a_file_beside_the_folder_that_is_of_others_is_said(tmp_path: Path) -> None:
    found = read_labels(*folder_of(tmp_path, "c.png,1\n", outside=True))
    assert found.values is None
    assert len(found.notes) == 1
    assert "names none of the images" in found.notes[0]


def test_a_file_beside_the_folder_that_is_incomplete_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no label for 1 of 2"):
        read_labels(*folder_of(tmp_path, "a.png,1\n", outside=True))


def test_an_endless_or_oversized_file_is_not_read(tmp_path: Path) -> None:
    folder, files = folder_of(tmp_path, None)
    (folder / "labels.csv").symlink_to("/dev/zero")
    with pytest.raises(UsageError, match="is a device"):
        read_labels(folder, files)
    (folder / "labels.csv").unlink()
    with (folder / "labels.csv").open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    with pytest.raises(UsageError, match="has 64 MiB, more than the 64"):
        read_labels(folder, files)


def test_subfolders_by_the_names_of_the_classes(tmp_path: Path) -> None:
    files = [tmp_path / "owl/a.png", tmp_path / "cat/b.png"]
    found = labels_of_subfolders(tmp_path, files, ["cat", "owl"], CLASSES)
    assert found.values is not None
    assert found.values.tolist() == [2, 0]
    assert not found.notes


@pytest.mark.parametrize("classes", [(), ("k1", "k2")])
def test_subfolders_in_alphabetical_order(tmp_path: Path, classes: tuple[str, ...]) -> None:
    files = [tmp_path / "n02/a.png", tmp_path / "n01/b.png"]
    found = labels_of_subfolders(tmp_path, files, ["n01", "n02"], classes)
    assert found.values is not None
    assert found.values.tolist() == [1, 0]
    assert "alphabetical order are taken as the classes: n01 = 0, n02 = 1" in found.notes[0]


def test_subfolders_of_other_classes_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError,
        match=r"2 class subfolders, of which fox are none of the model's 3 classes \(cat, dog, owl\)",
    ):
        labels_of_subfolders(tmp_path, [], ["cat", "fox"], CLASSES)


def test_labels_outside() -> None:
    check_labels(None, 1, "it")
    check_labels(np.array([0, 9]), 10, "it")
    with pytest.raises(
        UsageError,
        match=r"it: 2 of 3 labels are outside .* 10 classes, the first 10 at position 1.*from 0 to 9",
    ):
        check_labels(np.array([0, 10, -1]), 10, "it")
