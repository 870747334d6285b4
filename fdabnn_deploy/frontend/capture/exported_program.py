"""Tracing a module and walking the exported program, node by node, into a graph."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend.capture import lower  # noqa: F401 (it registers the rules)
from fdabnn_deploy.frontend.capture.final_softmax import final_softmax, leave_out_softmax
from fdabnn_deploy.frontend.capture.integers import check_type
from fdabnn_deploy.frontend.capture.lower.stacks import computed_by_parts
from fdabnn_deploy.frontend.capture.lowering import LOWERINGS, PASS_THROUGH, ROWWISE, Lowering, pass_through
from fdabnn_deploy.frontend.capture.state import refuse_state
from fdabnn_deploy.frontend.capture.trace import Traced, trace
from fdabnn_deploy.frontend.capture.traced_value import (
    CAPTURE_BATCH,
    Stack,
    Tensor,
    arguments,
    function_name,
    is_random,
    module_path,
    refuse,
    refuse_random,
    source_line,
    source_text,
)
from fdabnn_deploy.frontend.capture.trained_layers import TrainedLayer, trained_layers
from fdabnn_deploy.frontend.lint.remedies import remedy_for
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.expression import Expression, literal
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.system.memory import check_memory


@dataclass(frozen=True)
class Captured:
    """A captured module.

    Attributes:
        graph: what it computes, in captured operators.
        layers: every convolution and dense layer. Which of them are binary is counted here, from the signs in the code, before and
            independently of any recognition.
        program: the exported program, to run the module's own arithmetic.
        outputs: which of the module's outputs the graph has: positions among all that stand in its tuples, lists and dicts.
        notes: what was left out, one sentence each.
        calls: by tensor of the graph, the name of the program's node that makes it.
        without_softmax: whether a final softmax was left out.
    """

    graph: Graph
    layers: tuple[TrainedLayer, ...]
    program: torch.export.ExportedProgram
    outputs: tuple[int, ...] = (0,)
    notes: tuple[str, ...] = ()
    calls: Mapping[str, str] = field(default_factory=dict)
    without_softmax: bool = False

    @cached_property
    def module(self) -> torch.fx.GraphModule:
        """The program as a module, on the program's own tensors; PyTorch takes seconds to make it."""
        made = self.program.module()
        assert isinstance(made, torch.fx.GraphModule)
        return made


def capture(
    module: torch.nn.Module, input_shape: Sequence[int], *, without_softmax: bool = False
) -> Captured:
    """Captures an eval-mode module; what no output depends on is left out.

    Args:
        module: on the CPU, float32, in eval mode.
        input_shape: of one image, such as (3, 32, 32).
        without_softmax: leave out a softmax or log-softmax that the module ends with; the module is changed, and returns its scores.

    Raises:
        ModelRefusedError: the module cannot be traced, computes something else at every call, or has no output that depends on its input.
            Operators that cannot be deployed become `Opaque`: `fdabnn_deploy.transforms.deploy` lists them all.
    """
    traced = trace(module, tuple(input_shape))
    ends = final_softmax(traced.outputs) if without_softmax else {}
    if ends:
        leave_out_softmax(module)
        captured = capture(module, input_shape)
        names = list(dict.fromkeys(ends.values()))
        words = "was left out: it keeps" if len(names) == 1 else "were left out: they keep"
        note = f"the final {' and '.join(names)} {words} the order of the scores"
        return replace(captured, notes=(*captured.notes, note), without_softmax=True)
    program = traced.program
    live = _live(traced)
    refuse_state(program, live, tuple(input_shape))
    tensors: dict[str, torch.Tensor] = {**dict(program.state_dict), **dict(program.constants)}
    signature = program.graph_signature
    stored = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    lowering = Lowering()
    values: dict[torch.fx.Node, Any] = {}
    waiting = {node: set(node.users) for node in program.graph.nodes}
    for node in program.graph.nodes:
        if node.op == "placeholder":
            if node.name in stored:
                label = stored[node.name]
                tensor = tensors[label] if label in tensors else dict(module.named_buffers())[label]
                values[node] = Expression("parameter", (), tensor.detach().numpy(), label)
            else:
                values[node] = lowering.input("input", tuple(input_shape))
        elif node in live:
            if node.op != "call_function":
                raise refuse(node, f"'{node.op}' node", "only plain tensor code can be captured")
            values[node] = _call(lowering, node, values)
        for source in node.all_input_nodes if node.op != "output" else ():
            waiting[source].discard(node)
            # Constants that only noise modules make may be as large as all weights together.
            if not waiting[source] and isinstance(values.get(source), Expression):
                del values[source]
    kept, notes = _outputs(traced, values)
    # One tensor may be returned more than once.
    named = {node: lowering.output(values[node]) for node in dict.fromkeys(traced.outputs[p] for p in kept)}
    graph = Graph(lowering.nodes, [named[traced.outputs[position]] for position in kept])
    calls: dict[str, str] = {}
    for node, value in values.items():
        # Rows lie in another order in the program.
        if isinstance(value, Tensor) and not value.rows:
            calls.setdefault(value.name, node.name)
    return Captured(graph, trained_layers(graph), program, kept, notes, calls)


