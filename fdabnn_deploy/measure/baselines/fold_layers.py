"""Scales and offsets directly behind a layer become part of it, as every converter of float networks makes them.

    mul(layer(w, b), m) = layer(w m, b m)      add(layer(w, b), c) = layer(w, b + c)      relu(layer) = layer with an activation
    mul(prelu(layer(w, b)), m) = prelu(layer(w m, b m))

Exact numerics keep them apart on purpose, and so do files of packed operators. The last line holds for positive scales; it is applied
to layers that were binary alone, whose weights are free.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from fdabnn_deploy.measure.baselines.float_network import (
    BINARY,
    LAYERS,
    Item,
    Network,
    bias_of,
    changed,
    negated,
    with_activation,
)
from fdabnn_deploy.prove.domain import Constants
from fdabnn_deploy.prove.program import Step

_SMALLEST = 1e-30
"""Magnitudes below count as 0: float32's normal numbers end at 1e-38."""


def fold_layers(network: Network, *, activations: bool) -> None:
    """Folds as long as there is something to fold.

    Args:
        network: to rewrite.
        activations: whether the target's layers and additions can limit their results themselves.
    """
    uses = network.uses()
    made: dict[str, Item] = {}
    for item in network.items:
        if _scales_activation(network, item, made, uses):
            tensor = next(name for name in map(network.resolve, item.step.inputs) if name in made)
            network.aliases[item.step.output] = tensor
            uses[tensor] = uses[item.step.output]
            continue
        folded = _fold(network, item, made, uses, activations)
        made[folded.step.output] = folded
    network.items = list(made.values())
    network.drop_dead()


def _scales_activation(network: Network, item: Item, made: dict[str, Item], uses: dict[str, int]) -> bool:
    """Whether a step scales the PReLU of a layer that was binary."""
    step = item.step
    inputs = [network.resolve(name) for name in step.inputs]
    tensors = [name for name in inputs if name in made]
    if step.kind != "mul" or step.activation is not None or len(tensors) != 1:
        return False
    if not any(name in network.constants for name in inputs) or made[tensors[0]].step.kind != "prelu":
        return False
    layer = made.get(network.resolve(made[tensors[0]].step.inputs[0]))
    if layer is None or BINARY not in layer.step.attributes or layer.step.activation is not None:
        return False
    return uses[tensors[0]] == 1 and uses[layer.step.output] == 1


def _fold(
    network: Network, item: Item, made: dict[str, Item], uses: dict[str, int], activations: bool
) -> Item:
    step = item.step
    inputs = [network.resolve(name) for name in step.inputs]
    tensors = [name for name in inputs if name not in network.constants]
    if len(tensors) != 1 or uses[tensors[0]] != 1 or tensors[0] not in made:
        return item
    source = made[tensors[0]]
    if source.step.activation is not None:
        return item
    limits = _limits(step)
    if activations and limits is not None and source.step.kind in ("add", *LAYERS):
        return Item(replace(source.step, output=step.output, activation=limits))
    if source.step.kind not in LAYERS or len(source.step.inputs) != 1 or len(inputs) != 2:
        return item
    constants = [network.constants[name] for name in inputs if name in network.constants]
    if step.kind not in ("mul", "add", "sub") or not constants:
        return item
    folded = _arithmetic(network, source, step, constants[0], from_constant=inputs[1] == tensors[0])
    return item if folded is None else with_activation(folded, step.activation)


def _arithmetic(
    network: Network, layer: Item, step: Step, constant: Constants, *, from_constant: bool
) -> Item | None:
    """The layer that a `mul`, `add` or `sub` behind it makes; None where the constant is not one number for every channel."""
    taken = step.kind == "sub" and from_constant
    if taken:
        layer = negated(layer, step.output)
    values = _per_channel(network, layer.step, constant)
    if values is None:
        # The constant image by which TFLite files take back what padding with +1 counts; zeros need none.
        return layer if taken and BINARY in layer.step.attributes else None
    if step.kind == "mul":
        weight = layer.step.attributes["weight"] * values[:, None, None]
        return changed(layer, step.output, weight=weight, bias=_normal(bias_of(layer.step) * values))
    sign = -1 if step.kind == "sub" and not from_constant else 1
    return changed(layer, step.output, bias=_normal(bias_of(layer.step) + sign * values))


def _normal(bias: Constants) -> Constants:
    return np.where(np.abs(bias) < _SMALLEST, np.float32(0), bias).astype(np.float32)


def _limits(step: Step) -> tuple[float, float] | None:
    """The limits of an activation that TFLite's layers have."""
    if step.kind == "relu":
        return (0.0, math.inf)
    if step.kind == "clip":
        limits = (step.attributes["low"], step.attributes["high"])
        return limits if limits in ((0.0, 6.0), (-1.0, 1.0), (0.0, math.inf)) else None
    return None


def _per_channel(network: Network, layer: Step, constant: Constants) -> Constants | None:
    """A constant as one number for every output channel of a layer, None where it is something else."""
    outputs = len(layer.attributes["weight"])
    flat = constant.astype(np.float32).reshape(-1)
    if flat.size == 1:
        return np.full(outputs, flat[0])
    image = layer.kind == "linear" and layer.attributes["windows"] is not None
    last = constant.ndim - 1
    axis = last - 2 if image and network.channel == 1 else last
    if flat.size != outputs or axis < 0 or constant.shape[axis] != outputs:
        return None
    return flat
