"""A deployed graph computed with PyTorch operators on the CPU: PyTorch's side of every comparison of exported files.

NNPACK is off, since its Winograd convolution is off by 1e-3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.ir.computing import compute_tensors
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import DEPLOYED, Array, FloatArray, Input, Op
from fdabnn_deploy.ir.ops.base import TorchKernel
from fdabnn_deploy.runtimes.base import Session
from fdabnn_deploy.runtimes.batches import images_at_once
from fdabnn_deploy.runtimes.inputs import FLOATS, PIXELS, check_inputs


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

    @property
    def input_types(self) -> tuple[np.dtype[Any], ...]:
        """See `Session.input_types`."""
        inputs = [self._graph[name].op for name in self._graph.inputs]
        return tuple(PIXELS if isinstance(op, Input) and op.pixels else FLOATS for op in inputs)

    def run(self, inputs: Sequence[Array]) -> list[FloatArray]:
        """Computes the graph's outputs; see `Session.run`."""
        values = self._compute(self.native_batch(inputs), keep=self._graph.outputs)
        return [_array(values[name]) for name in self._graph.outputs]

    def run_all(self, inputs: Sequence[Array]) -> dict[str, FloatArray]:
        """Computes every tensor of the graph; see `Session.run_all`."""
        return self.run_some(inputs, [node.name for node in self._graph])

    def run_some(self, inputs: Sequence[Array], names: Sequence[str]) -> dict[str, FloatArray]:
        """Computes tensors of the graph by their names; the others are freed on the way."""
        values = self._compute(self.native_batch(inputs), keep=names)
        values = {name: values[name] for name in names}
        return {name: _array(value) for name, value in values.items()}

    def native_batch(self, inputs: Sequence[Array]) -> list[Tensor]:
        """The inputs as tensors.

        Raises:
            UsageError: the inputs do not have the graph's shapes.
        """
        check_inputs(inputs, self.input_shapes, self.input_types)
        return [torch.tensor(value) for value in inputs]

    def native_inputs(self, inputs: Sequence[Array]) -> object:
        """One image as tensors; see `Session.native_inputs`."""
        if check_inputs(inputs, self.input_shapes, self.input_types) != 1:
            raise UsageError("latency is measured on one image")
        return self.native_batch(inputs)

    def run_native(self, prepared: object) -> None:
        """One inference; see `Session.run_native`."""
        assert isinstance(prepared, list)
        self._compute(prepared, keep=self._graph.outputs)

    def _compute(self, inputs: Sequence[Tensor], keep: Sequence[str]) -> dict[str, Tensor]:
        """The tensors to keep, by name; every other one is freed behind its last reader."""
        named = dict(zip(self._graph.inputs, inputs, strict=True))
        with torch.inference_mode(), torch.backends.nnpack.flags(enabled=False), _thread_count(self._threads):
            return compute_tensors(
                self._graph, named, lambda node, operands: self._kernels[node.name](*operands), keep
            )


def run_operator(op: Op, inputs: Sequence[Array]) -> FloatArray:
    """One operator on PyTorch, with as many threads as PyTorch has been given.

    Args:
        op: a deployed one.
        inputs: its operands.
    """
    shape = op.infer(*(value.shape for value in inputs))
    kernel = op.torch_kernel(len(shape))
    result = np.empty(shape, np.float32)
    # A piece at a time, because some kernels need many times the memory of their result.
    step = images_at_once(shape[1:])
    with torch.inference_mode(), torch.backends.nnpack.flags(enabled=False):
        for start in range(0, shape[0], step):
            piece = slice(start, start + step)
            result[piece] = kernel(*(_piece(value, piece, shape[0]) for value in inputs)).numpy()
    return result


def _piece(value: Array, piece: slice, count: int) -> Tensor:
    batched = len(value) == count
    return torch.from_numpy(np.ascontiguousarray(value[piece] if batched else value))


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
