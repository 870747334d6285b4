from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from fdabnn_deploy.data import images
from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.ir.ops import Array

Image = pytest.importorskip("PIL.Image")
GREY, COLOUR = (1, 8, 8), (3, 8, 8)


def png(path: Path, values: Array, depth: int, colour_type: int) -> None:
    """Writes a PNG by hand: what Pillow writes is not what it reads."""
    height, width = values.shape[:2]
    rows = values.reshape(height, -1)
    if depth == 16:
        packed = [row.astype(">u2").tobytes() for row in rows]
    elif depth == 8:
        packed = [row.astype(np.uint8).tobytes() for row in rows]
    else:
        bits = [np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - depth :] for row in rows]
        packed = [np.packbits(row.reshape(-1)).tobytes() for row in bits]
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    chunks = [
        (b"IHDR", header),
        (b"IDAT", zlib.compress(b"".join(b"\0" + row for row in packed))),
        (b"IEND", b""),
    ]
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in chunks:
        content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    path.write_bytes(content)


def read_one(folder: Path, shape: tuple[int, ...]) -> Array:
    pixels: Array = images.read_folder(folder, shape).pixels[0]
    return pixels


@pytest.mark.parametrize("shape", [GREY, COLOUR])
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_grey_of_every_depth_is_scaled_by_it(tmp_path: Path, depth: int, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(depth).integers(0, 2**depth, (8, 8))
    values[0, :2] = 0, 2**depth - 1
    png(tmp_path / "a.png", values, depth, 0)
    expected = np.floor(values * 255 / (2**depth - 1) + 0.5).astype(np.uint8)
    found = read_one(tmp_path, shape)
    assert np.array_equal(found, np.broadcast_to(expected, shape))


def test_sixteen_bits_of_colour_are_their_upper_eight(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (8, 8, 3))
    png(tmp_path / "a.png", values, 16, 2)
    assert np.array_equal(read_one(tmp_path, COLOUR), (values >> 8).transpose(2, 0, 1))


COLOURS = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def test_transparency_leaves_the_colours(tmp_path: Path) -> None:
    alpha = np.random.default_rng(2).integers(0, 256, (8, 8, 1), dtype=np.uint8)
    Image.fromarray(np.concatenate([COLOURS, alpha], 2), "RGBA").save(tmp_path / "a.png")
    assert np.array_equal(read_one(tmp_path, COLOUR), COLOURS.transpose(2, 0, 1))
    Image.fromarray(np.concatenate([COLOURS[..., :1], alpha], 2), "LA").save(tmp_path / "a.png")
    assert np.array_equal(read_one(tmp_path, GREY)[0], COLOURS[..., 0])


@pytest.mark.parametrize("transparent", [False, True])
def test_a_palette_is_its_colours(tmp_path: Path, transparent: bool) -> None:
    indexed = Image.fromarray(COLOURS).quantize(16)
    options = {"transparency": 3} if transparent else {}
    indexed.save(tmp_path / "a.png", **options)
    assert np.array_equal(read_one(tmp_path, COLOUR), np.asarray(indexed.convert("RGB")).transpose(2, 0, 1))


def test_colour_becomes_grey_by_its_luma(tmp_path: Path) -> None:
    Image.fromarray(COLOURS).save(tmp_path / "a.png")
    luma = COLOURS @ np.array([0.299, 0.587, 0.114])
    assert np.abs(read_one(tmp_path, GREY)[0] - luma).max() <= 1


def test_cmyk_and_grey_jpeg(tmp_path: Path) -> None:
    for mode in ("CMYK", "L", "RGB"):
        flat = Image.new("RGB", (8, 8), (60, 120, 180)).convert(mode)
        flat.save(tmp_path / "a.jpg", quality=95)
        expected = np.asarray(flat.convert("RGB"))[0, 0]
        assert np.abs(read_one(tmp_path, COLOUR).astype(int) - expected[:, None, None]).max() <= 3


def test_every_mode_of_pillow_becomes_pixels_or_is_refused() -> None:
    refused = []
    modes = ("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "LA", "PA", "RGBX", "RGBa", "La", "I;16", "I;16L",
             "I;16B", "I;16N")  # fmt: skip
    for mode in modes:
        image = Image.new(mode, (2, 2))
        try:
            assert {images.to_mode(image, to).mode for to in ("L", "RGB")} == {"L", "RGB"}
        except ValueError as error:
            assert "nothing says what is black" in str(error)  # noqa: PT017
            refused.append(mode)
    assert refused == ["LAB", "F"]
    with pytest.raises(ValueError, match="32-bit integers"):
        images.to_mode(Image.new("I", (2, 2), 70_000), "L")


@pytest.mark.parametrize("ending", ["png", "jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_images_are_put_upright(tmp_path: Path, ending: str, orientation: int) -> None:
    upright = np.zeros((8, 8), np.uint8)
    upright[:4, :4], upright[:4, 4:], upright[4:, :4] = 250, 150, 80
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.T,
        6: np.rot90(upright), 7: upright[::-1, ::-1].T, 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / f"a.{ending}", exif=exif, quality=100)
    assert np.abs(read_one(tmp_path, GREY)[0].astype(int) - upright).max() <= 3


def test_a_file_of_another_form_under_this_name_is_read_by_its_content(tmp_path: Path) -> None:
    Image.fromarray(COLOURS).save(tmp_path / "a.png", format="BMP")
    assert np.array_equal(read_one(tmp_path, COLOUR), COLOURS.transpose(2, 0, 1))


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.1, 0.5, 0.95])
def test_damaged_images_are_named(tmp_path: Path, keep: float) -> None:
    for form in ("PNG", "JPEG"):
        file = io.BytesIO()
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(file, format=form)
        content = file.getvalue()
        (tmp_path / "a.png").write_bytes(content[: int(keep * len(content))])
        with pytest.raises(UsageError, match=r"a\.png is not a readable image"):
            read_one(tmp_path, COLOUR)


def test_an_image_beyond_the_limit_is_not_decoded(tmp_path: Path) -> None:
    Image.new("L", (3000, 3000)).save(tmp_path / "a.png")
    assert images.read_folder(tmp_path, GREY, memory_limit=1 << 26).pixels.shape == (1, *GREY)
    with pytest.raises(
        UsageError, match=r"a\.png expands to 34\.\d+ MiB, more than the 1 MiB .*--memory-limit"
    ):
        images.read_folder(tmp_path, GREY, memory_limit=1 << 20)
    with pytest.raises(UsageError, match="with 1 images expands to 320 B, more than the 100 B"):
        images.read_folder(tmp_path, GREY, memory_limit=100)


def test_class_subfolders_are_taken_in_turn(tmp_path: Path) -> None:
    for name, shade in (("dog", 10), ("cat", 200)):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.new("L", (8, 8), shade + i).save(tmp_path / name / f"{i}.png")
    (tmp_path / "empty").mkdir()
    found = images.read_folder(tmp_path, GREY, 4)
    assert found.pixels[:, 0, 0, 0].tolist() == [200, 10, 201, 11]
    assert found.labels.values is not None
    assert found.labels.values.tolist() == [0, 1, 0, 1]
    by_name = images.read_folder(tmp_path, GREY, 4, ("dog", "cat")).labels
    assert by_name.values is not None
    assert by_name.values.tolist() == [1, 0, 1, 0]


def test_a_device_among_the_images(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("/dev/zero")
    with pytest.raises(UsageError, match="is a device"):
        read_one(tmp_path, GREY)
