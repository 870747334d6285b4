"""The description of a network's inputs: from the checkpoint, overridden by the user, validated."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

from fdabnn_deploy.errors import FdabnnError, ModelRefusedError, UsageError
from fdabnn_deploy.frontend.inputs.normalisation import as_options, divided, fits_bytes_only, takes_images
from fdabnn_deploy.ir.model_info import ModelInfo, range_of_pixels


def describe_model(
    header: Mapping[str, Any],
    *,
    what: str,
    name: str,
    sha256: str,
    input_shape: Sequence[int] | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    input_range: Sequence[float] | None,
) -> ModelInfo:
    """Makes the `ModelInfo` of a network.

    The input range is that of the normalised input. Where nobody says it and mean and std are known, it is
    that of pixels 0..1:
    `min((0 - mean) / std) .. max((1 - mean) / std)`.

    Args:
        header: what the checkpoint says, by the keys of docs/checkpoint.md, `input_shape` included; may be
            empty.
        what: how errors call the file.
        name: of the model.
        sha256: of the file, or empty.
        input_shape: the user's word, without the batch dimension, or None.
        mean: the user's word, per channel of pixels 0..1, or None; given together with `std`.
        std: likewise.
        input_range: the user's word, or None.

    Raises:
        UsageError: the user's values are wrong, or nobody says the input shape.
        ModelRefusedError: the checkpoint's values are wrong.
    """
    shape = _shape(input_shape, "--input-shape", UsageError) or _shape(
        header.get("input_shape"), f"input_shape of {what}"
    )
    if shape is None:
        raise UsageError(
            f"{what} does not say the shape of its inputs: name it with --input-shape C,H,W, such as 3,32,32"
        )
    new_mean, new_std = given_normalisation(mean, std, shape)
    channels = shape[0]
    limits = _numbers(input_range, 2, "--input-range", UsageError)
    if new_mean is None:
        new_mean = _numbers(header.get("mean"), channels, f"mean of {what}")
        new_std = _numbers(header.get("std"), channels, f"std of {what}")
        # The checkpoint's range belongs to the checkpoint's mean and std.
        limits = limits or _numbers(header.get("input_range"), 2, f"input_range of {what}")
        if (new_mean is None) != (new_std is None):
            raise ModelRefusedError(f"{what} has only one of mean and std: give both with --mean and --std")
        _check_normalisation(new_mean, new_std, shape, f" of {what}", ModelRefusedError)
    if limits is not None and not limits[0] < limits[1]:
        raise (UsageError if input_range is not None else ModelRefusedError)(
            f"an input range goes from the smallest to the largest value, not {limits[0]:g} to {limits[1]:g}"
        )
    if limits is None and new_mean is not None and new_std is not None:
        limits = range_of_pixels(new_mean, new_std)
    return ModelInfo(
        name=name,
        input_shape=shape,
        mean=new_mean,
        std=new_std,
        input_range=None if limits is None else (limits[0], limits[1]),
        classes=_classes(header.get("classes"), what),
        checkpoint_sha256=sha256,
    )


def given_normalisation(
    mean: Sequence[float] | None, std: Sequence[float] | None, shape: tuple[int, ...]
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """The user's mean and std, per channel of pixels 0..1; None where they are not given.

    Args:
        mean: one number per channel, or None.
        std: likewise.
        shape: of one input, channels first.

    Raises:
        UsageError: only one of them is given, or they are no finite numbers, one per channel, std above 0 and on the scale of pixels 0..1.
    """
    if (mean is None) != (std is None):
        raise UsageError("--mean and --std go together: give both or neither")
    channels = shape[0] if shape else 1
    given = (
        _numbers(mean, channels, "--mean", UsageError),
        _numbers(std, channels, "--std", UsageError),
    )
    _check_normalisation(*given, shape, "", UsageError)
    return given


def _check_normalisation(
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    shape: tuple[int, ...],
    whose: str,
    blame: type[FdabnnError],
) -> None:
    if mean is None or std is None:
        return
    if min(std) <= 0:
        raise blame(f"std must be above 0 in every channel, not {list(std)}")
    if takes_images(shape) and fits_bytes_only(mean, std):
        raise blame(_on_the_scale_of_bytes(mean, std, whose))


def _on_the_scale_of_bytes(mean: tuple[float, ...], std: tuple[float, ...], whose: str) -> str:
    which, value = ("mean", max(mean)) if max(mean) > 1 else ("std", max(std))
    return (
        f"the {which}{whose}, {value:g}, is not on the scale of pixels 0..1, as of pixels 0..255 it could be: give the numbers divided by "
        f"255, {as_options(*divided(mean, std))}; where inputs are no pixels, leave both out and give --input-range"
    )


def read_ranges(header: Mapping[str, Any], what: str) -> dict[str, tuple[float, float]]:
    """The recorded value ranges of a checkpoint, `{module path: (smallest, largest)}`.

    Raises:
        ModelRefusedError: they have another form than docs/checkpoint.md says.
    """
    recorded = header.get("ranges", {})
    try:
        ranges = {str(path): (limits["min"], limits["max"]) for path, limits in recorded.items()}
        good = all(_finite(low) and _finite(high) and low <= high for low, high in ranges.values())
    except (AttributeError, KeyError, TypeError):
        good = False
    if not good:
        raise ModelRefusedError(f"the ranges in {what} are not {{path: {{'min': .., 'max': ..}}}}")
    return {path: (float(low), float(high)) for path, (low, high) in ranges.items()}


def read_training(header: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Facts that a checkpoint states of its training.

    Raises:
        ModelRefusedError: it is not a dict.
    """
    training = header.get("training", {})
    if not isinstance(training, Mapping):
        raise ModelRefusedError(f"'training' of {what} is not a dict")
    return dict(training)


def _finite(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, numbers.Real) and math.isfinite(value)


def _plain(value: Any) -> Any:
    """Tensors and NumPy stand-ins as lists."""
    return value.tolist() if hasattr(value, "tolist") else value


def _shape(value: Any, what: str, blame: type[FdabnnError] = ModelRefusedError) -> tuple[int, ...] | None:
    value = _plain(value)
    if value is None:
        return None
    good = isinstance(value, Sequence) and not isinstance(value, str) and 0 < len(value) <= 4
    if not good or not all(
        not isinstance(size, bool) and isinstance(size, numbers.Integral) and int(size) > 0 for size in value
    ):
        raise blame(f"{what} is a list of positive sizes without the batch, such as 3,32,32, not {value!r}")
    return tuple(int(size) for size in value)


def _numbers(
    value: Any, count: int, what: str, blame: type[FdabnnError] = ModelRefusedError
) -> tuple[float, ...] | None:
    value = _plain(value)
    if value is None:
        return None
    if (
        not isinstance(value, Sequence)
        or isinstance(value, str)
        or len(value) != count
        or not all(map(_finite, value))
    ):
        raise blame(f"{what} takes {count} finite numbers here, not {value!r}")
    return tuple(float(number) for number in value)


def _classes(value: Any, what: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if (
        not isinstance(value, Sequence)
        or isinstance(value, str)
        or not all(isinstance(name, str) for name in value)
    ):
        raise ModelRefusedError(f"the classes of {what} are not a list of names")
    return tuple(value)
