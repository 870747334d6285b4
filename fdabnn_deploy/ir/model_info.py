"""Facts that a user of an exported file needs beside its graph, written into the metadata of every target.

The input contract: the file takes normalised float32 images, `(pixel / 255 - mean) / std` per channel, as the checkpoint's model
does, or the pixels themselves; NCHW in ONNX, NHWC in TFLite. `docs/input-contract.md` says it with examples.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Literal

VERSION_KEY = "fdabnn_deploy_version"
"""Metadata key that only this project's files have."""
SIGN_RULE = "x < 0 ? -1 : +1"

InputFormat = Literal["float32", "pixels"]
ChannelOrder = Literal["rgb", "bgr"]
ImageLayout = Literal["nchw", "nhwc"]


def range_of_pixels(mean: Sequence[float], std: Sequence[float]) -> tuple[float, float]:
    """The smallest and largest value that pixels 0..1 become, over all channels."""
    pairs = list(zip(mean, std, strict=True))
    return min(-m / s for m, s in pairs), max((1 - m) / s for m, s in pairs)


@dataclass(frozen=True)
class ModelInfo:
    """Describes a deployed model.

    Attributes:
        name: short name, used for file names and inside the files.
        input_shape: (C, H, W) of one image.
        mean: per channel, of pixels scaled to 0..1, or None where nobody said.
        std: per channel, likewise.
        input_range: smallest and largest normalised value that images can have, or None.
        classes: class names in the order of the outputs, or empty.
        checkpoint_sha256: of the file the model was read from, empty for a module in memory.
        allowed_change: what was changed of the trained network with its owner's word, empty where nothing was.
        fidelity: that the file keeps the accuracy and not the decisions, with the test that says so; empty where it keeps the decisions.
        numerics: text of the `fdabnn_deploy.exact.record.Numerics` of the deployed graph, empty where nothing was recorded.
        input_format: "float32" for normalised images, "pixels" for bytes 0 .. 255 that the file normalises itself.
        channel_order: of pixels with three channels: "rgb" as the network was trained, "bgr" for the opposite.
        layout: of images of pixels in ONNX files; TFLite files are always "nhwc".
    """

    name: str
    input_shape: tuple[int, ...]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    input_range: tuple[float, float] | None = None
    classes: tuple[str, ...] = ()
    checkpoint_sha256: str = ""
    numerics: str = ""
    allowed_change: str = ""
    fidelity: str = ""
    input_format: InputFormat = "float32"
    channel_order: ChannelOrder = "rgb"
    layout: ImageLayout = "nchw"

    def metadata(self) -> dict[str, str]:
        """The metadata keys of an exported file, values as text (lists as JSON); keys without a value are left out."""
        entries: dict[str, str] = {"sign": SIGN_RULE, VERSION_KEY: version("fdabnn-deploy")}
        if self.mean is not None:
            entries["mean"] = json.dumps(list(self.mean))
        if self.std is not None:
            entries["std"] = json.dumps(list(self.std))
        if self.input_range is not None:
            entries["input_range"] = json.dumps(list(self.input_range))
        if self.classes:
            entries["classes"] = json.dumps(list(self.classes))
        if self.checkpoint_sha256:
            entries["checkpoint_sha256"] = self.checkpoint_sha256
        if self.numerics:
            entries["numerics"] = self.numerics
        if self.allowed_change:
            entries["allowed_change"] = self.allowed_change
        if self.fidelity:
            entries["fidelity"] = self.fidelity
        if self.input_format != "float32":
            entries["input_format"] = self.input_format
            entries["channel_order"] = self.channel_order
            entries["layout"] = self.layout
        return entries
