"""Tracing a module and walking the exported program, node by node, into a graph."""

from __future__ import annotations

import logging
import operator
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fdabnn_deploy.capture import lower_layers, lower_pointwise, lower_shape  # noqa: F401 (they register their rules)
from fdabnn_deploy.capture.lowering import LOWERINGS, PASS_THROUGH, Lowering
from fdabnn_deploy.capture.values import (
    CAPTURE_BATCH,
    Tensor,
    Value,
    arguments,
    function_name,
    module_path,
    refuse,
    source_line,
)
from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.expression import Expression, literal
from fdabnn_deploy.graph import Graph
from fdabnn_deploy.ops import (
    BATCH,
    Add,
    Clamp,
    Compare,
    Concat,
    Div,
    GraphError,
    LogicalNot,
    MaxPool2d,
    Mul,
    Opaque,
    Pad,
    Permute,
    Reshape,
    Slice,
    Sub,
    ToFloat,
    TorchSign,
    TrainedConv2d,
    TrainedLinear,
    Unary,
    Where,
)


@dataclass(frozen=True)
class TrainedLayer:
    """A convolution or dense layer of the captured module.

    Attributes:
        node: its name in the captured graph.
        module: the path of its module.
        kind: `conv2d` or `linear`.
        weight_shape: of its weight.
        signed_input: whether a sign takes part in making its input.
        signed_weight: whether a sign takes part in making its weight.
    """

    node: str
    module: str
    kind: str
    weight_shape: tuple[int, ...]
    signed_input: bool
    signed_weight: bool

    @property
    def expected_binary(self) -> bool:
        """Whether the module means this layer to be 1-bit: both sides pass a sign."""
        return self.signed_input and self.signed_weight


@dataclass(frozen=True)
class Captured:
    """A captured module.

    Attributes:
        graph: what it computes, in captured operators.
        layers: every convolution and dense layer. Which of them are binary is counted here, from the signs in the code, before and
            independently of any recognition.
        program: the exported program, to run the module's own arithmetic.
    """

    graph: Graph
    layers: tuple[TrainedLayer, ...]
    program: torch.export.ExportedProgram


def capture(module: torch.nn.Module, input_shape: Sequence[int]) -> Captured:
    """Captures an eval-mode module.

    Args:
        module: on the CPU, float32, in eval mode.
        input_shape: of one picture, such as (3, 32, 32).

    Raises:
        ModelRefusedError: the module cannot be traced, or uses an operator that cannot be deployed; the message names the operator, its
            module path and its source line.
    """
    program = _trace(module, tuple(input_shape))
    tensors: dict[str, torch.Tensor] = {**dict(program.state_dict), **dict(program.constants)}
    signature = program.graph_signature
    stored = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    lowering = Lowering()
    values: dict[torch.fx.Node, Any] = {}
    outputs: list[Value] = []
    for node in program.graph.nodes:
        if node.op == "placeholder":
            if node.name in stored:
                label = stored[node.name]
                tensor = tensors[label] if label in tensors else dict(module.named_buffers())[label]
                values[node] = Expression("parameter", (), tensor.detach().numpy(), label)
            else:
                values[node] = lowering.input("input", tuple(input_shape))
        elif node.op == "call_function":
            values[node] = _call(lowering, node, values)
        elif node.op == "output":
            outputs = _outputs(node, values)
        else:
            raise refuse(node, f"'{node.op}' node", "only plain tensor code can be captured")
    if any(not isinstance(value, Tensor) for value in outputs):
        raise ModelRefusedError("an output of the model does not depend on its input; return the logits only")
    graph = Graph(lowering.nodes, [value.name for value in outputs if isinstance(value, Tensor)])
    return Captured(graph, _layers(graph), program)


def _trace(module: torch.nn.Module, input_shape: tuple[int, ...]) -> torch.export.ExportedProgram:
    training = next((name for name, child in module.named_modules() if child.training), None)
    if training is not None:
        raise ModelRefusedError(
            f"module '{training or 'model'}' is in training mode; call model.eval() first"
        )
    example = torch.zeros(CAPTURE_BATCH, *input_shape)
    with _quiet():
        try:
            with torch.no_grad():
                program = torch.export.export(module, (example,), strict=False)
            if any(
                isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable
                for node in program.graph.nodes
            ):
                program = program.run_decompositions({})
        except Exception as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ModelRefusedError(
                f"the model cannot be traced on an input of shape {tuple(example.shape)}: {reason}; forward() has to be plain tensor code, "
                "without branches on tensor values (run with --debug for the whole message)"
            ) from error
    return program


