"""The operators of the domain `fdabnn` as the standard operators that they are specified to equal (docs/ops).

Their documents promise the roundings of `Conv`, `PRelu`, `Mul`, `Add` and `Add` in this order, on signs that are +1 and -1 as floats; and
of `ConvDifference` those of its `Sub`, where the sums of the convolutions are exact, which the prover has to find of each; of `Digits`
those of two comparisons and choices, and of `Mul`, `Round`, `Mul` and `Sub` for every slice.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fdabnn_deploy.prove.rows import UnprovedError
from fdabnn_onnx.prove.optimised import import_onnx

DOMAIN = "fdabnn"
_WORD = 32
_MOST_EXPONENT = 100


def expanded(model: Any) -> Any:
    """The model without packed operators, but for those that break their specification; the same one where it has none.

    Args:
        model: an `onnx.ModelProto`.
    """
    if not any(node.domain == DOMAIN for node in model.graph.node):
        return model
    expansion = _Expansion(model)
    for node in model.graph.node:
        try:
            expansion.add(node)
        except UnprovedError:
            expansion.nodes.append(node)  # for which there is no proof
    result = type(model)()
    result.CopyFrom(model)
    del result.graph.node[:]
    result.graph.node.extend(expansion.nodes)
    result.graph.initializer.extend(expansion.constants)
    return result


class _Expansion:
    def __init__(self, model: Any) -> None:
        self._onnx = import_onnx()
        self._known = {t.name: self._onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        # Tensors of words, and the tensors of signs as floats that stand for them; how many channels those have.
        self._signs: dict[str, str] = {}

    def add(self, node: Any) -> None:
        if node.domain == DOMAIN:
            if node.op_type == "PackSigns":
                self._sign(node.input[0], node.output[0])
            elif node.op_type == "BinaryConv":
                self._binary_conv(node)
            elif node.op_type == "Digits":
                self._digits(node)
            elif node.op_type == "ConvDifference":
                self._conv_difference(node)
            else:
                raise UnprovedError(f"no operator of the domain {DOMAIN} is called {node.op_type}")
        elif node.input and node.input[0] in self._signs:
            if node.op_type != "Unsqueeze" or self._constant(node.input[1]).tolist() != [1, 2]:
                raise UnprovedError(f"{node.op_type} reads packed signs")
            # A vector as an image of one pixel: behind the channels where those come before the image.
            axes = self._new(f"{node.output[0]}/float_axes", np.array([2, 3], np.int64))
            self._emit("Unsqueeze", [self._signs[node.input[0]], axes], f"{node.output[0]}/signs")
            self._signs[node.output[0]] = f"{node.output[0]}/signs"
        else:
            self.nodes.append(node)

    def _constant(self, name: str) -> Any:
        if name not in self._known:
            raise UnprovedError(f"{name} is not a constant of the file")
        return self._known[name]

    def _new(self, name: str, value: Any) -> str:
        self.constants.append(self._onnx.numpy_helper.from_array(value, name))
        return name

    def _emit(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(self._onnx.helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def _sign(self, source: str, words: str) -> None:
        zero, minus, plus = (
            self._new(f"{words}/{name}", np.array(value, np.float32))
            for name, value in (("zero", 0), ("minus_one", -1), ("plus_one", 1))
        )
        negative = self._emit("Less", [source, zero], f"{words}/negative")
        self._signs[words] = self._emit("Where", [negative, minus, plus], f"{words}/signs")

    def _binary_conv(self, node: Any) -> None:
        inputs = [*node.input, *[""] * (6 - len(node.input))]
        values = {a.name: self._onnx.helper.get_attribute_value(a) for a in node.attribute}
        if inputs[0] not in self._signs:
            raise UnprovedError(f"{inputs[0]} holds no signs that an operator has packed")
        outputs = [*node.output, *[""] * (2 - len(node.output))]
        name = outputs[0] or outputs[1]
        words = self._constant(inputs[1])
        depth = values["channels"] // values.get("group", 1)
        bits = np.unpackbits(
            np.ascontiguousarray(words.astype("<i4")).view(np.uint8), axis=-1, bitorder="little"
        )
        if words.shape[-1] != -(-depth // _WORD):
            raise UnprovedError(f"{inputs[1]} has {words.shape[-1]} words for {depth} channels")
        weight = 1 - 2 * bits[..., :depth].astype(np.float32).transpose(0, 3, 1, 2)
        source, pads = self._signs[inputs[0]], list(values.get("pads", [0, 0, 0, 0]))
        if values.get("pad_value", 0) and any(pads):
            amounts = self._new(f"{name}/pads", np.array([0, 0, *pads[:2], 0, 0, *pads[2:]], dtype=np.int64))
            one = self._new(f"{name}/one", np.array(1, np.float32))
            source = self._emit("Pad", [source, amounts, one], f"{name}/padded", mode="constant")
            pads = [0, 0, 0, 0]
        steps = [("Conv", self._new(f"{name}/weight", np.ascontiguousarray(weight)))]
        steps += [
            (op, self._new(f"{name}/{part}", self._constant(tensor).reshape(-1, 1, 1)))
            for op, part, tensor in zip(
                ("PRelu", "Mul", "Add"), ("slope", "scale", "offset"), inputs[2:5], strict=True
            )
            if tensor
        ]
        steps += [("Add", inputs[5])] if inputs[5] else []
        for i, (op, operand) in enumerate(steps):
            last = i == len(steps) - 1
            attributes = (
                {
                    "kernel_shape": weight.shape[2:],
                    "strides": values.get("strides", [1, 1]),
                    "dilations": values.get("dilations", [1, 1]),
                    "group": values.get("group", 1),
                    "pads": pads,
                }
                if op == "Conv"
                else {}
            )
            output = outputs[0] if last and outputs[0] else f"{name}/step{i}"
            source = self._emit(op, [source, operand], output, **attributes)
        if outputs[1]:
            self._sign(source, outputs[1])

    def _digits(self, node: Any) -> None:
        (exponents,) = (self._onnx.helper.get_attribute_value(a) for a in node.attribute)
        outputs = [*node.output, *[""] * (len(exponents) + 1 - len(node.output))]
        name, value = outputs[0], node.input[0]
        if len(node.input) > 1:
            low, high = self._constant(node.input[1])
            for op, part, number in (("Less", "high", high), ("Greater", "low", low)):
                limit = self._new(f"{name}/{part}", np.array(number))
                inside = self._emit(op, [value, limit], f"{name}/{part}_inside")
                value = self._emit("Where", [inside, value, limit], f"{name}/limited/{part}")
        for k, exponent in enumerate(exponents):
            sliced = outputs[k] or f"{name}/slice{k}"
            units, step = (
                self._new(f"{sliced}/{part}", np.array(2.0**power, np.float32))
                for part, power in (("units", exponent), ("step", -exponent))
            )
            scaled = self._emit("Mul", [value, units], f"{sliced}/in_units")
            rounded = self._emit("Round", [scaled], f"{sliced}/rounded")
            self._emit("Mul", [rounded, step], sliced)
            last = k == len(exponents) - 1
            if not last or outputs[-1]:
                rest = outputs[-1] if last else f"{sliced}/rest"
                value = self._emit("Sub", [value, sliced], rest)

    def _conv_difference(self, node: Any) -> None:
        values = {a.name: self._onnx.helper.get_attribute_value(a) for a in node.attribute}
        filters, biases = (self._constant(name) for name in node.input[:2])
        if filters.dtype == np.int8:
            exponents = np.array(values.get("exponents", ()), dtype=np.int32)
            if (
                exponents.size != filters.shape[0] * filters.shape[1]
                or np.abs(exponents).max() > _MOST_EXPONENT
            ):
                raise UnprovedError("its integers have no exponents")
            filters = np.ldexp(filters.astype(np.float32), exponents.reshape(*filters.shape[:2], 1, 1, 1))
        result, stack = node.output[0], list[str]()
        sources = list(node.input[2:])
        if values.get("pixel_input", 0):
            if len(sources) != 1:
                raise UnprovedError("it reads pixels and something else")
            sources = [self._pixels(sources[0], result)]
        border = "border_rows" in values
        name = f"{result}/tree" if border else result
        for i, entry in enumerate(values["expression"]):
            last = i == len(values["expression"]) - 1
            output = name if last else f"{name}/step{i}"
            if entry < 0:
                right, left = stack.pop(), stack.pop()
                stack.append(self._emit("Sub", [left, right], output))
                continue
            weight = self._new(f"{output}/weight", filters[values["term_filters"][entry]])
            bias = self._new(f"{output}/bias", biases[entry])
            stack.append(
                self._emit(
                    "Conv",
                    [sources[values["term_inputs"][entry]], weight, bias],
                    output,
                    kernel_shape=list(filters.shape[3:]),
                    **{key: values[key] for key in ("strides", "dilations", "pads") if key in values},
                )
            )
        if stack != [name]:
            raise UnprovedError("its expression is no tree")
        if border:
            self._border(result, name, biases[len(values["term_inputs"]) :], values)

    def _pixels(self, source: str, result: str) -> str:
        """`Cast` and `Sub`; nothing is folded into an operator's inside, as a `Clip` that changes no value says."""
        floats = self._emit("Cast", [source], f"{result}/floats", to=1)
        centre = self._new(f"{result}/centre", np.array(128, np.float32))
        lowest = self._new(f"{result}/lowest", np.array(-256, np.float32))
        return self._emit(
            "Clip", [self._emit("Sub", [floats, centre], f"{result}/centred"), lowest], f"{result}/pixels"
        )

    def _border(self, result: str, tree: str, offsets: Any, values: dict[str, Any]) -> None:
        """`Add` of the offset of every place."""
        rows, columns = (np.array(values[f"border_{part}"], dtype=np.int64) for part in ("rows", "columns"))
        classes = (int(rows.max()) + 1, int(columns.max()) + 1)
        if min(rows.min(), columns.min()) < 0 or len(offsets) != classes[0] * classes[1]:
            raise UnprovedError("it has other offsets than classes of rows and columns")
        placed = offsets.T.reshape(1, -1, *classes)[:, :, rows][:, :, :, columns]
        self._emit("Add", [tree, self._new(f"{result}/offset", placed)], result)
