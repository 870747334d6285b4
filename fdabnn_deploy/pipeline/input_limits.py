"""Where the limits of a network's inputs come from, and when nobody knows them.

An exact graph limits its inputs (docs/numerics.md). Where neither mean and std nor a range is known, the samples decide, and where those
are made up, so are the limits: a network on raw pixels 0..255 would be cut off at -2..2. That is said as loudly as a success.
"""

from __future__ import annotations

from fdabnn_deploy.data.samples import Samples
from fdabnn_deploy.exact.record import Cut
from fdabnn_deploy.frontend import checkpoint
from fdabnn_deploy.ir.model_info import ModelInfo, range_of_pixels
from fdabnn_deploy.pipeline.report import InputLimits

_FAR = 4
"""How many times the width of their range inputs may lie beyond it; augmented images do, somewhat."""


def warnings(network: checkpoint.Source, inputs: Samples) -> tuple[str, ...]:
    """Warnings to read before the files are used, one sentence each.

    Args:
        network: as it was read.
        inputs: that limits are taken from and files are verified on.
    """
    low, high = float(inputs.images.min()), float(inputs.images.max())
    if not inputs.synthetic:
        return _far_beyond(network.info, low, high)
    if _known(network):
        return ()
    text = (
        f"nobody says which values the inputs of {network.info.name} take: mean, std and input range are unknown, and so the samples were "
        f"made up, as values {low:.3g} .. {high:.3g}. The limits of its inputs come from them, and real inputs beyond are cut off: give "
        "--mean and --std, or --input-range, or --samples of your own"
    )
    return (text,)


def _far_beyond(info: ModelInfo, low: float, high: float) -> tuple[str, ...]:
    """A warning where samples cannot be what the input contract says, as of pixels that were not normalised."""
    if info.input_range is None or info.input_format == "pixels":
        return ()
    least, most = info.input_range
    room = _FAR * (most - least)
    if least - room <= low and high <= most + room:
        return ()
    text = (
        f"the samples hold values {low:.4g} .. {high:.4g}, and inputs of {info.name} lie in {least:.4g} .. {most:.4g}: were they "
        "normalised? The limits of its inputs are taken from them, and so wide ones make its first layer coarse: give samples as "
        "(pixel / 255 - mean) / std, or a folder of images"
    )
    return (text,)


def limits(
    network: checkpoint.Source, inputs: Samples, cut: Cut | None, looked_at: int
) -> InputLimits | None:
    """The limits of an exact graph's input, with where they come from.

    Args:
        network: as it was read.
        inputs: the samples.
        cut: of the input, None with float numerics, which limits nothing.
        looked_at: how many of the samples the limits were taken from.
    """
    if cut is None:
        return None
    return InputLimits(
        cut.low, cut.high, _source(network, inputs, looked_at), _known(network) or not inputs.synthetic
    )


def _known(network: checkpoint.Source) -> bool:
    return network.info.input_range is not None or "input" in network.ranges


def _source(network: checkpoint.Source, inputs: Samples, looked_at: int) -> str:
    info = network.info
    seen = f"{min(looked_at, len(inputs))} inputs"
    if info.input_range is not None:
        of_pixels = None if info.mean is None or info.std is None else range_of_pixels(info.mean, info.std)
        first = "mean and std" if info.input_range == of_pixels else "the input range given"
        return f"{first}, and {seen}"
    if "input" in network.ranges:
        return f"the range recorded in training, and {seen}"
    return f"{seen}{', which were made up' if inputs.synthetic else ''}, with a margin"
