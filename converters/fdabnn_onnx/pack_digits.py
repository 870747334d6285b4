"""Packs what exact numerics does to the input of a float layer: limits, grids and remainders become one `Digits` (docs/ops/digits.md).

    Mul, Round, Mul                     a value on a grid, the first digit
    Sub of the value and the digit      the remainder, of which the next digit is taken, or which is the last one itself

Limits in front of them, a `Clip` or the comparisons and choices of a saturation, belong to it where nobody else reads what they give.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from fdabnn_onnx.model_index import ModelIndex

MOST_DIGITS = 4
LARGEST_EXPONENT = 100


@dataclass
class _Digits:
    """A `Digits` in the making.

    Attributes:
        source: the tensor that it reads.
        exponents: of the grids.
        outputs: the digits.
        rest: the last remainder, or nothing.
        nodes: that it replaces; the first of the first digit is where it will stand.
        limits: low and high, or nothing.
    """

    source: str
    exponents: list[int] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    rest: str = ""
    nodes: list[NodeProto] = field(default_factory=list)
    limits: tuple[float, float] | None = None


class _Finder(ModelIndex):
    def number(self, name: str) -> float | None:
        """The value of a constant of one value."""
        tensor = self.constants.get(name)
        if tensor is None or tensor.dims:
            return None
        return float(numpy_helper.to_array(tensor))

    def grid(self, head: NodeProto) -> tuple[int, list[NodeProto]] | None:
        """The exponent and the three nodes of a grid that begins with this one."""
        units = self.number(head.input[1]) if head.op_type == "Mul" else None
        if units is None or units <= 0 or not self.inner(head.output[0]):
            return None
        exponent = int(np.log2(units))
        middle = self.readers[head.output[0]][0]
        if units != 2.0**exponent or abs(exponent) > LARGEST_EXPONENT:
            return None
        if middle.op_type != "Round" or not self.inner(middle.output[0]):
            return None
        last = self.readers[middle.output[0]][0]
        if last.op_type != "Mul" or last.input[0] != middle.output[0]:
            return None
        return (exponent, [head, middle, last]) if self.number(last.input[1]) == 1 / units else None

    def digits(self, head: NodeProto) -> _Digits | None:
        """What begins with the first node of a grid, None where none does."""
        found, value = _Digits(str(head.input[0])), str(head.input[0])
        while len(found.exponents) < MOST_DIGITS:
            readers = self.readers[value]
            heads = [node for node in readers if self.grid(node) is not None]
            subs = [node for node in readers if node.op_type == "Sub" and node.input[0] == value]
            inner = value == found.source or (
                value not in self.outputs and len(readers) == len(heads) + len(subs)
            )
            if len(heads) != 1 or len(subs) > 1 or not inner:
                break
            grid = self.grid(heads[0])
            assert grid is not None
            digit = str(grid[1][-1].output[0])
            if subs and subs[0].input[1] != digit:
                if value != found.source:
                    break
                subs = []
            found.exponents.append(grid[0])
            found.outputs.append(digit)
            found.nodes += [*grid[1], *subs]
            found.rest = value = str(subs[0].output[0]) if subs else ""
            if not subs:
                break
        if not found.exponents:
            return None
        self._take_limits(found)
        return found

    def _take_limits(self, found: _Digits) -> None:
        value = found.source
        taken = {node.name for node in found.nodes}
        if value in self.outputs or any(node.name not in taken for node in self.readers[value]):
            return
        maker = self.makers.get(value)
        if maker is None:
            return
        if maker.op_type == "Clip" and len(maker.input) == 3:
            low, high = (self.number(name) for name in maker.input[1:])
            # Of zeros as limits, a Clip may give either.
            if low is not None and high is not None and low < 0 < high:
                found.limits, found.source = (low, high), str(maker.input[0])
                found.nodes.append(maker)
            return
        upper = self._choice(maker, "Greater")
        below = self.makers.get(upper[0]) if upper else None
        lower = self._choice(below, "Less") if below is not None else None
        if upper is None or lower is None or below is None or upper[1] > lower[1]:
            return
        if below.output[0] in self.outputs or len(self.readers[below.output[0]]) != 2:
            return
        found.limits, found.source = (upper[1], lower[1]), lower[0]
        found.nodes += [maker, self.makers[maker.input[0]], below, self.makers[below.input[0]]]

    def _choice(self, node: NodeProto, comparison: str) -> tuple[str, float] | None:
        """The tensor x and the number c of `Where(comparison(x, c), x, c)`."""
        test = self.makers.get(node.input[0]) if node.op_type == "Where" else None
        if test is None or test.op_type != comparison or list(test.input) != list(node.input[1:]):
            return None
        limit = self.number(node.input[2])
        if limit is None or not self.inner(test.output[0]):
            return None
        return str(node.input[1]), limit


def pack_digits(model: ModelProto, domain: str) -> ModelProto:
    """The model with packed digits.

    Args:
        model: with exact numerics: no NaN reaches a `Clip`.
        domain: of the operator.
    """
    finder = _Finder(model)
    found: dict[str, _Digits] = {}
    taken: set[str] = set()
    for node in model.graph.node:
        if node.name not in taken and finder.grid(node) is not None:
            digits = finder.digits(node)
            if digits is not None and not any(inner.name in taken for inner in digits.nodes):
                found[node.name] = digits
                taken |= {inner.name for inner in digits.nodes}
    result = ModelProto()
    result.CopyFrom(model)
    del result.graph.node[:]
    for node in model.graph.node:
        if node.name in found:
            digits = found[node.name]
            name, inputs = digits.outputs[0], [digits.source]
            if digits.limits is not None:
                limits: TensorProto = numpy_helper.from_array(
                    np.array(digits.limits, np.float32), f"{name}/limits"
                )
                result.graph.initializer.append(limits)
                inputs.append(limits.name)
            outputs = [*digits.outputs, *([digits.rest] if digits.rest else [])]
            result.graph.node.append(
                helper.make_node(
                    "Digits", inputs, outputs, name=name, domain=domain, exponents=digits.exponents
                )
            )
        elif node.name not in taken:
            result.graph.node.append(node)
    return result
