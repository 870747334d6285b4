"""Takes away the limits that exact numerics put into a file: those of the record, and fusion barriers. A network's own stay.

The record has the limits of the operand of every reduction and of every graph input (`fdabnn_deploy.exact.record`), but not whether a step
enforces them: where the operand is known to stay within, no step does, and the step in front may be a Hardtanh of the network with the same
limits. So limits of the record are taken away where

- they are directly in front of that reduction's roundings and sums, and nothing else reads what they give;
- a lower limit of 0 changes nothing, because the operand cannot be negative: exact numerics has no such limit otherwise, a ReLU or ReLU6 is
  the network's;
- they are not -1 and 1, Hardtanh's, and no activation of TFLite's, which TensorFlow makes of a ReLU of the network and a limit of 6.

Two cases cannot be told apart: the network's own limits are removed where they equal the record's and only this reduction reads them,
which makes the baseline faster; and limits of -1 and 1 that exact numerics put in stay.

A fusion barrier (`fdabnn_deploy.exact.exact_rules`) is a clamp to (-2^k, inf), or to (-2^k, 2^k) behind an activation, k >= 3, in front of
a scale or an offset.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fdabnn_deploy.exact.record import Cut
from fdabnn_deploy.measure.baselines.float_network import BINARY, LAYERS, Item, Network, bias_of
from fdabnn_deploy.prove.program import Step

MOVES = (
    *("reshape", "squeeze", "transpose", "reverse", "identity", "slice", "slice_axes", "enlarge"),
    *("gather", "depth_to_space"),
)
"""Steps after which the same values stand elsewhere."""

_ACTIVATIONS = ("RELU6", "RELU_N1_TO_1", "RELU_0_TO_1")
_HARDTANH = (-1.0, 1.0)
_KEEP_SIGNS = (*MOVES, "round", "maximum", "average", "mean", "sum", "prelu")
_SMALLEST_BARRIER = 3


@dataclass(frozen=True)
class Limited:
    """An operand that may be behind limits of the record.

    Attributes:
        operand: its tensor.
        readers: tensors of the reduction; what makes them may read the operand.
        cut: the reduction's entry.
    """

    operand: str
    readers: frozenset[str]
    cut: Cut


def drop_limits(network: Network, operands: list[Limited]) -> None:
    """Lets reductions read what stands in front of their limits; see the module."""
    limits = _Limits(network)
    readers: dict[str, set[str]] = {}
    for item in network.items:
        for name in network.sources(item):
            readers.setdefault(name, set()).update(network.results(item))
    outputs = {network.resolve(name) for name in network.outputs}
    for operand in dict.fromkeys(limited.operand for limited in operands):
        same = [limited for limited in operands if limited.operand == operand]
        source = limits.before(operand, same[0].cut)
        allowed = {name for limited in same for name in limited.readers}
        own = (same[0].cut.low, same[0].cut.high) == _HARDTANH
        if source is not None and not own and operand not in outputs and readers[operand] <= allowed:
            network.aliases[operand] = source


def drop_input_limits(network: Network, operands: list[str]) -> None:
    """Does the same to the limits of graph inputs, which exact numerics always writes.

    Args:
        network: to rewrite.
        operands: tensors that are rounded.
    """
    limits = _Limits(network)
    for operand in operands:
        for name, cut in network.record.cuts.items():
            source = limits.before(operand, cut)
            if source is not None and limits.label_of_origin(source) == name:
                network.aliases[operand] = source


def drop_barriers(network: Network) -> None:
    """Removes fusion barriers."""
    limits = _Limits(network)
    scaled = _scaled(network)
    for item in network.items:
        found = limits.pair(item)
        if found is None or item.step.output not in scaled:
            continue
        source, low, high = found
        behind = high == math.inf or (high == -low and limits.is_activation(source))
        if behind and low < 0 and math.frexp(-low)[0] == 0.5 and -low >= 2.0**_SMALLEST_BARRIER:
            network.aliases[item.step.output] = source


def clamp_choices(network: Network) -> None:
    """Makes a `Clip` of each clamp that an ONNX file has as two comparisons and choices.

    Packed operators have all limits in this form, a network's own among them (docs/ops/digits.md).
    """
    limits = _Limits(network)
    for place, item in enumerate(network.items):
        found = limits.pair(item) if item.step.op == "Where" else None
        if found is not None and math.inf not in (-found[1], found[2]):
            attributes = {"low": found[1], "high": found[2]}
            network.items[place] = Item(Step("Clip", "clip", found[:1], item.step.output, attributes))


def _scaled(network: Network) -> set[str]:
    """The tensors that are multiplied by constants, or added to such, and read by nothing else."""
    found = {network.resolve(name): False for name in network.outputs}
    for item in network.items:
        sources = network.sources(item)
        scales = item.step.kind in ("mul", "add", "sub") and any(
            name in network.constants for name in sources
        )
        for name in sources:
            found[name] = found.get(name, True) and scales
    return {name for name, only in found.items() if only}


class _Limits:
    """Reads limits: clamps, largest and smallest values, and choices after a comparison, which treat NaN alike everywhere."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.makers = network.makers()

    def before(self, operand: str, cut: Cut) -> str | None:
        """The tensor in front of the limits of an entry of the record; None where an operand is not behind such limits."""
        wanted = (float(np.float32(cut.low)), float(np.float32(cut.high)))
        name, missing = operand, [True, True]
        while any(missing):
            found = self._bound(self.makers.get(name))
            if found is None:
                break
            source, *limits = found
            own = [
                limit is not None and (not open_ or limit != wish)
                for limit, open_, wish in zip(limits, missing, wanted, strict=True)
            ]
            if any(own) or (limits[0] == 0 and not self.never_negative(source)):
                break
            missing = [open_ and limit is None for limit, open_ in zip(limits, missing, strict=True)]
            name = source
        if missing[1] or (missing[0] and not (wanted[0] == 0 and self.never_negative(name))):
            return None
        return name

    def pair(self, item: Item) -> tuple[str, float, float] | None:
        """The tensor that a clamp limits, and its limits; None for other steps. `min(max(x, low), high)` and the like are one clamp."""
        found = self._bound(item)
        if found is None:
            return None
        source, low, high = found
        inner = self._bound(self.makers.get(source)) if low is None or high is None else None
        if inner is not None and [limit is None for limit in inner[1:]] == [
            low is not None,
            high is not None,
        ]:
            source, low, high = inner[0], inner[1] if low is None else low, inner[2] if high is None else high
        return source, -math.inf if low is None else low, math.inf if high is None else high

    def is_activation(self, name: str) -> bool:
        """Whether a ReLU or a clamp makes a tensor, or an operator with such an activation in it."""
        maker = self.makers.get(name)
        return maker is not None and (
            maker.step.activation is not None or maker.step.kind in ("relu", "clip", "min", "max")
        )

    def label_of_origin(self, name: str) -> str:
        """The label of the tensor whose values these are, in another place."""
        while name in self.makers and self.makers[name].step.kind in MOVES:
            name = self._network.resolve(self.makers[name].step.inputs[0])
        return self._network.label(name)

    def never_negative(self, name: str) -> bool:
        """Whether a tensor cannot have negative values, as far as the operators in front tell."""
        constants = self._network.constants
        if name in constants:
            return bool(np.all(constants[name] >= 0))
        if name not in self.makers:
            return False
        step = self.makers[name].step
        low = (
            step.activation[0]
            if isinstance(step.activation, tuple)
            else step.attributes.get("low", -math.inf)
        )
        if low >= 0 or step.kind == "relu":
            return True
        inputs = map(self._network.resolve, step.inputs)
        if step.kind == "prelu" and np.all(step.attributes["slope"] <= 0):
            return True
        if step.kind == "max":
            return any(map(self.never_negative, inputs))
        if step.kind in ("min", "add", "mul", "concat"):
            return all(map(self.never_negative, inputs))
        if step.kind in LAYERS:
            if (
                BINARY in step.attributes
                or np.any(step.attributes["weight"] < 0)
                or np.any(bias_of(step) < 0)
            ):
                return False
            return all(map(self.never_negative, inputs))
        return step.kind in _KEEP_SIGNS and self.never_negative(next(inputs))

    def _bound(self, item: Item | None) -> tuple[str, float | None, float | None] | None:
        """The tensor that a step limits, and its limits, None for an open side; None where they may be those of the network."""
        if item is None or item.step.op in _ACTIVATIONS or item.step.activation is not None:
            return None
        step, network = item.step, self._network
        inputs = [network.resolve(name) for name in step.inputs]
        if step.kind == "relu":
            return inputs[0], 0.0, None
        if step.kind == "clip":
            low, high = step.attributes["low"], step.attributes["high"]
            return inputs[0], None if low == -math.inf else low, None if high == math.inf else high
        below = step.kind == "min"
        if step.kind == "select":
            test = self.makers.get(inputs[0])
            if test is None or test.step.kind != "compare":
                return None
            if [network.resolve(name) for name in test.step.inputs] != inputs[1:]:
                return None
            below = test.step.attributes["relation"] == "<"
            if not below and test.step.attributes["relation"] != ">":
                return None
            inputs = inputs[1:]
        elif step.kind not in ("min", "max"):
            return None
        limit = network.constants.get(inputs[1])
        if inputs[0] in network.constants or limit is None or limit.size != 1:
            return None
        return (inputs[0], None, float(limit.item())) if below else (inputs[0], float(limit.item()), None)
