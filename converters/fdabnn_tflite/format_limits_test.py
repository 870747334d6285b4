from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Op
from fdabnn_tflite import format_limits
from fdabnn_tflite.format_limits import check_count, check_graph

TOO_LARGE = 2**31


def chain(shape: tuple[int, ...], *operators: Op) -> Graph:
    nodes = [Node("x", ops.Input(shape))]
    for i, op in enumerate(operators):
        nodes.append(Node(f"y{i}", op, (nodes[-1].name,), f"layer{i}"))
    return Graph(nodes, [nodes[-1].name])


def zeros(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """However large, these zeros are four bytes of memory."""
    return np.broadcast_to(np.float32(0), shape)


def signs(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    return np.ones(shape, np.int8)


def test_a_graph_within_the_limits_passes() -> None:
    check_graph(chain((4, 8, 8), ops.Conv2d(zeros(2, 4, 3, 3)), ops.Relu()), batch=None)
    check_graph(chain((2**31 - 1,), ops.Relu()), batch=1)


@pytest.mark.parametrize(
    ("operator", "what"),
    [
        (ops.Conv2d(zeros(2, 4, 1, 1), stride=(1, TOO_LARGE)), "stride"),
        (ops.MaxPool2d((1, 1), (TOO_LARGE, 1)), "stride"),
        (ops.BinaryConv2d(signs(2, 4, 1, 1), dilation=(TOO_LARGE, 1)), "dilation"),
        (ops.Pad(((0, 0), (TOO_LARGE, 0), (0, 0))), "pads"),
    ],
)
def test_a_number_beyond_int32_is_named(operator: Op, what: str) -> None:
    with pytest.raises(
        ModelRefusedError, match=rf"y0 \({operator.kind} in layer0\): its {what} {TOO_LARGE}.*int32"
    ):
        check_graph(chain((4, 8, 8), operator), batch=1)


@pytest.mark.parametrize(
    ("shape", "batch", "stored"),
    [((4, 8, 8), TOO_LARGE, f"{TOO_LARGE}x4x8x8"), ((2**20, 2**10, 2), 1, "1x1048576x1024x2")],
    ids=["batch", "values"],
)
def test_a_tensor_whose_values_int32_cannot_count_is_named(
    shape: tuple[int, ...], batch: int, stored: str
) -> None:
    with pytest.raises(ModelRefusedError, match=rf"x \(Input\): a tensor of {stored} .*smaller --batch"):
        check_graph(chain(shape, ops.Relu()), batch)


def test_a_tensor_of_more_axes_than_kernels_take_is_named() -> None:
    check_graph(chain((128,), ops.Reshape((2,) * 7)), batch=1)
    with pytest.raises(ModelRefusedError, match=r"y0 \(Reshape in layer0\): .*1x2x2x.* has 9 axes"):
        check_graph(chain((256,), ops.Reshape((2,) * 8)), batch=1)


def test_weights_above_2_gib_are_refused_before_they_are_copied() -> None:
    graph = chain((2**14,), ops.Linear(zeros(2**16, 2**14)))
    with pytest.raises(ModelRefusedError, match=r"y0 \(Linear in layer0\): .* 4294967296 bytes"):
        check_graph(graph, batch=1)


def test_weights_are_summed_and_shared_ones_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(format_limits, "FILE_BYTES", 1000)
    weight = np.zeros((10, 10), np.float32)
    check_graph(chain((10,), *[ops.Linear(weight)] * 3), batch=1)
    with pytest.raises(ModelRefusedError, match=r"y2 \(Linear in layer2\): .* 1200 bytes, .* at most 1000"):
        check_graph(chain((10,), *(ops.Linear(weight.copy()) for _ in range(3))), batch=1)


def test_binary_weights_are_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = chain((40, 8, 8), ops.Sign(), ops.BinaryConv2d(signs(3, 40, 3, 3)))
    monkeypatch.setattr(format_limits, "FILE_BYTES", 3 * 9 * 2 * 4)
    check_graph(graph, batch=1)
    monkeypatch.setattr(format_limits, "FILE_BYTES", 3 * 9 * 2 * 4 - 1)
    with pytest.raises(ModelRefusedError, match=r"y1 \(BinaryConv2d"):
        check_graph(graph, batch=1)


def test_tensors_that_int32_cannot_number_are_refused() -> None:
    check_count(2**31 - 1)
    with pytest.raises(ModelRefusedError, match="tensors"):
        check_count(2**31)
