"""The float baseline of a file: the file rewritten.

Two other ways were open. A baseline built from the checkpoint's graph would need the checkpoint, PyTorch and TensorFlow, where the user has
a file; a list of layers in the file's metadata would leave out other tools' files and all that exists already. The file itself has all
that counts for speed: shapes, strides, shortcuts. So the baseline is the file with three changes, each a module of its own:

1. `drop_signs`: binary layers become float layers of the same shape, and signs go;
2. `plain_layers`: the float layers that exact numerics computes as sums of partial products, with roundings and limits, are read back as
   one layer each. All that exists for the sake of equal bits and would make the baseline several times slower at its first layer than any
   float network is;
3. `fold_layers`: scales and offsets right behind a layer become part of it, as every converter of float networks does.

Everything else stays, operator by operator: shortcuts, PReLU, pools, the mirroring of images in TFLite files. Where a choice was open,
the baseline is the faster one: no activation stands for a sign. Layers with groups stay split in TFLite files, as Larq's format has them.

What a baseline computes with are trained weights in float layers and random ones in place of the binary ones.
"""

from __future__ import annotations

import math

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.measure.baselines.baseline import BaselineLayer
from fdabnn_deploy.measure.baselines.drop_signs import drop_signs, fill_weights
from fdabnn_deploy.measure.baselines.exact_layers import plain_layers
from fdabnn_deploy.measure.baselines.float_network import BINARY, FileLayer, Network
from fdabnn_deploy.measure.baselines.fold_layers import fold_layers
from fdabnn_deploy.prove.domain import Shape
from fdabnn_deploy.prove.program import Step


def rewrite(network: Network, *, activations: bool) -> None:
    """Makes the network of a file that of its baseline.

    Args:
        network: read from the file.
        activations: whether the format's layers have activations of their own.

    Raises:
        ModelRefusedError: it has no binary layer.
    """
    drop_signs(network)
    if not network.layers:
        raise ModelRefusedError("it has no binary layer")
    plain_layers(network)
    fold_layers(network, activations=activations)
    fill_weights(network)


def baseline_layers(
    network: Network, layers: list[FileLayer], shapes: dict[str, Shape]
) -> list[BaselineLayer]:
    """The layers of a baseline in the model's order.

    Args:
        network: rewritten.
        layers: the model's binary ones.
        shapes: of the baseline's tensors by name.
    """
    found = {}
    for place, item in enumerate(network.items):
        if BINARY in item.step.attributes:
            tensor = network.label(item.step.output)
            layer = layers[item.step.attributes[BINARY]]
            found[item.step.attributes[BINARY]] = BaselineLayer(
                layer.name,
                *(layer.op, layer.tensor, layer.node),
                *(place, tensor, tensor),
                macs(item.step, shapes[tensor]),
            )
    return [found[number] for number in sorted(found)]


def macs(step: Step, shape: Shape) -> int:
    """Multiply-adds of a layer for one image, from the shape of its result."""
    images = step.kind == "linear" and step.attributes["windows"] is not None
    channel = step.attributes["axis"] if images else len(shape) - 1
    positions = math.prod(size for axis, size in enumerate(shape) if axis not in (0, channel))
    return int(positions * step.attributes["weight"].size)
