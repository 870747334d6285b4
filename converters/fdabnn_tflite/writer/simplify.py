"""Rewrites a function into what TFLite's operators do at once: biases and activations inside layers, no move that moves nothing."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from fdabnn_deploy.ir.ops import BATCH, Array
from fdabnn_tflite.writer.function import Op, Value

LAYERS = frozenset({"Conv2D", "DepthwiseConv2dNative", "MatMul"})
"""Layers with float weights: operand, weights, and perhaps a bias."""

ACTIVATIONS = {"Relu": 1, "ReluN1To1": 2, "Relu6": 3}
"""TFLite's codes of activations that operators have."""

_ELEMENTWISE = frozenset({"AddV2", "LeakyRelu", "Maximum", "Minimum", "Mul", "PRelu", "Relu", "Round", "Sub"})

_ACTIVE = LAYERS | {"AddV2", "Sub", "Mul", "MaxPool", "AvgPool"}
"""Operators with an activation. Kernels do not apply that of a concatenation, though the schema has one."""


@dataclass
class Function:
    """Operators in order, and the tensors that the file returns."""

    ops: list[Op]
    outputs: list[Value]

    def readers(self) -> dict[Value, list[Op]]:
        """Who reads each tensor, once for every time."""
        found: dict[Value, list[Op]] = defaultdict(list)
        for op in self.ops:
            for value in op.inputs:
                if isinstance(value, Value):
                    found[value].append(op)
        return found

    def replace(self, old: Value, new: Value) -> None:
        """Makes every reader of a tensor, and the file, take another one with the same values."""
        for op in self.ops:
            op.inputs = [new if value is old else value for value in op.inputs]
        self.outputs = [new if value is old else value for value in self.outputs]

    def drop_unread(self) -> None:
        """Removes what no output depends on; inputs stay."""
        needed = set(self.outputs)
        kept = []
        for op in reversed(self.ops):
            if op.result in needed or op.kind == "Input":
                kept.append(op)
                needed.update(value for value in op.inputs if isinstance(value, Value))
        self.ops = kept[::-1]


def simplify(function: Function) -> None:
    """Applies all rules; the results of the remaining operators keep their values."""
    function.drop_unread()
    _drop_reductions(function)
    _merge_moves(function)
    _move_reshapes_behind(function)
    _take_operands(function)
    _fold_steps(function)
    function.drop_unread()
    _take_biases(function)
    _name_activations(function)
    _take_activations(function)
    _drop_activations(function)
    function.drop_unread()
    _copy_before_reshapes(function)


def _merge_moves(function: Function) -> None:
    """A move behind a move of the same kind is one; one that changes nothing is none."""
    for op in list(function.ops):
        if op.kind == "Transpose":
            _merge_transposes(op)
        source = op.inputs[0] if op.inputs else None
        if op.kind == "Reshape" and isinstance(source, Value) and source.op.kind == "Reshape":
            op.inputs[0] = source = source.op.inputs[0]
        if op.kind in {"Reshape", "Transpose"} and isinstance(source := op.inputs[0], Value):
            still = op.kind == "Reshape" or np.array_equal(
                np.asarray(op.inputs[1]), np.arange(len(op.result.shape))
            )
            if still and source.shape == op.result.shape:
                _pass_on(function, op, source)


def _merge_transposes(op: Op) -> None:
    source, order = op.inputs[0], np.asarray(op.inputs[1])
    assert isinstance(source, Value)
    if source.op.kind == "Transpose":
        order = np.asarray(source.op.inputs[1])[order]
        op.inputs = [source.op.inputs[0], order]
        source = op.inputs[0]
    assert isinstance(source, Value)
    moved = [int(axis) for axis in order if axis == 0 or source.shape[axis] != 1]
    if moved == sorted(moved) and not np.array_equal(order, np.arange(len(order))):
        # Only axes of size 1 change their places.
        op.kind = "Reshape"
        op.inputs = [source, np.array([BATCH, *op.result.shape[1:]], np.int32)]


def _pass_on(function: Function, op: Op, source: Value) -> None:
    function.replace(op.result, source)
    source.aliases += [op.name, *op.result.aliases]


def _drop_reductions(function: Function) -> None:
    """The mean or sum of one value is the value."""
    for op in list(function.ops):
        source = op.inputs[0] if op.kind in {"Mean", "Sum"} else None
        if isinstance(source, Value) and all(
            source.shape[int(axis)] == 1 for axis in np.asarray(op.inputs[1])
        ):
            op.kind, op.attributes = "Reshape", {}
            op.inputs = [source, np.array([BATCH, *op.result.shape[1:]], np.int32)]


def _move_reshapes_behind(function: Function) -> None:
    """`f(reshape(x)) = reshape(f(x))` for elementwise f, where the reshape takes [N, 1, 1, C] to [N, C]: see `_take_operands`."""
    readers = function.readers()
    for op in list(function.ops):
        source = op.inputs[0] if op.kind in _ELEMENTWISE else None
        if (
            not isinstance(source, Value)
            or not _flattens_pixels(source.op)
            or not _alone(function, readers, source)
        ):
            continue
        if any(isinstance(value, Value) or value.ndim > 1 for value in op.inputs[1:]):
            continue
        flat = Op("Reshape", f"{op.name}/reshape", [], {}, op.node)
        flat.result = Value(flat, op.result.shape)
        function.replace(op.result, flat.result)
        flat.inputs = [op.result, source.op.inputs[1]]
        op.inputs[0] = source.op.inputs[0]
        op.result.shape = (op.result.shape[0], 1, 1, op.result.shape[1])
        readers[flat.result], readers[op.result] = readers[op.result], [flat]
        function.ops.insert(function.ops.index(op) + 1, flat)


