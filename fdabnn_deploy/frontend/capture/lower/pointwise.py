"""Rules for functions of each value: signs, comparisons, arithmetic, activations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from fdabnn_deploy.frontend.capture.lowering import Lowering, as_value, constant_of, lowers, times
from fdabnn_deploy.frontend.capture.traced_value import (
    Tensor,
    Value,
    function_name,
    refuse,
    refuse_random,
    scalar_of,
)
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.expression import Expression, literal
from fdabnn_deploy.ir.ops import Op


@lowers("sign", "sgn")
def sign(lowering: Lowering, node: torch.fx.Node, x: Tensor) -> Tensor:
    """`torch.sign`, which keeps zeros."""
    return lowering.add(ops.TorchSign(), [x], "sign")


@lowers("lt", "le", "gt", "ge", "eq", "ne")
def compare(lowering: Lowering, node: torch.fx.Node, a: Any, b: Any) -> Tensor:
    """A comparison with a tensor or a number."""
    name = function_name(node.target)
    left = _threshold(a, name, up=name in ("gt", "le"))
    right = _threshold(b, name, up=name in ("lt", "ge"))
    return lowering.add(ops.Compare(name), [left, right], name)


def _threshold(item: Any, relation: str, up: bool) -> Value:
    """A constant of float64 compared with float32 values: the float32 number next to it that decides every one of them alike.

    `x < t` is `x < u` for the smallest float32 number u >= t. PyTorch takes numbers and tensors without dimensions to float32.

    Raises:
        GraphError: it is compared for equality with what is no float32 number.
    """
    value = as_value(item)
    if isinstance(value, Tensor) or value.value.dtype != np.float64 or not value.value.ndim:
        return value
    exact = value.value
    rounded = exact.astype(np.float32)
    if relation in ("eq", "ne") and np.any(rounded != exact):
        raise ops.GraphError("comparing float32 values with float64 ones for equality")
    with np.errstate(over="ignore"):
        if up:
            rounded = np.where(rounded < exact, np.nextafter(rounded, np.float32(np.inf)), rounded)
        else:
            rounded = np.where(rounded > exact, np.nextafter(rounded, np.float32(-np.inf)), rounded)
    return literal(rounded)


def _boolean(lowering: Lowering, node: torch.fx.Node, position: int, value: Any) -> Value:
    """An operand as a truth value: numbers are true unless they are 0."""
    source = node.args[position]
    if isinstance(value, Tensor):
        assert isinstance(source, torch.fx.Node)
        if source.meta["val"].dtype != torch.bool:
            return lowering.add(ops.Compare("ne"), [value, literal(np.zeros((), np.float32))], "ne")
        return value
    if isinstance(value, Expression):
        return literal(value.value != 0)
    return literal(np.asarray(bool(value)))


@lowers("logical_not", "bitwise_not")
def logical_not(lowering: Lowering, node: torch.fx.Node, x: Tensor) -> Tensor:
    """Negation of a truth value."""
    _no_bits(node, function_name(node.target))
    return lowering.add(ops.LogicalNot(), [_boolean(lowering, node, 0, x)], "not")


_LOGICAL = {
    "logical_and": "and", "bitwise_and": "and", "__and": "and", "logical_or": "or", "bitwise_or": "or", "__or": "or",
    "logical_xor": "xor", "bitwise_xor": "xor", "__xor": "xor",
}  # fmt: skip


@lowers(*_LOGICAL)
def logical(lowering: Lowering, node: torch.fx.Node, a: Any, b: Any) -> Tensor:
    """Two truth values."""
    name = function_name(node.target)
    _no_bits(node, name)
    operands = [_boolean(lowering, node, 0, a), _boolean(lowering, node, 1, b)]
    return lowering.add(ops.Logical(_LOGICAL[name]), operands, _LOGICAL[name])


def _no_bits(node: torch.fx.Node, name: str) -> None:
    if not name.startswith("logical") and node.meta["val"].dtype != torch.bool:
        raise refuse(
            node, f"'{name}' on the bits of integers is not supported", "compare, and combine booleans"
        )


@lowers("where")
def where(lowering: Lowering, node: torch.fx.Node, condition: Any, a: Any, b: Any) -> Tensor:
    """`torch.where(condition, a, b)`."""
    return lowering.add(ops.Where(), [as_value(condition), as_value(a), as_value(b)], "where")


@lowers("masked_fill")
def masked_fill(lowering: Lowering, node: torch.fx.Node, x: Any, mask: Any, value: Any) -> Tensor:
    """`x` with another value where a mask is true."""
    return lowering.add(ops.Where(), [as_value(mask), as_value(value), as_value(x)], "masked_fill")


@lowers("index_put")
def index_put(
    lowering: Lowering, node: torch.fx.Node, x: Any, indices: Any, value: Any, accumulate: bool = False
) -> Tensor:
    """`x[mask] = number`, with one mask of the shape of x."""
    masks = [index for index in indices if index is not None]
    number = scalar_of(as_value(value))
    listed = node.args[1]
    assert isinstance(listed, list | tuple)
    source = listed[0]
    if (
        len(masks) != 1
        or len(indices) != 1
        or number is None
        or accumulate
        or not isinstance(source, torch.fx.Node)
        or source.meta["val"].dtype != torch.bool
        or source.meta["val"].shape != node.meta["val"].shape
    ):
        raise refuse(
            node,
            "assigning to a part of an activation by index is not supported",
            "assign one number where a mask of the same shape is true, or write torch.where(mask, a, b)",
        )
    return lowering.add(
        ops.Where(), [masks[0], literal(np.float32(number).reshape(())), as_value(x)], "where"
    )


@lowers("heaviside")
def heaviside(lowering: Lowering, node: torch.fx.Node, x: Any, value: Any) -> Tensor:
    """0 below zero, `value` at zero, 1 above."""
    zero, one = (literal(np.full((), number, dtype=np.float32)) for number in (0, 1))
    negative = lowering.add(ops.Compare("lt"), [as_value(x), zero], "lt")
    equal = lowering.add(ops.Compare("eq"), [as_value(x), zero], "eq")
    inner = lowering.add(ops.Where(), [equal, as_value(value), one], "where")
    return lowering.add(ops.Where(), [negative, zero, inner], "where")


@lowers("copy")
def copy(lowering: Lowering, node: torch.fx.Node, x: Any, value: Any, *_: Any) -> Any:
    """`x.copy_(value)`: the value, in the shape of x."""
    shape = tuple(int(d) for d in node.meta["val"].shape)
    if isinstance(value, Expression):
        return Expression("expand", (value, list(shape)), np.array(np.broadcast_to(value.value, shape)))
    return value


@lowers("to", "_to_copy", "type_as", "float", "bool")
def change_type(lowering: Lowering, node: torch.fx.Node, x: Value, *settings: Any) -> Value:
    """A change of type: everything computes in float32, so truth values and integers become numbers of it."""
    dtype = node.meta["val"].dtype
    if isinstance(x, Expression):
        return Expression("view", (x, list(x.value.shape)), x.value.astype(np.float32))
    source = node.args[0]
    assert isinstance(source, torch.fx.Node)
    before = source.meta["val"].dtype
    if dtype == torch.bool:
        boolean = _boolean(lowering, node, 0, x)
        assert isinstance(boolean, Tensor)
        return boolean
    if dtype != torch.float32 and before != torch.bool and lowering.integers(x) is None:
        raise refuse(
            node, f"a conversion to {dtype} is not supported", "the network has to compute in float32"
        )
    return lowering.add(ops.ToFloat(), [x], "float") if before == torch.bool else x


_BINARY: dict[str, type[Op]] = {
    "add": ops.Add,
    "sub": ops.Sub,
    "mul": ops.Mul,
    "div": ops.Div,
    "maximum": ops.Maximum,
}


@lowers("add", "sub", "mul", "div", "true_divide", "maximum")
def binary(lowering: Lowering, node: torch.fx.Node, a: Any, b: Any, *settings: Any) -> Tensor:
    """Arithmetic of two tensors, or a tensor and a number."""
    name = function_name(node.target).replace("true_divide", "div")
    if node.kwargs.get("alpha", 1) != 1:
        b = _multiple(lowering, b, node.kwargs["alpha"])
    if name == "div" and settings and settings[0] is not None:
        raise refuse(node, "rounding division is not supported", "divide without rounding_mode")
    op = _BINARY[name]()
    if node.meta["val"].dtype == torch.bool:
        # PyTorch adds and multiplies truth values as `or` and `and`.
        op = ops.Logical("or" if name in ("add", "maximum") else "and")
    return lowering.add(op, [as_value(a), as_value(b)], name)


@lowers("minimum")
def minimum(lowering: Lowering, node: torch.fx.Node, a: Any, b: Any) -> Tensor:
    """The smaller value of each pair: the larger one of the negated ones, negated."""
    negated = [negative(lowering, as_value(x)) for x in (a, b)]
    return lowering.add(ops.Unary("neg"), [lowering.add(ops.Maximum(), negated, "maximum")], "minimum")


def negative(lowering: Lowering, x: Value) -> Value:
    """`-x`."""
    return literal(-x.value) if isinstance(x, Expression) else lowering.add(ops.Unary("neg"), [x], "neg")


@lowers("rsub")
def reversed_sub(lowering: Lowering, node: torch.fx.Node, a: Any, b: Any, *settings: Any) -> Tensor:
    """`b - a`."""
    alpha = node.kwargs.get("alpha", settings[0] if settings else 1)
    return lowering.add(ops.Sub(), [as_value(b), _multiple(lowering, a, alpha)], "sub")


def _multiple(lowering: Lowering, x: Any, alpha: Any) -> Value:
    """`alpha x`."""
    value = as_value(x)
    if isinstance(value, Tensor):
        return times(lowering, value, float(alpha))
    return literal((value.value * alpha).astype(np.float32))


@lowers("addcmul")
def addcmul(lowering: Lowering, node: torch.fx.Node, x: Any, a: Any, b: Any) -> Tensor:
    """`x + value a b`."""
    product = lowering.add(ops.Mul(), [as_value(a), as_value(b)], "mul")
    scaled = _multiple(lowering, product, node.kwargs.get("value", 1))
    return lowering.add(ops.Add(), [as_value(x), scaled], "add")


@lowers("lerp")
def lerp(lowering: Lowering, node: torch.fx.Node, a: Any, b: Any, weight: Any) -> Tensor:
    """`a + weight (b - a)`."""
    difference = lowering.add(ops.Sub(), [as_value(b), as_value(a)], "sub")
    scaled = lowering.add(ops.Mul(), [difference, as_value(weight)], "mul")
    return lowering.add(ops.Add(), [as_value(a), scaled], "lerp")


@lowers("neg", "abs", "sin", "tanh", "sigmoid", "erf", "exp", "sqrt", "square", "reciprocal")
def unary(lowering: Lowering, node: torch.fx.Node, x: Tensor) -> Tensor:
    """A function of each value."""
    name = function_name(node.target)
    return lowering.add(ops.Unary(name), [x], name)


@lowers("pow")
def power(lowering: Lowering, node: torch.fx.Node, x: Any, exponent: Any) -> Tensor:
    """`x ** 2`; other powers are not pointwise functions of a binary network."""
    if scalar_of(exponent) != 2:
        raise refuse(node, "only the square is supported among powers", "rewrite it with multiplications")
    return lowering.add(ops.Unary("square"), [x], "square")


@lowers("relu")
def relu(lowering: Lowering, node: torch.fx.Node, x: Tensor) -> Tensor:
    """`max(x, 0)`."""
    return lowering.add(ops.Relu(), [x], "relu")


@lowers("prelu")
def prelu(lowering: Lowering, node: torch.fx.Node, x: Tensor, slope: Any) -> Tensor:
    """PReLU with one slope or one per channel."""
    values = constant_of(node, slope, "PReLU slope").value.astype(np.float32).reshape(-1)
    return lowering.add(ops.PRelu(values.reshape(()) if values.size == 1 else values), [x], "prelu")


@lowers("leaky_relu")
def leaky_relu(lowering: Lowering, node: torch.fx.Node, x: Tensor, slope: float = 0.01) -> Tensor:
    """PReLU with a fixed slope."""
    return lowering.add(ops.PRelu(np.asarray(slope, dtype=np.float32)), [x], "leaky_relu")


@lowers("rrelu", "rrelu_with_noise", "rrelu_with_noise_functional")
def rrelu(lowering: Lowering, node: torch.fx.Node, x: Tensor, *settings: Any) -> Tensor:
    """PReLU with the middle of its random slopes, as in eval mode."""
    numbers = [setting for setting in settings if isinstance(setting, float)]
    if any(setting is True for setting in settings):
        raise refuse_random(node, function_name(node.target))
    return lowering.add(ops.PRelu(np.asarray(sum(numbers) / 2, dtype=np.float32)), [x], "rrelu")


@lowers("hardtanh", "clamp", "relu6", "clamp_min", "clamp_max")
def clamp(lowering: Lowering, node: torch.fx.Node, x: Tensor, *limits: Any) -> Tensor:
    """Clamping to constant limits."""
    name = function_name(node.target)
    if name == "relu6":
        limits = (0.0, 6.0)
    elif name == "clamp_max":
        limits = (None, limits[0])
    elif name == "hardtanh":
        limits = limits or (-1.0, 1.0)
    low, high = (*limits, None)[:2]
    bounds = []
    for limit, default in ((low, -np.inf), (high, np.inf)):
        number = default if limit is None else scalar_of(as_value(limit))
        if number is None:
            raise refuse(node, "clamping to limits that vary is not supported", "use constant limits")
        bounds.append(float(np.float32(number)))
    if bounds == [0.0, float("inf")]:
        return lowering.add(ops.Relu(), [x], "relu")
    return lowering.add(ops.Clamp(bounds[0], bounds[1]), [x], "clamp")


@lowers(
    "ones_like", "zeros_like", "full_like", "new_zeros", "new_ones", "new_full", "empty_like", "new_empty"
)
def filled(lowering: Lowering, node: torch.fx.Node, *settings: Any) -> Any:
    """A constant made in the shape of an activation; uninitialised memory, of which only the shape is used, reads as zeros."""
    name = function_name(node.target)
    shape = tuple(int(d) for d in node.meta["val"].shape)
    fill = 1.0 if "ones" in name else 0.0
    if "full" in name:
        number = scalar_of(as_value(settings[-1]))
        if number is None:
            raise refuse(node, f"'{name}' with a value that varies is not supported", "use a number")
        fill = number
    dtype = np.bool_ if node.meta["val"].dtype == torch.bool else np.float32
    return literal(np.full(shape, fill, dtype=dtype))


@lowers("round")
def round_(lowering: Lowering, node: torch.fx.Node, x: Tensor, *_: Any) -> Tensor:
    """Rounding to integers, halves to even: a quantiser of few bits."""
    if node.kwargs.get("decimals", 0):
        raise refuse(node, "rounding to decimals is not supported", "multiply, round and divide")
    return lowering.add(ops.RoundToGrid(0), [x], "round")


@lowers("hardsigmoid")
def hardsigmoid(lowering: Lowering, node: torch.fx.Node, x: Tensor) -> Tensor:
    """`min(max(x + 3, 0), 6) / 6`."""
    three, sixth = (literal(np.asarray(number, np.float32)) for number in (3, 1 / 6))
    moved = lowering.add(ops.Add(), [x, three], "add")
    return lowering.add(
        ops.Mul(), [lowering.add(ops.Clamp(0.0, 6.0), [moved], "clamp"), sixth], "hardsigmoid"
    )


@lowers("hardswish")
def hardswish(lowering: Lowering, node: torch.fx.Node, x: Tensor) -> Tensor:
    """`x hardsigmoid(x)`."""
    return lowering.add(ops.Mul(), [x, hardsigmoid(lowering, node, x)], "hardswish")


@lowers("silu")
def silu(lowering: Lowering, node: torch.fx.Node, x: Tensor) -> Tensor:
    """`x sigmoid(x)`."""
    return lowering.add(ops.Mul(), [x, lowering.add(ops.Unary("sigmoid"), [x], "sigmoid")], "silu")


@lowers("gelu")
def gelu(lowering: Lowering, node: torch.fx.Node, x: Tensor, approximate: str = "none") -> Tensor:
    """`x (1 + erf(x / sqrt(2))) / 2`, or, with `approximate="tanh"`, `x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3))`."""
    if approximate == "tanh":
        cube = lowering.add(ops.Mul(), [lowering.add(ops.Mul(), [x, x], "square"), x], "cube")
        third = times(lowering, cube, 0.044715)
        inner = times(lowering, lowering.add(ops.Add(), [x, third], "add"), 2 * math.sqrt(2 / math.pi))
        gate = lowering.add(ops.Unary("sigmoid"), [inner], "sigmoid")
        return lowering.add(ops.Mul(), [x, gate], "gelu")
    erf = lowering.add(ops.Unary("erf"), [times(lowering, x, math.sqrt(0.5))], "erf")
    one = literal(np.asarray(1, np.float32))
    gate = times(lowering, lowering.add(ops.Add(), [erf, one], "add"), 0.5)
    return lowering.add(ops.Mul(), [x, gate], "gelu")


@lowers("elu", "celu", "selu")
def elu(lowering: Lowering, node: torch.fx.Node, x: Tensor, alpha: float = 1.0, *more: float) -> Tensor:
    """`max(x, 0) + alpha (exp(min(x, 0)) - 1)`, times a scale."""
    name = function_name(node.target)
    scale, slope = (more[0] if more else 1.0), (more[1] if len(more) > 1 else 1.0)
    if name == "selu":
        alpha, scale = 1.6732632423543772, 1.0507009873554805
    if slope != 1 or (name == "celu" and alpha != 1):
        raise refuse(node, f"'{name}' with an input scale is not supported", "use nn.ELU")
    one, zero = (literal(np.asarray(number, np.float32)) for number in (1, 0))
    negative = lowering.add(ops.Clamp(-math.inf, 0.0), [x], "min")
    below = lowering.add(ops.Sub(), [lowering.add(ops.Unary("exp"), [negative], "exp"), one], "sub")
    above = lowering.add(ops.Maximum(), [x, zero], "max")
    both = lowering.add(ops.Add(), [above, times(lowering, below, alpha)], name)
    return times(lowering, both, scale)
