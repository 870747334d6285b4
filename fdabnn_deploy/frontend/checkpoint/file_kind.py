"""Naming a file by what it looks like, so that an error can say more than "not a checkpoint"."""

from __future__ import annotations

import io
import zipfile

# torch.save before 1.6 and with _use_new_zipfile_serialization=False: pickle protocol 2 of the number
# 0x1950a86a20f9469cfc6c.
LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
ZIP_MAGIC = b"PK\x03\x04"

_MAGICS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"GIF8", "a GIF image"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras?)"),
    (0, b"\x93NUMPY", "a NumPy .npy file"),
    (0, b"GGUF", "a GGUF file"),
    (4, b"TFL3", "a TFLite model"),
    (0, b"\x1f\x8b", "a gzip archive: unpack it first"),
    (0, b"BZh", "a bzip2 archive: unpack it first"),
    (0, b"\xfd7zXZ\x00", "an xz archive: unpack it first"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive: unpack it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive: unpack it first"),
    (257, b"ustar", "a tar archive: unpack it first"),
    (0, b"\x7fELF", "a Linux program or library"),
    (0, b"version https://git-lfs", "a Git LFS pointer: fetch the file itself with  git lfs pull"),
    (0, b"PK\x05\x06", "an empty zip archive"),
)


def describe(data: bytes) -> str:
    """A noun phrase for the kind of a file that is neither form of `torch.save`."""
    for offset, magic, name in _MAGICS:
        if data[offset : offset + len(magic)] == magic:
            return name
    if _is_safetensors(data):
        return "a safetensors file: load it with the safetensors package and torch.save the dict of tensors"
    if data[:2] == b"\x80\x02" and LEGACY_MAGIC.startswith(data[: len(LEGACY_MAGIC)]):
        return "a checkpoint that was cut off in its first bytes"
    if data[:1] == b"\x80" and len(data) > 1 and data[1] <= 5:
        return "a plain pickle, which can run code when it is opened"
    if _is_mindspore(data):
        return (
            "a MindSpore checkpoint: load it there with mindspore.load_checkpoint, and torch.save its arrays as tensors, under PyTorch's "
            "names (gamma, beta, moving_mean and moving_variance are weight, bias, running_mean and running_var)"
        )
    text = _as_text(data[:512])
    if text is not None:
        start = text.lstrip().lower()
        if start.startswith(("<!doctype html", "<html")):
            return "a web page: the download went wrong"
        return "a text file"
    if _is_onnx(data):
        return "an ONNX model"
    if not data.strip(b"\0"):
        return "a file of zeros: an unfinished copy or download"
    return "a file of an unknown kind"


def describe_zip(data: bytes) -> str | None:
    """A noun phrase for the kind of a readable zip archive, None if `torch.save` wrote it.

    Raises:
        zipfile.BadZipFile: the archive is damaged.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.namelist()
    ends = {name.partition("/")[2] for name in members}
    if "constants.pkl" in ends or any(end.startswith("code/") for end in ends):
        return "a TorchScript archive, which holds code: save the state_dict of the original module instead"
    if "archive_format" in ends or any(
        name.endswith(("models/model.json", "serialized_exported_program.json")) for name in members
    ):
        return "a program saved by torch.export: save the state_dict of the original module instead"
    if "data.pkl" in ends:
        return None
    if members and all(name.endswith(".npy") for name in members):
        return "a NumPy .npz file"
    return f"a zip archive that torch.save did not write (it holds {members[0] if members else 'nothing'})"


def _is_safetensors(data: bytes) -> bool:
    # Eight bytes of header length, then a JSON object of that length, padded with spaces.
    size = int.from_bytes(data[:8], "little")
    if len(data) <= 9 or not 2 <= size <= 100_000_000 or data[8:9] != b"{":
        return False
    header = data[8 : 8 + size]
    return b'"' in header[:64] and (len(header) < size or header.rstrip(b" ").endswith(b"}"))


def _is_mindspore(data: bytes) -> bool:
    # Checkpoint { repeated Value { string tag = 1; TensorProto tensor = 2 { dims, type name, content } } } of checkpoint.proto.
    if data[:1] != b"\x0a":
        return False
    at = 1
    while at < min(len(data), 11) and data[at] & 0x80:
        at += 1
    head = data[at + 1 : at + 3]
    if len(head) < 2 or head[0] != 0x0A:
        return False
    tag, rest = data[at + 3 : at + 3 + head[1]], data[at + 3 + head[1] : at + 4 + head[1]]
    return bool(tag) and tag.isascii() and tag.decode().isprintable() and rest in (b"\x12", b"\x1a")


def _as_text(head: bytes) -> str | None:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:
            return None
        text = head[: error.start].decode("utf-8")
    return text if all(char.isprintable() or char.isspace() for char in text) else None


def _is_onnx(data: bytes) -> bool:
    # ModelProto starts with field 1, ir_version (a small varint), then a length-delimited field: producer,
    # graph or opset.
    return len(data) > 3 and data[0] == 0x08 and 0 < data[1] < 64 and data[2] in {0x12, 0x1A, 0x3A, 0x42}
