"""Binary layers become float layers of the same shape; the signs in front of them go.

A sign is dropped, not replaced by an activation: one more operator would flatter the binary model. What follows a layer in the file
(scales, offsets, PReLU, pools, shortcuts) stays. Padding with +1 becomes the layer's ordinary padding, and channels that fill groups up to
whole words of bits go.

The new weights are normal numbers of random sign, seeded by the layer's number: what a float layer computes with costs the same whatever
it is. They keep the variance of what goes through them, so that values neither vanish nor overflow in deep networks.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np

from fdabnn_deploy.measure.baselines.float_network import BINARY, LAYERS, FileLayer, Item, Network
from fdabnn_deploy.prove.domain import Constants
from fdabnn_deploy.prove.program import Step

_MOVES = {"maximum", "pad", "slice", "slice_axes", "squeeze", "reverse", "concat", "reshape", "transpose", "identity"}  # fmt: skip

_WEIGHT = re.compile(r"(.+)/weight(?:_\d+)?")


def drop_signs(network: Network) -> None:
    """Rewrites a network; afterwards its `layers` are the binary layers that were found."""
    signs: set[str] = set()
    makers = network.makers()
    items: list[Item] = []
    for item in network.items:
        step = item.step
        if step.kind in ("quantize", "dequantize") or _is_sign(step, makers, network.constants):
            source = step.inputs[0] if step.kind != "select" else makers[step.inputs[0]].step.inputs[0]
            network.aliases[step.output] = source
            signs.add(step.output)
            continue
        if step.kind in _MOVES and step.inputs and step.inputs[0] in signs:
            signs.add(step.output)
        if step.kind == "bconv":
            items.append(_from_packed(network, item))
        elif step.kind in LAYERS and step.inputs[0] in signs and _is_binary(step):
            items.append(_from_standard(network, item, makers))
        else:
            items.append(item)
    network.items = items
    network.drop_dead()


def _is_sign(step: Step, makers: dict[str, Item], constants: dict[str, Constants]) -> bool:
    """`select(x < 0, -1, 1)`."""
    if step.kind != "select" or step.inputs[0] not in makers:
        return False
    condition = makers[step.inputs[0]].step
    if condition.kind != "compare" or condition.attributes["relation"] != "<":
        return False
    found = [constants.get(name) for name in (condition.inputs[1], *step.inputs[1:])]
    return all(
        value is not None and value.size == 1 and value.item() == wanted
        for value, wanted in zip(found, (0, -1, 1), strict=True)
    )


def _is_binary(step: Step) -> bool:
    """Whether all weights of an output channel are the same but for their sign."""
    rows = np.abs(step.attributes["weight"]).reshape(len(step.attributes["weight"]), -1)
    return bool(rows.size and np.all(rows == rows[:, :1]) and np.all(rows[:, 0] > 0))


def _from_packed(network: Network, item: Item) -> Item:
    """A layer of packed words."""
    step = item.step
    given = step.attributes
    outputs, taps, _ = given["weight"].shape
    shape = (outputs, given["channels"] // given["groups"], taps)
    attributes = {
        "weight": np.zeros(shape, dtype=np.float32),
        "bias": given["bias"],
        "groups": given["groups"],
        "axis": network.channel,
        "windows": given["windows"],
        BINARY: _register(network, item),
    }
    activation = (0.0, math.inf) if given["relu"] else None
    return Item(Step(step.op, "linear", step.inputs[:1], step.output, attributes, activation))


def _from_standard(network: Network, item: Item, makers: dict[str, Item]) -> Item:
    """A float layer of signs, with the padding of signs in front of it."""
    step, source = item.step, item.step.inputs[0]
    windows = step.attributes.get("windows")
    padding = makers.get(source)
    if padding is not None and padding.step.kind == "pad" and windows is not None and windows.pads != "SAME":
        pads = padding.step.attributes["pads"]
        if all(not any(pair) for axis, pair in enumerate(pads) if axis not in windows.axes):
            both = zip(windows.pads, (pads[axis] for axis in windows.axes), strict=True)
            windows = replace(windows, pads=tuple((a + c, b + d) for (a, b), (c, d) in both))
            source = padding.step.inputs[0]
    attributes = {**step.attributes, "windows": windows, BINARY: _register(network, item)}
    source, more = _before_filling(network, source, makers)
    if more:
        attributes["weight"] = attributes["weight"][:, :-more]
    return Item(replace(step, inputs=(source,), attributes=attributes))


def _before_filling(network: Network, source: str, makers: dict[str, Item]) -> tuple[str, int]:
    """The tensor whose groups were filled up to whole words for a layer, and by how many channels each; those are no part of the layer."""
    name, steps = network.resolve(source), list[Step]()
    for kind in ("reshape", "pad", "reshape"):
        maker = makers.get(name)
        if maker is None or maker.step.kind != kind:
            return source, 0
        steps.append(maker.step)
        name = network.resolve(maker.step.inputs[0])
    pads = [tuple(pair) for pair in steps[1].attributes["pads"]]
    # Of [N, groups, channels, pixels].
    more = pads[2][1] if len(pads) == 4 else 0
    return (name, more) if more and pads == [(0, 0), (0, 0), (0, more), (0, 0)] else (source, 0)


def _register(network: Network, item: Item) -> int:
    assert item.origin is not None
    tensor = network.label(network.writes[item.origin][0])
    weight = network.label(network.reads[item.origin][1])
    # Files of this project name a weight after its layer.
    named = _WEIGHT.fullmatch(weight)
    name = named[1] if named else tensor
    network.layers.append(FileLayer(name, item.origin, tensor, tensor))
    return len(network.layers) - 1


def fill_weights(network: Network) -> None:
    """Gives the layers that were binary their new weights; see the module."""
    for place, item in enumerate(network.items):
        number = item.step.attributes.get(BINARY)
        if number is None:
            continue
        shape = item.step.attributes["weight"].shape
        random = np.random.default_rng(number)
        # Of mean square 13/12.
        weight = random.uniform(0.5, 1.5, shape) * random.choice([-1.0, 1.0], shape)
        weight /= math.sqrt(math.prod(shape[1:]) * 13 / 12)
        attributes = {**item.step.attributes, "weight": weight.astype(np.float32)}
        network.items[place] = Item(replace(item.step, attributes=attributes))
