"""Files that take pixels: what the user may choose, and where the network takes the normalisation in."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.frontend import checkpoint
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.model_info import ChannelOrder, ImageLayout, InputFormat, ModelInfo
from fdabnn_deploy.system import choices
from fdabnn_deploy.transforms.deploy import Deployed
from fdabnn_deploy.transforms.take_pixels import PixelFormat, take_pixels

MOST_CHANNELS = 4
"""Of an image: grey, grey with alpha, colours, colours with alpha."""

COLOURS = 3


def _check_choices(input_format: InputFormat, channel_order: ChannelOrder, layout: ImageLayout) -> None:
    """Refuses choices that do not exist, or say something of pixels where there are none."""
    choices.one_of(input_format, get_args(InputFormat), "input_format")
    choices.one_of(channel_order, get_args(ChannelOrder), "channel_order")
    choices.one_of(layout, get_args(ImageLayout), "layout")
    if input_format == "float32" and (channel_order != "rgb" or layout != "nchw"):
        raise UsageError(
            "--channel-order and --layout are about pixels: add --input-format pixels, or leave them out"
        )


def with_format(
    network: checkpoint.Source, input_format: InputFormat, channel_order: ChannelOrder, layout: ImageLayout
) -> checkpoint.Source:
    """The network with these choices in its input contract.

    Raises:
        UsageError: there are no such choices, its inputs are no images, or nobody says their mean and std.
    """
    _check_choices(input_format, channel_order, layout)
    info = network.info
    if input_format == "float32":
        return network
    if len(info.input_shape) != 3 or info.input_shape[0] > MOST_CHANNELS:
        shape = ",".join(map(str, info.input_shape))
        raise UsageError(
            f"--input-format pixels: {info.name} takes inputs of shape {shape}; pixels are images of 1 to {MOST_CHANNELS} channels: "
            "use --input-format float32"
        )
    if info.mean is None or info.std is None:
        raise UsageError(
            f"--input-format pixels: {info.name} does not say how pixels are normalised: give --mean and --std (where it takes pixels "
            "divided by 255, mean 0 and std 1 per channel)"
        )
    if channel_order == "bgr" and info.input_shape[0] != COLOURS:
        raise UsageError(
            f"--channel-order bgr: {info.name} takes {info.input_shape[0]} channels, not {COLOURS} colours"
        )
    return replace(
        network,
        info=replace(info, input_format=input_format, channel_order=channel_order, layout=layout),
    )


def take(deployed: Deployed, info: ModelInfo, *, exact: bool) -> Deployed:
    """The deployed network as one that takes pixels, where the input contract says so.

    Raises:
        UsageError: it has several inputs.
    """
    pixels = PixelFormat.of(info)
    if pixels is None:
        return deployed
    if len(deployed.graph.inputs) != 1:
        raise UsageError(
            f"--input-format pixels: {info.name} has {len(deployed.graph.inputs)} inputs: use --input-format float32"
        )
    return replace(deployed, graph=take_pixels(deployed.graph, pixels, inside_layers=exact).graph)


def unfolded(graph: Graph, info: ModelInfo) -> Graph:
    """A deployed graph with its inputs normalised in front, as the input contract says, and its trained weights."""
    pixels = PixelFormat.of(info)
    return graph if pixels is None else take_pixels(graph, pixels, inside_layers=False).graph
