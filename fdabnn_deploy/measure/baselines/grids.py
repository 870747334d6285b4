"""Finds which tensors of a file with exact numerics are multiples of one another, or zero, if rounding is left out.

A float layer is exact as a sum of partial products of slices of its operand (docs/numerics.md, the Ozaki scheme). Each slice is rounded to
a grid, `x0 = round(x 2^e) 2^-e`, and the next one is taken of the remainder `x - x0`. Read as real numbers, with `round(t) = t`, the first
slice is the operand itself, perhaps in units of the grid, and every remainder is zero.
"""

from __future__ import annotations

import numpy as np

from fdabnn_deploy.measure.baselines.float_network import Item, Network
from fdabnn_deploy.prove.program import Step

_CARRY_ZEROS = ("pad", "reshape", "squeeze", "transpose", "reverse", "identity", "slice", "slice_axes")


class Grids:
    """Reads products by numbers, roundings and differences, from the first step to the last one.

    Args:
        network: of a file with exact numerics, in which all roundings are to grids.

    Attributes:
        zeros: the tensors that are zero.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._multiples: dict[str, tuple[str, float]] = {}
        self._units: dict[str, float] = {}
        self._exponents: dict[str, int] = {}
        self.zeros: set[str] = set()
        self._rounded = {
            network.resolve(item.step.inputs[0]) for item in network.items if item.step.kind == "round"
        }
        for item in network.items:
            self._follow(item.step)

    def of(self, name: str) -> tuple[str, float]:
        """The tensor that this one is a multiple of, and the factor; itself and 1 where it is of none."""
        name = self._network.resolve(name)
        return self._multiples.get(name, (name, 1.0))

    def exponent(self, name: str) -> int | None:
        """Of the grid `2^-e` that a tensor was rounded to last; None where it is not known to be rounded."""
        return self._exponents.get(self._network.resolve(name))

    def operands(self) -> list[str]:
        """The tensors of which others are multiples, in the order of the file."""
        return list(dict.fromkeys(base for base, _ in self._multiples.values()))

    def plain(self, item: Item) -> Item | None:
        """The step that gives the same multiple of a tensor without rounding; None where that tensor stands for it now.

        Any other step comes back as it is.
        """
        step = item.step
        if step.output not in self._multiples:
            return item
        base, factor = self._multiples[step.output]
        if factor == 1:
            self._network.aliases[step.output] = base
            return None
        name = f"{step.output}/factor"
        self._network.constants[name] = np.array(factor, dtype=np.float32)
        return Item(Step(step.op, "mul", (base, name), step.output))

    def _follow(self, step: Step) -> None:
        network = self._network
        inputs = [network.resolve(name) for name in step.inputs]
        tensors = [name for name in inputs if name not in network.constants]
        if step.activation is not None or not tensors:
            return
        if step.kind == "sub" and len(tensors) == 2:
            if self.of(inputs[0]) == self.of(inputs[1]) or self.zeros.issuperset(tensors):
                self.zeros.add(step.output)
        elif step.kind in _CARRY_ZEROS and inputs[0] in self.zeros and step.attributes.get("value", 0) == 0:
            self.zeros.add(step.output)
        elif step.kind == "round":
            self._exponents[step.output] = int(np.log2(self._units.get(inputs[0], 1.0)))
            self._add(step.output, inputs[0], 1.0)
        elif step.kind == "mul" and len(tensors) == 1:
            (factor,) = (network.constants[name] for name in inputs if name in network.constants)
            known = tensors[0] in self._multiples or tensors[0] in self.zeros
            if factor.size == 1 and (known or step.output in self._rounded):
                self._units[step.output] = float(factor.item())
                if tensors[0] in self._exponents:
                    self._exponents[step.output] = self._exponents[tensors[0]]
                self._add(step.output, tensors[0], float(factor.item()))

    def _add(self, output: str, source: str, factor: float) -> None:
        if source in self.zeros:
            self.zeros.add(output)
            return
        base, before = self.of(source)
        self._multiples[output] = (base, before * factor)