def _flattens_pixels(op: Op) -> bool:
    source = op.inputs[0] if op.kind == "Reshape" else None
    return isinstance(source, Value) and source.shape == (*op.result.shape[:1], 1, 1, *op.result.shape[1:])


def _take_operands(function: Function) -> None:
    """Dense layers read pixels [N, 1, 1, C] as they read rows [N, C]: in front of them no reshape is needed."""
    readers = function.readers()
    for op in function.ops:
        dense = all(reader.kind == "MatMul" for reader in readers[op.result])
        if _flattens_pixels(op) and dense and op.result not in function.outputs:
            for reader in readers[op.result]:
                reader.inputs[0] = op.inputs[0]


def _fold_steps(function: Function) -> None:
    """`layer(x 2^k, w) = layer(x, w 2^k)`, which rounds nothing: a slice is often read in grid units."""
    for op in function.ops:
        while op.kind in LAYERS and isinstance(value := op.inputs[0], Value) and value.op.kind == "Mul":
            source, factor = value.op.inputs
            weights = op.inputs[1]
            if not isinstance(source, Value) or isinstance(factor, Value) or isinstance(weights, Value):
                break
            if factor.size != 1 or "activation" in value.op.attributes or np.frexp(factor)[0] != 0.5:
                break
            scaled = weights * factor.reshape(())
            if not np.array_equal(scaled / factor.reshape(()), weights):
                break
            op.inputs[:2] = source, scaled.astype(np.float32)


def _take_biases(function: Function) -> None:
    readers = function.readers()
    for op in list(function.ops):
        if op.kind != "AddV2":
            continue
        layer, bias = op.inputs
        if isinstance(bias, Value) or not isinstance(layer, Value) or layer.op.kind not in LAYERS:
            continue
        fits = bias.shape in {(layer.shape[-1],), (1,) * (len(layer.shape) - 1) + (layer.shape[-1],)}
        if fits and len(layer.op.inputs) == 2 and _alone(function, readers, layer):
            _absorb(function, op, layer.op, [*layer.op.inputs, bias.reshape(-1)], layer.op.attributes)


def _alone(function: Function, readers: dict[Value, list[Op]], value: Value) -> bool:
    return len(readers[value]) == 1 and value not in function.outputs


def _absorb(
    function: Function, op: Op, before: Op, inputs: list[Value | Array], attributes: dict[str, object]
) -> None:
    """Makes an operator compute what the one in front of it and itself did."""
    op.kind, op.inputs, op.attributes, op.node = before.kind, inputs, dict(attributes), before.node
    function.ops.remove(before)


def _name_activations(function: Function) -> None:
    """Limits that TFLite has an activation for become that."""
    readers = function.readers()
    for op in list(function.ops):
        if op.kind == "Maximum" and _is_number(op.inputs[1], 0):
            op.kind, op.inputs = "Relu", op.inputs[:1]
        if op.kind != "Minimum" or not isinstance(inner := op.inputs[0], Value):
            continue
        if not _alone(function, readers, inner):
            continue
        kind = None
        if inner.op.kind == "Relu" and _is_number(op.inputs[1], 6):
            kind = "Relu6"
        elif (
            inner.op.kind == "Maximum" and _is_number(inner.op.inputs[1], -1) and _is_number(op.inputs[1], 1)
        ):
            kind = "ReluN1To1"
        if kind is not None:
            op.kind, op.inputs = kind, inner.op.inputs[:1]
            function.ops.remove(inner.op)


def _is_number(value: Value | Array, number: float) -> bool:
    return not isinstance(value, Value) and value.size == 1 and value.item() == number


def _take_activations(function: Function) -> None:
    readers = function.readers()
    for op in list(function.ops):
        if op.kind not in ACTIVATIONS or not isinstance(source := op.inputs[0], Value):
            continue
        before = source.op
        if (
            before.kind in _ACTIVE
            and "activation" not in before.attributes
            and _alone(function, readers, source)
        ):
            _absorb(
                function, op, before, before.inputs, {**before.attributes, "activation": ACTIVATIONS[op.kind]}
            )


def _drop_activations(function: Function) -> None:
    """A ReLU of what is not negative changes nothing."""
    for op in function.ops:
        source = op.inputs[0] if op.kind == "Relu" else None
        if isinstance(source, Value) and (
            source.op.kind in {"Relu", "Relu6"} or source.op.attributes.get("activation") in (1, 3)
        ):
            _pass_on(function, op, source)


def _copy_before_reshapes(function: Function) -> None:
    """A reshape of a tensor that others read as well, or the file returns, gets a copy of it.

    Runtimes give a reshape the memory of its operand, and in LiteRT 2.3.0, TensorFlow Lite 2.21 and LCE 0.16.0 an operator behind it
    was seen to write its result there, too, before another reader of the operand had its turn. No kernel of `PAD` works in place.
    """
    readers = function.readers()
    copies: dict[Value, Value] = {}
    ops = []
    for op in function.ops:
        source = op.inputs[0] if op.kind == "Reshape" else None
        if isinstance(source, Value) and (len(readers[source]) > 1 or source in function.outputs):
            if source not in copies:
                pads = np.zeros((len(source.shape), 2), np.int32)
                copy = Op("Pad", f"{op.name}/copy", [source, pads], {}, op.node)
                copies[source] = copy.result = Value(copy, source.shape)
                ops.append(copy)
            op.inputs[0] = copies[source]
        ops.append(op)
    function.ops = ops
