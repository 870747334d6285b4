"""Builds the baseline of an exported file: the entry point of this package."""

from __future__ import annotations

from pathlib import Path

from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.measure.baselines.baseline import BaselineModel, Kind
from fdabnn_deploy.measure.format_tools import suffixes, tools_for
from fdabnn_deploy.system.files import write_whole
from fdabnn_deploy.targets.installed import for_suffix


def build_baseline(kind: Kind, model: Path, folder: Path, images: FloatArray | None = None) -> BaselineModel:
    """Builds the baseline of an exported model.

    Args:
        kind: "fp32" or "int8".
        model: an exported .tflite or .onnx file, packed or not, or a .tflite file of Larq Compute Engine.
        folder: where the baseline goes, as `<stem>.<kind><suffix>`; made if missing.
        images: normalised, float32 [N, C, H, W], to find the ranges of integers with; None for made-up ones.

    Raises:
        UsageError: no such kind or file, or images of another shape.
        ModelRefusedError: the file is damaged, has no binary layer, or an operator that has no float form.
        RuntimeMissingError: a package is missing.
    """
    if kind not in ("fp32", "int8"):
        raise UsageError(f"no baseline '{kind}': there are fp32 and int8")
    target = for_suffix(model)
    if target is None or target.measuring is None:
        raise UsageError(f"{model}: baselines are made from files that end in {' or '.join(suffixes())}")
    content, tools = target.read(model), tools_for(model)
    suffix = model.suffix.lower()
    try:
        found, layers = tools.float_baseline(content)
        note = "float32 layers in place of the binary ones, without signs; all else as in the model"
        if kind == "int8":
            found, layers, note = tools.quantised_baseline(found, layers, images)
    except ModelRefusedError as error:
        raise ModelRefusedError(f"{model} has no {kind} baseline: {error}") from None
    except UsageError as error:
        raise UsageError(f"{model}: {error}") from None
    path = folder / f"{model.stem}.{kind}{suffix}"
    write_whole(path, found)
    return BaselineModel(kind, path, tuple(layers), note)
