"""How the graph's tensors lie in a TFLite file, and the way back.

The converter writes a JSON text under the metadata key `TENSORS_KEY`:

    {"flipped": bool, "inputs": [place, ...], "outputs": [place, ...], "tensors": [place, ...]}

where each place is the object form of `TensorPlace`. `inputs` and `outputs` stand in the graph's order; `tensors` are all tensors of the
graph that the file computes. What the converter merged into something else is not among them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from fdabnn_deploy.ir.ops import Array

TENSORS_KEY = "fdabnn_tensors"


class Layout(Enum):
    """How a tensor of the graph lies in the file."""

    PLAIN = "plain"
    """As in the graph, channels first."""
    NHWC = "NHWC"
    """[N, C, H, W] as [N, H, W, C]."""
    FLAT = "flat"
    """[N, K] as in the graph, or in the order [H, W, C] of the image it was flattened from."""
    PIXEL = "pixel"
    """As FLAT, but [N, 1, 1, K]: an image of one pixel, which binary dense layers work on."""
    PACKED = "packed"
    """Signs as bits: NHWC or PIXEL with 32 channels in each int32, the first in the lowest bit; bit 0 is +1, bit 1 is -1."""


@dataclass(frozen=True)
class TensorPlace:
    """Where and how a tensor of the graph lies in a file.

    Attributes:
        name: of the tensor in the graph.
        tensor: index of the tensor in the file.
        shape: of one image in the graph.
        layout: the arrangement of the values.
        image: (C, H, W) of the flattened image whose order the values have, or ().
        flipped: whether height and width, the image's where there is one, run backwards.
    """

    name: str
    tensor: int
    shape: tuple[int, ...]
    layout: Layout
    image: tuple[int, ...] = ()
    flipped: bool = False

    def to_json(self) -> dict[str, Any]:
        """The object that `from_json` reads."""
        return {
            "name": self.name,
            "tensor": self.tensor,
            "shape": list(self.shape),
            "layout": self.layout.value,
            "image": list(self.image),
            "flipped": self.flipped,
        }

    @staticmethod
    def from_json(entry: Any) -> TensorPlace:
        """Reads an object of `to_json`.

        Raises:
            ValueError: it is none.
        """
        try:
            place = TensorPlace(
                str(entry["name"]),
                int(entry["tensor"]),
                tuple(int(size) for size in entry["shape"]),
                Layout(entry["layout"]),
                tuple(int(size) for size in entry["image"]),
                bool(entry["flipped"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"no tensor place: {error}") from None
        ranks = {Layout.NHWC: (3,), Layout.PIXEL: (1,), Layout.PACKED: (1, 3)}
        if len(place.shape) not in ranks.get(place.layout, (len(place.shape),)):
            raise ValueError(f"{place.name} of shape {place.shape} cannot be {place.layout.value}")
        if place.image and (len(place.image) != 3 or (math.prod(place.image),) != place.shape):
            raise ValueError(f"{place.name} of shape {place.shape} cannot be an image {place.image}")
        return place

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """The shape of one image in the file."""
        is_image = len(self.shape) == 3
        stored: tuple[int, ...]
        if self.layout is Layout.NHWC or (self.layout is Layout.PACKED and is_image):
            channels, height, width = self.shape
            stored = (height, width, channels)
        elif self.layout in {Layout.PIXEL, Layout.PACKED}:
            stored = (1, 1, *self.shape)
        else:
            return self.shape
        return (*stored[:2], -(-stored[2] // 32)) if self.layout is Layout.PACKED else stored

    def store(self, values: Array) -> Array:
        """The file's tensor from the graph's [N, ...]; for inputs, which are never flattened, flipped or packed."""
        moved = values.transpose(0, 2, 3, 1) if self.layout is Layout.NHWC else values
        return np.ascontiguousarray(moved)

    def restore(self, stored: Array) -> Array:
        """The graph's tensor [N, ...] from the file's, in its type; packed signs as float32."""
        batch = stored.shape[0]
        if self.layout is Layout.PACKED:
            octets = np.ascontiguousarray(stored, dtype="<i4").view(np.uint8)
            bits = np.unpackbits(octets, axis=-1, bitorder="little")[..., : self.shape[0]]
            stored = np.where(bits, np.float32(-1), np.float32(1))
        own = self.layout in {Layout.NHWC, Layout.PACKED} and len(self.shape) == 3
        image = self.image or (self.shape if own else ())
        if image:
            channels, height, width = image
            stored = stored.reshape(batch, height, width, channels)
            stored = (stored[:, ::-1, ::-1] if self.flipped else stored).transpose(0, 3, 1, 2)
        return np.ascontiguousarray(stored.reshape(batch, *self.shape))


@dataclass(frozen=True)
class TensorMap:
    """The places of a file's tensors; see the module."""

    inputs: tuple[TensorPlace, ...]
    outputs: tuple[TensorPlace, ...]
    tensors: tuple[TensorPlace, ...]
    flipped: bool = False

    def dumps(self) -> str:
        """The text for `TENSORS_KEY`."""

        def entries(places: Iterable[TensorPlace]) -> list[dict[str, Any]]:
            return [place.to_json() for place in places]

        text = {
            "flipped": self.flipped,
            "inputs": entries(self.inputs),
            "outputs": entries(self.outputs),
            "tensors": entries(self.tensors),
        }
        return json.dumps(text, separators=(",", ":"))

    @staticmethod
    def loads(text: str) -> TensorMap:
        """Reads a text of `dumps`.

        Raises:
            ValueError: it is none.
        """
        try:
            content = json.loads(text)
            inputs, outputs, tensors = (
                tuple(TensorPlace.from_json(entry) for entry in content[key])
                for key in ("inputs", "outputs", "tensors")
            )
            return TensorMap(inputs, outputs, tensors, bool(content["flipped"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"no tensor map: {error}") from None
