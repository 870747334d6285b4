"""Labels of a folder of images: from `labels.csv`, or from subfolders that are called as the classes are."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.system.read_file import check_file, read_whole

LABELS_FILE = "labels.csv"
LARGEST_FILE = 64 << 20
"""Bytes of a `labels.csv`: that of ImageNet's 1.2 million training images has half."""

_LISTED = 5


@dataclass(frozen=True)
class Labels:
    """The classes of some images, as far as they are known.

    Attributes:
        values: int64 [N], or None where nobody says.
        notes: what the user should know about them, one sentence each.
    """

    values: NDArray[np.int64] | None
    notes: tuple[str, ...] = ()


def read_labels(folder: Path, files: Sequence[Path], classes: Sequence[str] = ()) -> Labels:
    """The labels of images by `labels.csv` in their folder, or beside it.

    Its first two columns are the file name and the class: its index, or its name where the model has names. One header line may come
    first. Columns are separated by commas, semicolons or tabs; the text is UTF-8, or UTF-16 with its mark.

    Args:
        folder: of the images.
        files: the images.
        classes: the names of the model's classes, or none.

    Returns:
        A label for every image. None, with a note, where the file beside the folder names none of them.

    Raises:
        UsageError: the file cannot be read, is empty or of other images, names an image twice with two classes, lacks one, or has a class
            that the model lacks.
    """
    for path in (folder / LABELS_FILE, folder.parent / LABELS_FILE):
        if not path.exists():
            continue
        given = _read(path, classes)
        found = [_label_of(file, given) for file in files]
        missing = [file.name for file, label in zip(files, found, strict=True) if label is None]
        if not missing:
            return Labels(np.array(found, np.int64))
        if len(missing) == len(files) and path.parent != folder:
            return Labels(None, (f"{path} names none of the images in {folder}: there are no labels",))
        if len(missing) == len(files):
            raise UsageError(
                f"{path} names none of the {len(files)} images beside it (it has {len(given)} names, such as {next(iter(given))}): it "
                "belongs to other images; mend it or take it away"
            )
        raise UsageError(
            f"{path} has no label for {len(missing)} of {len(files)} images: {_some(missing)}; add them, or take the file away to do "
            "without labels"
        )
    return Labels(None)


def labels_of_subfolders(
    folder: Path, files: Sequence[Path], names: Sequence[str], classes: Sequence[str] = ()
) -> Labels:
    """The labels of images in subfolders, one per class.

    Where the model's classes have these names, those count; else the subfolders in alphabetical order are the classes, as torchvision's
    `ImageFolder` has them.

    Args:
        folder: that holds the subfolders.
        files: the images.
        names: of all subfolders, in alphabetical order.
        classes: the names of the model's classes, or none.

    Raises:
        UsageError: the model has other classes, and another number of them.
    """
    places = {name: index for index, name in enumerate(classes)}
    if not all(name in places for name in names):
        unknown = [name for name in names if name not in places]
        if classes and len(names) != len(classes):
            raise UsageError(
                f"{folder} has {len(names)} class subfolders, of which {_some(unknown)} are none of the model's {len(classes)} classes "
                f"({_some(list(classes))}): call the subfolders as the classes are, or give a folder of images with a {LABELS_FILE}"
            )
        places = {name: index for index, name in enumerate(names)}
        order = ", ".join(f"{name} = {index}" for name, index in list(places.items())[:_LISTED])
        order += ", ..." if len(places) > _LISTED else ""
        notes: tuple[str, ...] = (
            f"the subfolders of {folder} in alphabetical order are taken as the classes: {order}",
        )
    else:
        notes = ()
    return Labels(np.array([places[file.parent.name] for file in files], np.int64), notes)


def check_labels(values: NDArray[np.int64] | None, classes: int, what: str) -> None:
    """Refuses labels that a model has no output for.

    Raises:
        UsageError: a label is below 0, or not below the number of classes.
    """
    if values is None or not len(values):
        return
    outside = np.flatnonzero((values < 0) | (values >= classes))
    if len(outside):
        raise UsageError(
            f"{what}: {len(outside)} of {len(values)} labels are outside of the model's {classes} classes, the first {values[outside[0]]} "
            f"at position {outside[0]}: labels count from 0 to {classes - 1}"
        )


def _label_of(file: Path, given: dict[str, int]) -> int | None:
    for name in (file.name, f"{file.parent.name}/{file.name}"):
        if name in given:
            return given[name]
    return None


def _read(path: Path, classes: Sequence[str]) -> dict[str, int]:
    size = check_file(path, LABELS_FILE)
    if size > LARGEST_FILE:
        raise UsageError(
            f"{path} has {size >> 20} MiB, more than the {LARGEST_FILE >> 20} that labels may have: is it another file?"
        )
    text = _decode(path, read_whole(path))
    if not text.strip():
        raise UsageError(f"{path} is empty: fill in file names and classes, or take it away")
    first = text.lstrip().splitlines()[0]
    separator = next((mark for mark in (",", ";", "\t") if mark in first), ",")
    names = {name: index for index, name in enumerate(classes)}
    given: dict[str, int] = {}
    begun = False
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            place = f"{path}, line {reader.line_num}"
            if len(cells) < 2:
                raise UsageError(
                    f"{place} has one column ({cells[0]!r:.60}): it needs the file name and the class"
                )
            label = _class(cells[1], names)
            if label is None and not begun:
                begun = True  # the header line
                continue
            begun = True
            if label is None:
                known = f" or one of {_some(list(classes))}" if classes else ""
                raise UsageError(f"{place}: the class {cells[1]!r:.60} is not a number from 0{known}")
            name = cells[0].replace("\\", "/").removeprefix("./")
            if given.setdefault(name, label) != label:
                raise UsageError(
                    f"{place}: {name} is labelled {given[name]} before and {label} here: keep one of them"
                )
    except csv.Error as error:
        raise UsageError(f"{path}, line {reader.line_num} is not a line of a CSV file ({error})") from None
    if not given:
        raise UsageError(f"{path} has a header line only: fill in file names and classes, or take it away")
    return given


def _class(text: str, names: dict[str, int]) -> int | None:
    if text in names:
        return names[text]
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _decode(path: Path, content: bytes) -> str:
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} is not text in UTF-8 (byte {error.start} is {content[error.start]:#04x}): save it as CSV in UTF-8"
        ) from None


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_LISTED])
    return shown if len(names) <= _LISTED else f"{shown} and {len(names) - _LISTED} more"
