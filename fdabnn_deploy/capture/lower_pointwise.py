"""Rules for functions of each value: signs, comparisons, arithmetic, activations."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fdabnn_deploy.capture.lowering import Lowering, as_value, constant_of, lowers
from fdabnn_deploy.capture.values import Tensor, function_name, refuse, scalar_of
from fdabnn_deploy.expression import literal
from fdabnn_deploy.ops import (
    Add,
    Clamp,
    Compare,
    Div,
    LogicalNot,
    Maximum,
    Mul,
    Op,
    PRelu,
    Relu,
    Sub,
    ToFloat,
    TorchSign,
    Unary,
    Where,
)


@lowers("sign", "sgn")
def sign(lowering: Lowering, node: torch.fx.Node, x: Tensor) -> Tensor:
    """`torch.sign`, which keeps zeros."""
    return lowering.add(TorchSign(), [x], "sign")


@lowers("lt", "le", "gt", "ge", "eq", "ne")
def compare(lowering: Lowering, node: torch.fx.Node, a: Any, b: Any) -> Tensor:
    """A comparison with a tensor or a number."""
    name = function_name(node.target)
    return lowering.add(Compare(name), [as_value(a), as_value(b)], name)


@lowers("logical_not", "bitwise_not")
def logical_not(lowering: Lowering, node: torch.fx.Node, x: Tensor) -> Tensor:
    """Negation of a boolean."""
    return lowering.add(LogicalNot(), [x], "not")


@lowers("where")
def where(lowering: Lowering, node: torch.fx.Node, condition: Any, a: Any, b: Any) -> Tensor:
    """`torch.where(condition, a, b)`."""
    return lowering.add(Where(), [as_value(condition), as_value(a), as_value(b)], "where")


@lowers("to", "_to_copy", "type_as", "float")
def to_float(lowering: Lowering, node: torch.fx.Node, x: Tensor, *settings: Any) -> Tensor:
    """A change of type: booleans become numbers, everything computes in float32."""
    dtype = node.meta["val"].dtype
    if dtype != torch.float32:
        raise refuse(
            node, f"a conversion to {dtype} is not supported", "the network has to compute in float32"
        )
    source = node.args[0]
    assert isinstance(source, torch.fx.Node)
    return x if source.meta["val"].dtype == torch.float32 else lowering.add(ToFloat(), [x], "float")


_BINARY: dict[str, type[Op]] = {"add": Add, "sub": Sub, "mul": Mul, "div": Div, "maximum": Maximum}


@lowers("add", "sub", "mul", "div", "true_divide", "maximum")
def binary(lowering: Lowering, node: torch.fx.Node, a: Any, b: Any, *settings: Any) -> Tensor:
    """Arithmetic of two tensors, or a tensor and a number."""
    name = function_name(node.target).replace("true_divide", "div")
    if node.kwargs.get("alpha", 1) != 1:
        raise refuse(node, f"'{name}' with alpha is not supported", "multiply explicitly")
    if name == "div" and settings and settings[0] is not None:
        raise refuse(node, "rounding division is not supported", "divide without rounding_mode")
    return lowering.add(_BINARY[name](), [as_value(a), as_value(b)], name)


@lowers("rsub")
def reversed_sub(lowering: Lowering, node: torch.fx.Node, a: Any, b: Any, *settings: Any) -> Tensor:
    """`b - a`."""
    return lowering.add(Sub(), [as_value(b), as_value(a)], "sub")


@lowers("neg", "abs", "sin", "tanh", "sigmoid", "exp", "sqrt", "square", "reciprocal")
def unary(lowering: Lowering, node: torch.fx.Node, x: Tensor) -> Tensor:
    """A function of each value."""
    name = function_name(node.target)
    return lowering.add(Unary(name), [x], name)


@lowers("pow")
def power(lowering: Lowering, node: torch.fx.Node, x: Any, exponent: Any) -> Tensor:
    """`x ** 2`; other powers are not pointwise functions of a binary network."""
    if scalar_of(exponent) != 2:
        raise refuse(node, "only the square is supported among powers", "rewrite it with multiplications")
    return lowering.add(Unary("square"), [x], "square")


@lowers("relu")
def relu(lowering: Lowering, node: torch.fx.Node, x: Tensor) -> Tensor:
    """`max(x, 0)`."""
    return lowering.add(Relu(), [x], "relu")


@lowers("prelu")
def prelu(lowering: Lowering, node: torch.fx.Node, x: Tensor, slope: Any) -> Tensor:
    """PReLU with one slope or one per channel."""
    values = constant_of(node, slope, "PReLU slope").value.astype(np.float32).reshape(-1)
    return lowering.add(PRelu(values.reshape(()) if values.size == 1 else values), [x], "prelu")


@lowers("leaky_relu")
def leaky_relu(lowering: Lowering, node: torch.fx.Node, x: Tensor, slope: float = 0.01) -> Tensor:
    """PReLU with a fixed slope."""
    return lowering.add(PRelu(np.asarray(slope, dtype=np.float32)), [x], "leaky_relu")


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
        return lowering.add(Relu(), [x], "relu")
    return lowering.add(Clamp(bounds[0], bounds[1]), [x], "clamp")


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
