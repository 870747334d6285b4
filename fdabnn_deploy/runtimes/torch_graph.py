"""A deployed graph computed with PyTorch operators on the CPU: PyTorch's side of every comparison of exported files.

NNPACK is off, since its Winograd convolution is off by 1e-3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import (
    Add,
    Affine,
    AvgPool2d,
    BinaryConv2d,
    BinaryLinear,
    Clamp,
    Concat,
    Conv2d,
    FloatArray,
    GlobalAvgPool,
    GlobalSum,
    Input,
    Linear,
    Maximum,
    MaxPool2d,
    Mul,
    Op,
    Pad,
    Permute,
    PRelu,
    Relu,
    Reshape,
    RoundToGrid,
    Saturate,
    Sign,
    Slice,
    Softmax,
    Sub,
)
from fdabnn_deploy.runtimes.base import Session
from fdabnn_deploy.runtimes.inputs import check_inputs

Kernel = Callable[..., Tensor]


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
        self._kernels: dict[str, Kernel] = {}
        for node in graph:
            if isinstance(node.op, Input):
                continue
            prepare = KERNELS.get(type(node.op))
            if prepare is None:
                raise ModelRefusedError(
                    f"{node.name}: the operator {node.op.kind} is not a deployed one: "
                    "the passes that lead to a deployed graph have to replace it"
                )
            self._kernels[node.name] = prepare(node.op, len(graph.shape(node.name)))

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
        op: one of `KERNELS`.
        inputs: its operands.
    """
    tensors = [torch.from_numpy(np.ascontiguousarray(value)) for value in inputs]
    kernel = KERNELS[type(op)](op, len(op.infer(*(value.shape for value in inputs))))
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


def _tensor(value: NDArray[Any], shape: tuple[int, ...] | None = None) -> Tensor:
    return torch.tensor(value if shape is None else value.reshape(shape), dtype=torch.float32)


def _channels(value: NDArray[Any], rank: int) -> Tensor:
    """[C] -> [1, C, 1, ...]; a scalar stays one."""
    return _tensor(value, () if value.ndim == 0 else (1, -1, *(1,) * (rank - 2)))


def _sign(op: Sign, rank: int) -> Kernel:
    minus, plus = torch.tensor(-1.0), torch.tensor(1.0)
    return lambda x: torch.where(x < 0, minus, plus)


def _binary_conv2d(op: BinaryConv2d, rank: int) -> Kernel:
    weight, (vertical, horizontal) = _tensor(op.weight), op.padding
    if op.padding_value == 0:
        return lambda x: F.conv2d(x, weight, None, op.stride, op.padding, op.dilation, op.groups)

    def padded_with_one(x: Tensor) -> Tensor:
        x = F.pad(x, (horizontal, horizontal, vertical, vertical), value=1.0)
        return F.conv2d(x, weight, None, op.stride, 0, op.dilation, op.groups)

    return padded_with_one


def _binary_linear(op: BinaryLinear, rank: int) -> Kernel:
    weight = _tensor(op.weight)
    return lambda x: F.linear(x, weight)


def _conv2d(op: Conv2d, rank: int) -> Kernel:
    weight, bias = _tensor(op.weight), None if op.bias is None else _tensor(op.bias)
    return lambda x: F.conv2d(x, weight, bias, op.stride, op.padding, op.dilation, op.groups)


def _linear(op: Linear, rank: int) -> Kernel:
    weight, bias = _tensor(op.weight), None if op.bias is None else _tensor(op.bias)
    return lambda x: F.linear(x, weight, bias)


def _affine(op: Affine, rank: int) -> Kernel:
    scale, offset = _channels(op.scale32, rank), _channels(op.offset32, rank)

    def affine(x: Tensor) -> Tensor:
        if op.has_scale:
            x = x * scale
        return x + offset if op.has_offset else x

    return affine


def _prelu(op: PRelu, rank: int) -> Kernel:
    slope = _channels(op.slope, rank)
    return lambda x: torch.where(x > 0, x, x * slope)


def _relu(op: Relu, rank: int) -> Kernel:
    return F.relu


def _clamp(op: Clamp, rank: int) -> Kernel:
    low, high = torch.tensor(op.low, dtype=torch.float32), torch.tensor(op.high, dtype=torch.float32)
    return lambda x: torch.clamp(x, low, high)


def _saturate(op: Saturate, rank: int) -> Kernel:
    low, high = torch.tensor(op.low, dtype=torch.float32), torch.tensor(op.high, dtype=torch.float32)

    def saturate(x: Tensor) -> Tensor:
        below = torch.where(x < high, x, high)
        return torch.where(below > low, below, low)

    return saturate


def _round_to_grid(op: RoundToGrid, rank: int) -> Kernel:
    units, step = torch.tensor(op.units), torch.tensor(op.step)
    return lambda x: torch.round(x * units) * step


def _softmax(op: Softmax, rank: int) -> Kernel:
    function = F.log_softmax if op.log else F.softmax
    return lambda x: function(x, dim=1)


def _max_pool2d(op: MaxPool2d, rank: int) -> Kernel:
    return lambda x: F.max_pool2d(x, op.kernel, op.stride, op.padding, ceil_mode=op.ceil_mode)


def _avg_pool2d(op: AvgPool2d, rank: int) -> Kernel:
    return lambda x: F.avg_pool2d(x, op.kernel, op.stride, op.padding, count_include_pad=op.count_include_pad)


def _global_avg_pool(op: GlobalAvgPool, rank: int) -> Kernel:
    return lambda x: x.mean(dim=(2, 3), keepdim=op.keepdims)


def _global_sum(op: GlobalSum, rank: int) -> Kernel:
    return lambda x: x.sum(dim=(2, 3), keepdim=op.keepdims)


def _pad(op: Pad, rank: int) -> Kernel:
    # PyTorch counts dimensions from the last.
    pads = [amount for pair in reversed(op.pads) for amount in pair]
    return lambda x: F.pad(x, pads, value=op.value)


def _slice(op: Slice, rank: int) -> Kernel:
    index = (slice(None), *(slice(*bounds) for bounds in op.ranges))
    return lambda x: x[index]


def _concat(op: Concat, rank: int) -> Kernel:
    return lambda *x: torch.cat(x, dim=1)


def _reshape(op: Reshape, rank: int) -> Kernel:
    return lambda x: x.reshape(len(x), *op.shape)


def _permute(op: Permute, rank: int) -> Kernel:
    return lambda x: x.permute(0, *op.order)


KERNELS: dict[type[Op], Callable[[Any, int], Kernel]] = {
    Sign: _sign,
    BinaryConv2d: _binary_conv2d,
    BinaryLinear: _binary_linear,
    Conv2d: _conv2d,
    Linear: _linear,
    Affine: _affine,
    PRelu: _prelu,
    Relu: _relu,
    Clamp: _clamp,
    Saturate: _saturate,
    RoundToGrid: _round_to_grid,
    Add: lambda op, rank: torch.add,
    Sub: lambda op, rank: torch.sub,
    Mul: lambda op, rank: torch.mul,
    Maximum: lambda op, rank: torch.maximum,
    Softmax: _softmax,
    MaxPool2d: _max_pool2d,
    AvgPool2d: _avg_pool2d,
    GlobalAvgPool: _global_avg_pool,
    GlobalSum: _global_sum,
    Pad: _pad,
    Slice: _slice,
    Concat: _concat,
    Reshape: _reshape,
    Permute: _permute,
}
"""Per operator, what prepares its kernel from its parameters and the rank of its result."""
