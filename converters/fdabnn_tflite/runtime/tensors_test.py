from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from fdabnn_tflite.runtime.tensors import Layout, TensorMap, TensorPlace

RNG = np.random.default_rng(0)


def packed(signs: Any) -> Any:
    """32 channels per int32, -1 as a set bit, the first channel lowest: one by one."""
    *shape, channels = signs.shape
    words = np.zeros((*shape, -(-channels // 32)), dtype=np.uint32)
    for channel in range(channels):
        words[..., channel // 32] |= (signs[..., channel] < 0).astype(np.uint32) << np.uint32(channel % 32)
    return words.view(np.int32)


@pytest.mark.parametrize("flipped", [False, True])
def test_images_come_back(flipped: bool) -> None:
    image = RNG.standard_normal((2, 3, 4, 5), dtype=np.float32)
    stored = image.transpose(0, 2, 3, 1)
    stored = stored[:, ::-1, ::-1] if flipped else stored
    place = TensorPlace("x", 0, (3, 4, 5), Layout.NHWC, (), flipped)
    assert place.stored_shape == (4, 5, 3)
    assert np.array_equal(place.restore(stored), image)
    rows = TensorPlace("x", 0, (60,), Layout.FLAT, (3, 4, 5), flipped)
    assert rows.stored_shape == (60,)
    assert np.array_equal(rows.restore(stored.reshape(2, 60)), image.reshape(2, 60))
    pixel = TensorPlace("x", 0, (60,), Layout.PIXEL, (3, 4, 5), flipped)
    assert pixel.stored_shape == (1, 1, 60)
    assert np.array_equal(pixel.restore(stored.reshape(2, 1, 1, 60)), image.reshape(2, 60))


def test_plain_tensors_stay_as_they_are() -> None:
    values = RNG.standard_normal((2, 3, 4, 5), dtype=np.float32)
    for layout in (Layout.PLAIN, Layout.FLAT):
        assert np.array_equal(TensorPlace("x", 0, (3, 4, 5), layout, (), True).restore(values), values)
    pixel = TensorPlace("x", 0, (7,), Layout.PIXEL)
    assert np.array_equal(pixel.restore(np.ones((2, 1, 1, 7), dtype=np.float32)), np.ones((2, 7)))


@pytest.mark.parametrize("channels", [1, 31, 32, 33, 64, 70])
@pytest.mark.parametrize("flipped", [False, True])
def test_packed_signs_come_back(channels: int, flipped: bool) -> None:
    signs = np.where(RNG.random((2, 3, 4, channels)) < 0.5, -1, 1).astype(np.float32)
    place = TensorPlace("s", 0, (channels, 3, 4), Layout.PACKED, (), flipped)
    words = packed(signs)
    assert words.shape[1:] == place.stored_shape
    expected = (signs[:, ::-1, ::-1] if flipped else signs).transpose(0, 3, 1, 2)
    assert np.array_equal(place.restore(words), expected)


def test_packed_signs_of_a_flattened_image_come_back() -> None:
    image = np.where(RNG.random((2, 5, 3, 4)) < 0.5, -1, 1).astype(np.float32)
    words = packed(image.transpose(0, 2, 3, 1)[:, ::-1, ::-1].reshape(2, 1, 1, 60))
    place = TensorPlace("s", 0, (60,), Layout.PACKED, (5, 3, 4), True)
    assert words.shape[1:] == place.stored_shape
    assert np.array_equal(place.restore(words), image.reshape(2, 60))


def test_inputs_are_stored_as_the_file_takes_them() -> None:
    image = RNG.standard_normal((2, 3, 4, 5), dtype=np.float32)
    stored = TensorPlace("x", 0, (3, 4, 5), Layout.NHWC).store(image)
    assert np.array_equal(stored, image.transpose(0, 2, 3, 1))
    assert stored.flags.c_contiguous
    rows = image.reshape(2, 60)
    assert np.array_equal(TensorPlace("x", 0, (60,), Layout.FLAT).store(rows), rows)


def test_a_map_survives_its_text() -> None:
    places = (
        TensorPlace("a.b", 3, (3, 4, 5), Layout.NHWC, (), True),
        TensorPlace("c", 4, (60,), Layout.PACKED, (3, 4, 5), True),
    )
    tensors = TensorMap(places[:1], places[1:], places, True)
    assert TensorMap.loads(tensors.dumps()) == tensors


@pytest.mark.parametrize(
    "damage", [b"", b"[]", b"{}", b"3", b"{", b'{"inputs": 3, "outputs": [], "tensors": [], "flipped": 0}']
)
def test_damaged_text_is_refused(damage: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  any message will do, json has its own
        TensorMap.loads(damage.decode())


@pytest.mark.parametrize("field", ["name", "tensor", "shape", "layout", "image", "flipped"])
def test_incomplete_and_unknown_places_are_refused(field: str) -> None:
    entry = TensorPlace("a", 3, (3, 4, 5), Layout.NHWC).to_json()
    assert TensorPlace.from_json(json.loads(json.dumps(entry))).to_json() == entry
    del entry[field]
    with pytest.raises(ValueError, match=field):
        TensorPlace.from_json(entry)
    with pytest.raises(ValueError, match=r"\(3,\) cannot be NHWC"):
        TensorPlace.from_json(TensorPlace("a", 3, (3,), Layout.NHWC).to_json())
    with pytest.raises(ValueError, match="cannot be an image"):
        TensorPlace.from_json(TensorPlace("a", 3, (60,), Layout.FLAT, (3, 4, 4)).to_json())
    with pytest.raises(ValueError, match="diagonal"):
        TensorPlace.from_json({**TensorPlace("a", 3, (3,), Layout.FLAT).to_json(), "layout": "diagonal"})