@contextmanager
def _quiet() -> Iterator[None]:
    """Tracing warns and logs about its own inner workings; what matters arrives as an exception."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _outputs(node: torch.fx.Node, values: dict[torch.fx.Node, Any]) -> list[Value]:
    returned = node.args[0]
    assert isinstance(returned, tuple | list)
    return [values[item] if isinstance(item, torch.fx.Node) else literal(np.zeros(())) for item in returned]


def _call(lowering: Lowering, node: torch.fx.Node, values: dict[torch.fx.Node, Any]) -> Any:
    """One call of the program: computed at once where it is constant, lowered otherwise."""

    def resolve(item: Any) -> Any:
        if isinstance(item, torch.fx.Node):
            return values[item]
        if isinstance(item, list | tuple):
            return type(item)(resolve(i) for i in item)
        return item

    if node.target is operator.getitem:
        container, index = resolve(node.args[0]), node.args[1]
        assert isinstance(container, list | tuple)
        assert isinstance(index, int)
        return container[index]
    name = function_name(node.target)
    if name in ("_assert_tensor_metadata", "_assert_async", "sym_constrain_range"):
        return None
    args = [resolve(a) for a in arguments(node)]
    if not _activations(args):
        return _constant(name, node, args, values)
    if name in PASS_THROUGH:
        return args[0]
    rule = LOWERINGS.get(name)
    lowering.at(module_path(node), source_line(node))
    try:
        if rule is None:
            raise refuse(
                node,
                f"operator '{name}' is not supported",
                "replace it, or move it out of the exported module",
            )
        return rule(lowering, node, *args)
    except GraphError as error:
        refusal = refuse(node, f"operator '{name}': {error}", "this use of it is not supported")
    except ModelRefusedError as error:
        refusal = error
    return _opaque(lowering, node, name, values, refusal)


def _opaque(
    lowering: Lowering,
    node: torch.fx.Node,
    name: str,
    values: dict[torch.fx.Node, Any],
    refusal: ModelRefusedError,
) -> Tensor:
    """A node that only PyTorch can compute: allowed where later passes drop it, such as inside a noise module.

    Raises:
        ModelRefusedError: the refusal itself, where the result is not one float tensor with the batch first.
    """
    result = node.meta.get("val")
    if not isinstance(result, torch.Tensor) or not result.dim() or result.shape[0] != CAPTURE_BATCH:
        raise refusal
    sources = [source for source in node.all_input_nodes if isinstance(values[source], Tensor)]
    known = {source: values[source] for source in node.all_input_nodes if source not in sources}

    def compute(*arrays: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        given: dict[torch.fx.Node, Any] = {
            s: torch.from_numpy(np.array(a)) for s, a in zip(sources, arrays, strict=True)
        }
        given |= {
            s: torch.from_numpy(np.array(v.value)) if isinstance(v, Expression) else v
            for s, v in known.items()
        }
        args = torch.fx.node.map_arg(node.args, lambda source: given[source])
        kwargs = torch.fx.node.map_arg(node.kwargs, lambda source: given[source])
        assert callable(node.target)
        with torch.no_grad():
            return np.asarray(node.target(*args, **kwargs).numpy())

    shape = (BATCH, *(int(d) for d in result.shape[1:]))
    return lowering.add(Opaque(name, shape, compute, str(refusal)), [values[s] for s in sources], name)


def _activations(items: Any) -> bool:
    if isinstance(items, list | tuple):
        return any(_activations(i) for i in items)
    return isinstance(items, Tensor)


def _constant(name: str, node: torch.fx.Node, args: list[Any], values: dict[torch.fx.Node, Any]) -> Any:
    """Evaluates a call without activations by PyTorch itself and remembers the expression."""

    def tensor(item: Any) -> Any:
        if isinstance(item, torch.fx.Node):
            value = values[item]
            return torch.from_numpy(np.array(value.value)) if isinstance(value, Expression) else value
        if isinstance(item, list | tuple):
            return type(item)(tensor(i) for i in item)
        return item

    assert callable(node.target)
    with torch.no_grad():
        result = node.target(*tensor(node.args), **{k: tensor(v) for k, v in node.kwargs.items()})
    if isinstance(result, list | tuple):
        return [literal(np.array(r.numpy())) for r in result]
    if not isinstance(result, torch.Tensor):
        return result
    value = np.array(result.numpy())
    if name in PASS_THROUGH and isinstance(args[0], Expression) and args[0].value.shape == value.shape:
        return args[0]
    return Expression(name, tuple(args), value)


_SIGN_CARRIERS = (
    Reshape, Permute, Pad, Slice, Concat, MaxPool2d, Add, Sub, Mul, Div, Where, ToFloat, Compare, LogicalNot, Clamp,
)  # fmt: skip


def _layers(graph: Graph) -> tuple[TrainedLayer, ...]:
    """Every conv and dense layer, with where signs take part. `Unary` carries a sign only as negation."""
    signed: dict[str, bool] = {}
    layers: list[TrainedLayer] = []
    for node in graph:
        op = node.op
        if isinstance(op, TorchSign | Compare):
            signed[node.name] = True
        elif isinstance(op, _SIGN_CARRIERS) or (isinstance(op, Unary) and op.function == "neg"):
            signed[node.name] = any(signed[name] for name in node.inputs)
        else:
            signed[node.name] = False
        if isinstance(op, TrainedConv2d | TrainedLinear):
            layers.append(
                TrainedLayer(
                    node=node.name,
                    module=node.module,
                    kind="conv2d" if isinstance(op, TrainedConv2d) else "linear",
                    weight_shape=op.weight.value.shape,
                    signed_input=signed[node.inputs[0]],
                    signed_weight=op.weight.binarised,
                )
            )
    return tuple(layers)
