"""The trained network in float64: its exported program, every float32 of it a float64. Imports PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from fdabnn_deploy.capture.values import CAPTURE_BATCH, function_name
from fdabnn_deploy.ops import FloatArray
from fdabnn_deploy.ops.base import DoubleArray

Seen = Callable[[str, torch.Tensor], None]

_ASSERTIONS = frozenset({"_assert_tensor_metadata", "_assert_async", "sym_constrain_range"})


class DoubleProgram:
    """Runs an exported program in float64.

    Parameters, buffers and constants are those of the trained network, widened; so are the types that the program asks for. What is
    left between this and the network itself is the rounding of float32.

    Args:
        program: as `fdabnn_deploy.capture.capture` makes it, of batches of `CAPTURE_BATCH`.
    """

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        module = program.module()
        assert isinstance(module, torch.fx.GraphModule)
        self._runner = _Doubled(module)

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
        self._runner.seen = seen
        with torch.inference_mode(), torch.backends.nnpack.flags(enabled=False):
            outputs = self._runner.run(batch)
        self._runner.seen = None
        listed = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
        tensors = [output for output in listed if isinstance(output, torch.Tensor)]
        return [np.asarray(output[:count].double().numpy()) for output in tensors]


class _Doubled(torch.fx.Interpreter):
    def __init__(self, module: torch.fx.GraphModule) -> None:
        super().__init__(module)
        self.seen: Seen | None = None
        self._stored: dict[str, torch.Tensor] = {}

    def run_node(self, n: torch.fx.Node) -> Any:
        if n.op == "call_function" and function_name(n.target) in _ASSERTIONS:
            return None
        if n.op == "call_module":
            # The program's checks of its own inputs, which are of float32.
            return None
        if n.op == "get_attr" and n.name in self._stored:
            return self._stored[n.name]
        result = _doubled(super().run_node(n))
        if n.op == "get_attr" and isinstance(result, torch.Tensor):
            self._stored[n.name] = result
        if self.seen is not None and isinstance(result, torch.Tensor):
            self.seen(n.name, result)
        return result

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
