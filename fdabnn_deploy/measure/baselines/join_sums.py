"""Joins the exact sums of a float layer (docs/numerics.md) to the plain layer again.

A file with exact numerics computes a float layer as differences of exact sums, `x0 w0 - (... - x1 w0)`, of digits of its operand and
weights, behind limits and roundings. Real numbers know no rounding: with `round(t) = t`, the first digit is the operand itself, the
remainders are 0, and the differences of layers of one operand are one layer whose weights are the differences of theirs,

    x0 w0 - ((x0 w1 - x1 w1) - ...)   =   (w0 - (w1 - ...)) x

which are the trained weights as far as the digits hold them. Limits that exact numerics put in are known by their tensors' names.
Subtractions that stand for additions, `x - layer(-w)`, become additions.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from fdabnn_deploy.measure.baselines.float_network import LAYERS, Item, Network, bias_of, changed
from fdabnn_deploy.prove.program import Step

_ACTIVATIONS = ("RELU6", "RELU_N1_TO_1", "RELU_0_TO_1")
_LIMIT = re.compile(r".+/(limited|held)\d*(_\d+)?(/.+)?")


def join_sums(network: Network) -> None:
    """Rewrites a network with exact numerics; leaves others alone."""
    if not network.exact:
        return
    _Joiner(network).run()
    network.drop_dead()
    _restore_additions(network)
    network.drop_dead()


class _Joiner:
    def __init__(self, network: Network) -> None:
        self._network = network
        # Tensors that are a multiple of another one when roundings are none, and those that are 0 then.
        self._multiples: dict[str, tuple[str, float]] = {}
        self._zeros: set[str] = set()
        self._made: dict[str, Item] = {}
        self._rounded = {
            name for item in network.items if item.step.kind == "round" for name in item.step.inputs
        }

    def run(self) -> None:
        for item in self._network.items:
            made = self._rewrite(item)
            if made is not None:
                self._made[made.step.output] = made
        self._network.items = list(self._made.values())

    def _rewrite(self, item: Item) -> Item | None:
        """The item that replaces a step; None where an existing tensor does."""
        network, step = self._network, item.step
        inputs = [network.resolve(name) for name in step.inputs]
        tensors = [name for name in inputs if name not in network.constants]
        # TensorFlow writes a limit of 6 behind a ReLU as one RELU6, which must not go with the limit.
        if _LIMIT.fullmatch(network.label(step.output)) and step.op not in _ACTIVATIONS:
            if step.kind in ("clip", "min", "max", "relu") and len(tensors) == 1:
                self._alias(step, tensors[0])
                return None
            if step.kind == "select":
                self._alias(step, inputs[1])
                return None
        if step.kind == "round":
            return self._multiple(item, inputs[0], 1.0)
        if step.kind == "mul" and len(tensors) == 1 and step.activation is None:
            (factor,) = (network.constants[name] for name in inputs if name in network.constants)
            known = tensors[0] in self._multiples or tensors[0] in self._zeros
            if factor.size == 1 and (known or step.output in self._rounded):
                return self._multiple(item, tensors[0], float(factor.item()))
        if step.kind in LAYERS and len(inputs) == 1:
            return self._layer(item, inputs[0])
        if step.kind == "sub" and len(tensors) == 2:
            return self._difference(item, *tensors)
        return item

    def _alias(self, step: Step, source: str) -> None:
        self._network.aliases[step.output] = source

    def _multiple(self, item: Item, source: str, factor: float) -> Item | None:
        step = item.step
        if source in self._zeros:
            self._zeros.add(step.output)
            return item
        base, before = self._multiples.get(source, (source, 1.0))
        if before * factor == 1:
            self._alias(step, base)
            return None
        self._multiples[step.output] = (base, before * factor)
        name = f"{step.output}/factor"
        self._network.constants[name] = np.array(before * factor, dtype=np.float32)
        return Item(Step(step.op, "mul", (base, name), step.output))

    def _layer(self, item: Item, source: str) -> Item:
        if source in self._zeros and not np.any(bias_of(item.step)):
            self._zeros.add(item.step.output)
            return item
        if source not in self._multiples:
            return item
        base, factor = self._multiples[source]
        weight = item.step.attributes["weight"] * np.float32(factor)
        return Item(replace(item.step, inputs=(base,), attributes={**item.step.attributes, "weight": weight}))

    def _difference(self, item: Item, left: str, right: str) -> Item | None:
        step = item.step
        a, b = (self._multiples.get(name, (name, 1.0)) for name in (left, right))
        if a == b or (left in self._zeros and right in self._zeros):
            self._zeros.add(step.output)
            return item
        if right in self._zeros and step.activation is None:
            self._alias(step, left)
            return None
        first, second = self._made.get(left), self._made.get(right)
        if second is None or not _is_plain_layer(second):
            return item
        if left in self._zeros:
            return limited(negated(second, step.output), step)
        if first is None or not _is_plain_layer(first) or not self._alike(first.step, second.step):
            return item
        joined = changed(
            first,
            step.output,
            weight=first.step.attributes["weight"] - second.step.attributes["weight"],
            bias=bias_of(first.step) - bias_of(second.step),
        )
        return limited(joined, step)

    def _alike(self, a: Step, b: Step) -> bool:
        """Whether two layers differ in nothing but their numbers."""
        names = ("windows", "groups", "axis", "keep")
        return (
            a.kind == b.kind
            and self._network.resolve(a.inputs[0]) == self._network.resolve(b.inputs[0])
            and a.attributes["weight"].shape == b.attributes["weight"].shape
            and all(a.attributes.get(name) == b.attributes.get(name) for name in names)
        )


def _is_plain_layer(item: Item) -> bool:
    step = item.step
    return step.kind in LAYERS and len(step.inputs) == 1 and step.activation is None


def limited(layer: Item, step: Step) -> Item:
    """The layer with the activation of a step behind it that it takes the place of."""
    return Item(replace(layer.step, activation=step.activation))


def negated(item: Item, output: str) -> Item:
    """The layer with the opposite result, which goes to another tensor."""
    attributes = item.step.attributes
    bias = None if attributes["bias"] is None else -bias_of(item.step)
    return changed(item, output, weight=-attributes["weight"], bias=bias)


def _restore_additions(network: Network) -> None:
    """`a - layer` becomes `a + (-layer)`."""
    uses, makers = network.uses(), network.makers()
    replaced: dict[str, Item] = {}
    items = []
    for item in network.items:
        step = item.step
        inputs = [network.resolve(name) for name in step.inputs]
        if step.kind == "sub" and inputs[0] not in network.constants:
            layer = makers.get(inputs[1])
            if layer is not None and _is_plain_layer(layer) and uses[inputs[1]] == 1:
                replaced[inputs[1]] = negated(layer, inputs[1])
                item = limited(Item(Step(step.op, "add", tuple(inputs), step.output)), step)  # noqa: PLW2901
        items.append(item)
    network.items = [replaced.get(item.step.output, item) for item in items]
