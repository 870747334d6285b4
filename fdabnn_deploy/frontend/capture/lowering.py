"""One rule per ATen function: how a call on activations becomes nodes of the graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fdabnn_deploy.frontend.capture.integers import Limits, limits_of
from fdabnn_deploy.frontend.capture.traced_value import CAPTURE_BATCH, Tensor, Value, refuse
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.array_types import Pair
from fdabnn_deploy.ir.expression import Expression, literal
from fdabnn_deploy.ir.graph import Node
from fdabnn_deploy.ir.ops import Op

PASS_THROUGH = frozenset({
    "detach", "clone", "contiguous", "alias", "lift_fresh_copy", "dropout", "feature_dropout", "alpha_dropout",
    "detach_copy",
})  # fmt: skip
"""Functions that return their input in eval mode."""


ROWWISE = frozenset({
    "view", "reshape", "_unsafe_view", "unflatten", "linear", "addmm", "mm", "matmul", "batch_norm",
    "_native_batch_norm_legit_no_training", "prelu", "sign", "sgn", "lt", "le", "gt", "ge", "eq", "ne", "where", "masked_fill", "add",
    "sub", "mul", "div", "true_divide", "maximum", "rsub", "neg", "abs", "square", "relu", "leaky_relu", "hardtanh", "clamp", "relu6",
    "clamp_min", "clamp_max", "round", "hardsigmoid", "hardswish", "to", "_to_copy", "type_as", "float", "logical_not", "bitwise_not",
    "tanh", "sigmoid", "sin", "zeros_like", "ones_like", "full_like",
})  # fmt: skip
"""Functions that compute every row [N rows, C] by itself, as they compute images."""


@dataclass(frozen=True)
class Unfolded:
    """Windows of an image that `F.unfold` has made columns of."""

    image: Tensor
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair


class Lowering:
    """The graph under construction: gives names and adds nodes.

    A tensor [N], one number per image, is [N, 1] in the graph: every operator has channels. Rules see it as [N].

    Attributes:
        nodes: so far.
        stacked: by tensors that were stacked from others, those, and along which dimension.
        images: by sequences [N, C, L] that were made from images of one row, those.
        unfolded: by columns [N, C kh kw, L] that `F.unfold` made, what of.
        unfolded_rows: the same by their transpose [N, L, C kh kw].
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._taken: set[str] = set()
        self._module = ""
        self._source = ""
        self._text = ""
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._constants: dict[Expression, Tensor] = {}
        self._integers: dict[str, Limits | None] = {}
        self._single: set[str] = set()
        self.stacked: dict[str, tuple[list[Tensor], int]] = {}
        self.images: dict[str, Tensor] = {}
        self.unfolded: dict[str, Unfolded] = {}
        self.unfolded_rows: dict[str, Unfolded] = {}

    def at(self, module: str, source: str, text: str = "") -> None:
        """Says which call the nodes added from now on come from: module path, `file:line`, and the statement there."""
        self._module, self._source, self._text = module, source, text

    def input(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Adds a graph input of this per-image shape."""
        return self.add(ops.Input(shape), (), name)

    def add(self, op: Op, inputs: Sequence[Value], kind: str) -> Tensor:
        """Adds a node named `<module path>/<kind>` and returns its tensor; constants among the inputs become nodes.

        Raises:
            GraphError: it cannot be; so tensors [N] beside [N, C], which PyTorch broadcasts along the batch.
        """
        single = isinstance(op, ops.Reshape) and op.shape == ()
        if isinstance(op, ops.Reshape):
            op = ops.Reshape((1,)) if single else op
        elif not isinstance(op, ops.Opaque):
            ranks = {value.name in self._single for value in inputs if isinstance(value, Tensor)}
            if len(ranks) > 1:
                raise ops.GraphError(
                    "one number per image [N] beside a tensor with channels: unsqueeze it first"
                )
            single = True in ranks
        rows = {value.rows for value in inputs if isinstance(value, Tensor)} - {0}
        if isinstance(op, ops.Opaque):
            rows = set()
        if rows:
            inputs = [_for_rows(value) for value in inputs]
        names = [self._operand(value).name for value in inputs]
        module = (
            owner(op.weight, self._module)
            if isinstance(op, ops.TrainedConv2d | ops.TrainedLinear)
            else self._module
        )
        base = f"{module}/{kind}" if module else kind
        name, count = base, 0
        while name in self._taken:
            count += 1
            name = f"{base}_{count}"
        self._taken.add(name)
        shape = op.infer(*(self._shapes[n] for n in names))
        self.nodes.append(Node(name, op, tuple(names), module, self._source, self._text, name))
        self._shapes[name] = shape
        self._integers[name] = limits_of(op, [self._integers[n] for n in names])
        if single:
            if shape != (ops.BATCH, 1):
                raise ops.GraphError("one number per image [N] beside a constant with more of them")
            self._single.add(name)
            return Tensor(name, (CAPTURE_BATCH,))
        if rows:
            (count,) = rows
            return Tensor(name, (CAPTURE_BATCH * count, shape[1]), rows=count)
        return Tensor(name, tuple(CAPTURE_BATCH if d == -1 else d for d in shape))

    def as_rows(self, x: Tensor) -> Tensor:
        """A tensor [N, rows, C] as [N rows, C]."""
        _, rows, channels = x.shape
        x = self.add(ops.Permute((2, 1)), [x], "permute")
        x = self.add(ops.Reshape((channels, rows, 1)), [x], "reshape")
        return Tensor(x.name, (CAPTURE_BATCH * rows, channels), rows=rows)

    def from_rows(self, x: Tensor) -> Tensor:
        """A tensor [N rows, C] as [N, rows, C]."""
        image = Tensor(x.name, (CAPTURE_BATCH, x.shape[1], x.rows, 1))
        x = self.add(ops.Reshape((x.shape[1], x.rows)), [image], "reshape")
        return self.add(ops.Permute((2, 1)), [x], "permute")

    def output(self, tensor: Tensor) -> str:
        """The name of the tensor as the network returns it: [N] without the channel that the graph gives it."""
        if tensor.name not in self._single:
            return tensor.name
        name = f"{tensor.name}/single"
        self.nodes.append(
            Node(name, ops.Reshape(()), (tensor.name,), self._module, self._source, self._text, name)
        )
        return name

    def integers(self, tensor: Tensor) -> Limits | None:
        """The limits of a tensor that is known to hold integers only."""
        return self._integers[tensor.name]

    def limit(self, tensor: Tensor, limits: Limits) -> None:
        """Notes that a tensor holds integers between limits only."""
        self._integers[tensor.name] = limits

    def _operand(self, value: Value) -> Tensor:
        if isinstance(value, Tensor):
            return value
        if value not in self._constants:
            array = collapse_batch(value.value)
            constant = array if array.dtype == np.bool_ else array.astype(np.float32)
            self._constants[value] = self.add(ops.Constant(constant), (), "constant")
        return self._constants[value]


def _for_rows(value: Value) -> Value:
    """An operand of rows [N rows, C], which are an image [N, C, rows, 1]: constants [C] become [C, 1, 1].

    Raises:
        GraphError: a tensor of whole images, or a constant that varies from row to row.
    """
    if isinstance(value, Tensor):
        if not value.rows:
            raise ops.GraphError("rows of images, as view(-1, C) makes, beside whole images")
        return value
    array = collapse_batch(value.value)
    if array.ndim > 1 and array.shape[0] != 1:
        raise ops.GraphError(
            "rows of images, as view(-1, C) makes, beside a constant that varies from row to row"
        )
    return value if array.ndim == 0 else literal(array.reshape(-1, 1, 1))


def owner(weight: Expression, module: str) -> str:
    """The name of a layer: the module that calls it, or, where that module only contains it, the owner of its weight.

    `F.conv2d(x, sign(self.conv1.weight))` in the top module is `conv1`; without this all such layers would be nameless.
    """
    owners = {name.rpartition(".")[0] for name in weight.parameters}
    if len(owners) != 1:
        return module
    (found,) = owners
    if not module and not found:
        return weight.parameters[0] if len(weight.parameters) == 1 else module
    return found if not module or found.startswith(f"{module}.") else module


def collapse_batch(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A constant that was made in the shape of an activation, without the axes along which it does not change.

    One number per channel stays one, however it was expanded, repeated or tiled; uniform constants become scalars.

    Raises:
        GraphError: it differs between the images of a batch.
    """
    if array.size > 1 and np.all(array == array.flat[0]):
        return np.array(array.flat[0])
    for axis in range(array.ndim):
        first = array.take([0], axis)
        if array.shape[axis] > 1 and np.array_equal(np.broadcast_to(first, array.shape), array):
            array = first
    if array.ndim == 4 and array.shape[0] == CAPTURE_BATCH:
        raise ops.GraphError("a constant that differs between the images of a batch")
    return array


def pass_through(node: torch.fx.Node, name: str, args: list[Any]) -> Any:
    """The operand of a function of `PASS_THROUGH`.

    Raises:
        ModelRefusedError: dropout that stays on in eval mode.
    """
    if name.endswith("dropout") and len(args) > 2 and args[2]:
        raise refuse(
            node,
            f"'{name}' is on in eval mode: every call gives other values",
            "give it training=self.training, or use nn.Dropout",
        )
    return args[0]


Rule = Callable[..., Any]
LOWERINGS: dict[str, Rule] = {}


def lowers(*functions: str) -> Callable[[Rule], Rule]:
    """Registers a rule for ATen functions; it gets the lowering, the node and the arguments in schema order."""

    def register(rule: Rule) -> Rule:
        for function in functions:
            LOWERINGS[function] = rule
        return rule

    return register


def as_value(item: Any) -> Value:
    """Numbers among the operands become constants."""
    if isinstance(item, Tensor | Expression):
        return item
    return literal(np.asarray(item, dtype=np.bool_ if isinstance(item, bool) else np.float32))


def times(lowering: Lowering, x: Tensor, factor: Any) -> Tensor:
    """A tensor times a number, or numbers that broadcast against it; the tensor itself where that is 1."""
    if np.all(np.asarray(factor) == 1):
        return x
    return lowering.add(ops.Mul(), [x, literal(np.asarray(factor, np.float32))], "scaled")


def constant_of(node: torch.fx.Node, item: Any, what: str) -> Expression:
    """An operand that has to be constant.

    Raises:
        ModelRefusedError: it is computed from the image.
    """
    if not isinstance(item, Expression):
        raise refuse(
            node,
            f"the {what} is computed from the input",
            "it has to be a parameter, a buffer or computed from those",
        )
    return item
