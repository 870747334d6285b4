"""A deployed graph computed with PyTorch operators on the CPU: PyTorch's side of every comparison of exported files.

NNPACK is off, since its Winograd convolution is off by 1e-3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import DEPLOYED, FloatArray, Input, Op
from fdabnn_deploy.ir.ops.base import TorchKernel
from fdabnn_deploy.runtimes.base import Session
from fdabnn_deploy.runtimes.inputs import check_inputs


class TorchGraphSession(Session):
    """A deployed graph on PyTorch, float32, NCHW, in inference mode.

    Args:
        graph: its operators are all in `fdabnn_deploy.ir.ops.DEPLOYED`.
        threads: PyTorch computes with.

    Raises:
        ModelRefusedError: an operator is not a deployed one.
    """

    def __init__(self, graph: Graph, threads: int = 1) -> None:
        self._graph, self._threads = graph, threads
        self._kernels: dict[str, TorchKernel] = {}
        for node in graph:
            if isinstance(node.op, Input):
                continue
            if type(node.op) not in DEPLOYED:
                raise ModelRefusedError(
                    f"{node.name}: the operator {node.op.kind} is not a deployed one: "
                    "the passes that lead to a deployed graph have to replace it"
                )
            self._kernels[node.name] = node.op.torch_kernel(len(graph.shape(node.name)))

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The per-image shape of each input; see `Session`."""
        return tuple(self._graph.shape(name)[1:] for name in self._graph.inputs)

    def run(self, inputs: Sequence[FloatArray]) -> list[FloatArray]:
        """Computes the graph's outputs; see `Session.run`."""
        values = self._compute(self.native_batch(inputs), keep=self._graph.outputs)
        return [_array(values[name]) for name in self._graph.outputs]

    def run_all(self, inputs: Sequence[FloatArray]) -> dict[str, FloatArray]:
        """Computes every tensor of the graph; see `Session.run_all`."""
        values = self._compute(self.native_batch(inputs), keep=[node.name for node in self._graph])
        return {name: _array(value) for name, value in values.items()}

    def native_batch(self, inputs: Sequence[FloatArray]) -> list[Tensor]:
        """The inputs as tensors.

        Raises:
            UsageError: the inputs do not have the graph's shapes.
        """
        check_inputs(inputs, self.input_shapes)
        return [torch.tensor(value) for value in inputs]

    def native_inputs(self, inputs: Sequence[FloatArray]) -> object:
        """One image as tensors; see `Session.native_inputs`."""
        if check_inputs(inputs, self.input_shapes) != 1:
            raise UsageError("latency is measured on one image")
        return self.native_batch(inputs)

    def run_native(self, prepared: object) -> None:
        """One inference; see `Session.run_native`."""
        assert isinstance(prepared, list)
        self._compute(prepared, keep=self._graph.outputs)

    def _compute(self, inputs: Sequence[Tensor], keep: Sequence[str]) -> dict[str, Tensor]:
        """The tensors to keep, by name; every other one is freed behind its last reader."""
        kept = set(keep)
        values = dict(zip(self._graph.inputs, inputs, strict=True))
        waiting = {node.name: len(self._graph.consumers(node.name)) for node in self._graph}
        with torch.inference_mode(), torch.backends.nnpack.flags(enabled=False), _thread_count(self._threads):
            for node in self._graph:
                if isinstance(node.op, Input):
                    continue
                values[node.name] = self._kernels[node.name](*(values[name] for name in node.inputs))
                for name in dict.fromkeys(node.inputs):
                    waiting[name] -= 1
                    if not waiting[name] and name not in kept:
                        del values[name]
        return values


def run_operator(op: Op, inputs: Sequence[FloatArray]) -> FloatArray:
    """One operator on PyTorch, with as many threads as PyTorch has been given.

    Args:
        op: a deployed one.
        inputs: its operands.
    """
    tensors = [torch.from_numpy(np.ascontiguousarray(value)) for value in inputs]
    kernel = op.torch_kernel(len(op.infer(*(value.shape for value in inputs))))
    with torch.inference_mode(), torch.backends.nnpack.flags(enabled=False):
        result: FloatArray = kernel(*tensors).numpy()
    return result


@contextmanager
def _thread_count(threads: int) -> Iterator[None]:
    """PyTorch has one number of threads for the whole process: set it, and put it back."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _array(value: Tensor) -> FloatArray:
    array: FloatArray = value.numpy().copy()
    return array
