"""The trained network in float64: its exported program, every float32 of it a float64. Imports PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree

from fdabnn_deploy.frontend.capture import Captured
from fdabnn_deploy.frontend.capture.traced_value import CAPTURE_BATCH, function_name
from fdabnn_deploy.ir.array_types import DoubleArray
from fdabnn_deploy.ir.ops import FloatArray

Seen = Callable[[str, torch.Tensor], None]


@dataclass(frozen=True)
class InFloat32:
    """Asks for the same program in float32, as it is written, in step with that in float64.

    So that no error travels, float32 starts anew from the values of some tensors in float64.

    Attributes:
        start: names of nodes; what is computed from them reads their float64 values, rounded.
        seen: told of the float32 value of every node, before `Seen` is told of the float64 one.
    """

    start: Container[str]
    seen: Seen


_ASSERTIONS = frozenset({"_assert_tensor_metadata", "_assert_async", "sym_constrain_range"})


class DoubleProgram:
    """Runs an exported program in float64.

    Parameters, buffers and constants are those of the trained network, widened; so are the types that the program asks for. What is
    left between this and the network itself is the rounding of float32.

    Args:
        captured: the network, with its program of batches of `CAPTURE_BATCH` and the outputs that count.
        in_float32: also compute every tensor in float32.
    """

    def __init__(self, captured: Captured, in_float32: InFloat32 | None = None) -> None:
        module = captured.module
        self._outputs = captured.outputs
        self._runner = _Doubled(module, _names(captured.program, module), in_float32)

    def run(self, images: FloatArray, seen: Seen | None = None) -> list[DoubleArray]:
        """The outputs for up to `CAPTURE_BATCH` inputs [N, ...]; a last one is repeated where there are fewer.

        Args:
            images: the inputs.
            seen: told of every tensor by the name of its node, as soon as it is computed, repeated inputs included.
        """
        batch = torch.from_numpy(np.ascontiguousarray(images)).double()
        count = len(batch)
        if count < CAPTURE_BATCH:
            batch = torch.cat([batch, batch[-1:].expand(CAPTURE_BATCH - count, *batch.shape[1:])])
        self._runner.begin(seen)
        with torch.inference_mode(), torch.backends.nnpack.flags(enabled=False):
            outputs = self._runner.run(batch)
        self._runner.begin(None)
        leaves = _pytree.tree_leaves(outputs)
        return [np.asarray(leaves[position][:count].double().numpy()) for position in self._outputs]


def _names(program: torch.export.ExportedProgram, module: torch.fx.GraphModule) -> dict[str, str]:
    """Per node of the module that PyTorch makes of a program, the name that it has in the program: names of inputs may change."""
    inputs = (name for name in program.graph_signature.user_inputs if isinstance(name, str))
    placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
    names = {node.name: name for node, name in zip(placeholders, inputs, strict=False)}
    written, made = (
        [node for node in graph.nodes if node.op == "call_function"]
        for graph in (program.graph, module.graph)
    )
    # What is made of a program may end with the update of a buffer.
    for a, b in zip(written, made, strict=False):
        assert a.target == b.target, (a, b)
        names[b.name] = a.name
    return names


class _Doubled(torch.fx.Interpreter):
    def __init__(
        self, module: torch.fx.GraphModule, names: dict[str, str], in_float32: InFloat32 | None
    ) -> None:
        super().__init__(module)
        self._names = names
        self._seen: Seen | None = None
        self._in_float32 = in_float32
        self._stored: dict[str, torch.Tensor] = {}
        self._single: dict[torch.fx.Node, Any] = {}

    def begin(self, seen: Seen | None) -> None:
        """Sets whom the next run tells of tensors, and frees what the last one held."""
        self._seen = seen
        self._single.clear()

    def run_node(self, n: torch.fx.Node) -> Any:
        if n.op == "call_function" and function_name(n.target) in _ASSERTIONS:
            return None
        if n.op == "call_module":
            # The program's checks of its own inputs, which are of float32.
            return None
        if self._in_float32 is not None:
            self._run_single(n, self._in_float32)
        result = self._run_double(n)
        name = self._names.get(n.name)
        if name is None or not isinstance(result, torch.Tensor):
            return result
        if self._in_float32 is not None and (n.op == "placeholder" or name in self._in_float32.start):
            self._single[n] = result.float() if result.is_floating_point() else result
        if self._seen is not None:
            self._seen(name, result)
        return result

    def _run_double(self, n: torch.fx.Node) -> Any:
        if n.op == "get_attr" and n.name in self._stored:
            return self._stored[n.name]
        result = _doubled(super().run_node(n))
        if n.op == "get_attr" and isinstance(result, torch.Tensor):
            self._stored[n.name] = result
        return result

    def _run_single(self, n: torch.fx.Node, wanted: InFloat32) -> None:
        """Computes a node as it is written, and forgets what no later node reads."""
        if n.op == "call_function":
            args, kwargs = torch.fx.node.map_arg((n.args, n.kwargs), self._single.__getitem__)
            self._single[n] = self.call_function(n.target, args, kwargs)
        elif n.op == "get_attr":
            stored = self.fetch_attr(str(n.target))
            # The program may write to what it reads.
            self._single[n] = stored.clone() if isinstance(stored, torch.Tensor) else stored
        result = self._single.get(n)
        for read in self.user_to_last_uses.get(n, ()):
            self._single.pop(read, None)
        if isinstance(result, torch.Tensor) and n.name in self._names:
            wanted.seen(self._names[n.name], result)

    def fetch_args_kwargs_from_env(self, n: torch.fx.Node) -> tuple[tuple[Any, ...], dict[str, Any]]:
        args, kwargs = super().fetch_args_kwargs_from_env(n)
        return tuple(_types(item) for item in args), {key: _types(item) for key, item in kwargs.items()}


def _types(item: Any) -> Any:
    narrow = isinstance(item, torch.dtype) and item.is_floating_point
    return torch.float64 if narrow else item


def _doubled(result: Any) -> Any:
    if isinstance(result, list | tuple):
        return type(result)(_doubled(part) for part in result)
    if isinstance(result, torch.Tensor) and result.is_floating_point():
        return result.double()
    return result
