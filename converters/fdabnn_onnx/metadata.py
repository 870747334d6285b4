"""The metadata of an exported ONNX file: one `metadata_props` entry per key of `ModelInfo.metadata`, sorted by key."""

from __future__ import annotations

from onnx import ModelProto, helper

from fdabnn_deploy.ir.model_info import ModelInfo


def write_metadata(model: ModelProto, info: ModelInfo) -> None:
    """Replaces the model's metadata. Sorted, since the order of entries would otherwise be part of the file's bytes."""
    helper.set_model_props(model, dict(sorted(info.metadata().items())))


def read_metadata(model: ModelProto) -> dict[str, str]:
    """The metadata of a model by key."""
    return {entry.key: entry.value for entry in model.metadata_props}