def _live(traced: Traced) -> set[torch.fx.Node]:
    """The nodes that an output of the module depends on."""
    live: set[torch.fx.Node] = set()
    stack = [output for output in traced.outputs if isinstance(output, torch.fx.Node)]
    while stack:
        node = stack.pop()
        if node not in live:
            live.add(node)
            stack.extend(node.all_input_nodes)
    return live


def _outputs(traced: Traced, values: dict[torch.fx.Node, Any]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The positions of the outputs that depend on the input, and a note on each of the others.

    Raises:
        ModelRefusedError: there is none.
    """
    kept: list[int] = []
    notes: list[str] = []
    for position, output in enumerate(traced.outputs):
        if isinstance(output, torch.fx.Node) and isinstance(values[output], Stack):
            raise refuse(
                output, "an output is stacked in front of the batch", "return the tensors themselves"
            )
        if isinstance(output, torch.fx.Node) and isinstance(values[output], Tensor):
            if values[output].rows:
                raise refuse(
                    output, "an output has rows of several images", "reshape it to (x.shape[0], ...)"
                )
            kept.append(position)
            continue
        what = "does not depend on the input" if isinstance(output, torch.fx.Node) else f"is {output!r:.40}"
        notes.append(f"output {position + 1} of {len(traced.outputs)} {what} and was left out")
    if not kept:
        raise ModelRefusedError(
            "no output of the model depends on its input"
            + (f" ({'; '.join(notes)})" if notes else "")
            + ": forward() has to return the logits"
        )
    return tuple(kept), tuple(notes)


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
        if index >= len(container):
            raise refuse(node, "the positions of largest values are not supported", "use the values alone")
        return container[index]
    name = function_name(node.target)
    if name in ("_assert_tensor_metadata", "_assert_async", "sym_constrain_range"):
        return None
    args = [resolve(a) for a in arguments(node)]
    if not _activations(args):
        if is_random(node) and name not in PASS_THROUGH:
            raise refuse_random(node, name)
        return _constant(name, node, args, values)
    if any(tensor.refused for tensor in _tensors(args)):
        # Its shape is none that an operator here has; what reads it has the same fault, and no other that is known.
        known = name in LOWERINGS or name in PASS_THROUGH
        return _opaque(lowering, node, name, values, None if known else _unsupported(node, name))
    lowering.at(module_path(node), source_line(node), source_text(node))
    try:
        return _lowered(lowering, node, name, args)
    except ops.GraphError as error:
        refusal = refuse(node, f"operator '{name}': {error}", "this use of it is not supported")
    except ModelRefusedError as error:
        refusal = error
    return _opaque(lowering, node, name, values, refusal)


def _lowered(lowering: Lowering, node: torch.fx.Node, name: str, args: list[Any]) -> Any:
    """A call on activations as the nodes that its rule makes of it.

    Raises:
        ModelRefusedError: there is no rule, or not for this use.
        GraphError: so does an operator of the graph.
    """
    if any(isinstance(arg, Stack) for arg in args):
        return computed_by_parts(lowering, node, name, args)
    if name in PASS_THROUGH:
        return pass_through(node, name, args)
    rule = LOWERINGS.get(name)
    if rule is None:
        raise refuse_random(node, name) if is_random(node) else _unsupported(node, name)
    if name not in ROWWISE and any(tensor.rows for tensor in _tensors(args)):
        raise refuse(
            node,
            f"operator '{name}' on rows of several images, as view(-1, C) makes,",
            "reshape them to (x.shape[0], ...) first, each image by itself",
        )
    return _checked(lowering, node, rule(lowering, node, *args))


def _unsupported(node: torch.fx.Node, name: str) -> ModelRefusedError:
    return refuse(node, f"operator '{name}' is not supported", remedy_for(name))


def _checked(lowering: Lowering, node: torch.fx.Node, result: Any) -> Any:
    """The result of a rule, if it has the type and shape that PyTorch's has.

    Raises:
        GraphError: it has not.
    """
    expected = node.meta.get("val")
    if isinstance(result, Tensor) and isinstance(expected, torch.Tensor):
        check_type(expected.dtype, lowering.integers(result))
        shape = tuple(int(size) for size in expected.shape)
        if result.shape != shape:
            raise ops.GraphError(f"expanding an activation from {result.shape} to {shape}")
    return result


def _opaque(
    lowering: Lowering,
    node: torch.fx.Node,
    name: str,
    values: dict[torch.fx.Node, Any],
    refusal: ModelRefusedError | None,
) -> Any:
    """A node that only PyTorch can compute: allowed where later passes drop it, such as inside a noise module.

    Args:
        lowering: that it is added to.
        node: in the program.
        name: of its function.
        values: of the nodes before.
        refusal: why it cannot be deployed; None where what it reads says that already.

    Raises:
        ModelRefusedError: the refusal itself, where the result is no tensor.
    """
    result = node.meta.get("val")
    several = isinstance(result, list | tuple)
    listed = list(result) if isinstance(result, list | tuple) else [result]
    results = [one for one in listed if isinstance(one, torch.Tensor)]
    if len(results) < len(listed):
        raise refusal or refuse(
            node, f"operator '{name}' gives no tensor", "take it out of the exported module"
        )
    sources = [source for source in node.all_input_nodes if _activations(values[source])]
    known = {source: values[source] for source in node.all_input_nodes if source not in sources}
    lowering.at(module_path(node), source_line(node), source_text(node))
    text = "" if refusal is None else str(refusal)
    made: list[Tensor] = []
    for position, one in enumerate(results):
        batched = bool(one.dim()) and one.shape[0] == CAPTURE_BATCH
        shape = tuple(int(d) for d in one.shape)
        compute = _computing(node, sources, known, position if several else None)
        op = ops.Opaque(
            name, (ops.BATCH, *shape[1:]) if batched else shape, compute, text if position == 0 else ""
        )
        inputs = [tensor for source in sources for tensor in _tensors(values[source])]
        tensor = lowering.add(op, inputs, name)
        made.append(replace(tensor, shape=shape, refused=len(shape) < 2 or not batched or several))
    return made if several else made[0]


def _computing(
    node: torch.fx.Node, sources: list[torch.fx.Node], known: dict[torch.fx.Node, Any], position: int | None
) -> Callable[..., np.ndarray[Any, Any]]:
    """The function that computes a node from the arrays of its sources, by PyTorch itself; `position` picks one of several results."""

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
            result = node.target(*args, **kwargs)
        return np.asarray((result if position is None else result[position]).numpy())

    return compute


def _tensors(items: Any) -> list[Tensor]:
    """The activations among arguments."""
    if isinstance(items, list | tuple):
        return [tensor for item in items for tensor in _tensors(item)]
    if isinstance(items, Stack):
        return list(items.parts)
    return [items] if isinstance(items, Tensor) else []


def _check_constant(node: torch.fx.Node, name: str) -> None:
    """Refuses a constant that does not fit into memory, such as one that was expanded.

    Raises:
        ModelRefusedError: it does not.
    """
    result = node.meta.get("val")
    for one in result if isinstance(result, list | tuple) else [result]:
        if isinstance(one, torch.Tensor):
            size = one.numel() * max(one.element_size(), 8)
            what = f"the constant {list(one.shape)} that operator '{name}' makes in module '{module_path(node) or 'the model itself'}'"
            check_memory(size, what, "let the next operation broadcast it", ModelRefusedError)


def _activations(items: Any) -> bool:
    return bool(_tensors(items))


def _constant(name: str, node: torch.fx.Node, args: list[Any], values: dict[torch.fx.Node, Any]) -> Any:
    """Evaluates a call without activations by PyTorch itself and remembers the expression."""
    # Constants share memory with what they were made from, and with the module: a function that writes gets a copy.
    writes = bool(getattr(getattr(node.target, "_schema", None), "is_mutable", True))

    def tensor(item: Any) -> Any:
        if isinstance(item, torch.fx.Node):
            value = values[item]
            if not isinstance(value, Expression):
                return value
            return torch.from_numpy(np.array(value.value) if writes else value.value)
        if isinstance(item, list | tuple):
            return type(item)(tensor(i) for i in item)
        return item

    assert callable(node.target)
    _check_constant(node, name)
    try:
        with torch.no_grad():
            result = node.target(*tensor(node.args), **{k: tensor(v) for k, v in node.kwargs.items()})
    except (RuntimeError, TypeError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise refuse(node, f"operator '{name}' on constants fails: {reason}", remedy_for(name)) from error
    if isinstance(result, list | tuple):
        return [literal(r.numpy()) for r in result]
    if not isinstance(result, torch.Tensor):
        return result
    value = result.numpy()
    if name in PASS_THROUGH and isinstance(args[0], Expression) and args[0].value.shape == value.shape:
        return args[0]
    return Expression(name, tuple(args), value)
