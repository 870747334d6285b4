from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.data.samples import Samples
from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import BinaryConv2d, Conv2d, GlobalAvgPool, Input, Sign
from fdabnn_deploy.pipeline.work import check_work, needed_bytes


def network(size: int, channels: int = 4) -> Graph:
    weight = np.ones((channels, 3, 1, 1), np.float32)
    nodes = [
        Node("input", Input((3, size, size))),
        Node("conv", Conv2d(weight, None, (1, 1), (0, 0)), ("input",)),
        Node("output", GlobalAvgPool(keepdims=False), ("conv",)),
    ]
    return Graph(nodes, ["output"])


def samples(labels: list[int] | None) -> Samples:
    values = None if labels is None else np.array(labels)
    return Samples(np.zeros((2, 3, 8, 8), np.float32), values, "2 images", False, "")


def test_what_fits() -> None:
    check_work(network(8), samples([0, 3]))
    check_work(network(8), samples(None), None)


def test_labels_beyond_the_outputs() -> None:
    with pytest.raises(UsageError, match="2 images: 1 of 2 labels are outside of the model's 4 classes"):
        check_work(network(8), samples([0, 4]))


@pytest.mark.parametrize(("size", "channels", "batch"), [(1 << 18, 4, 1), (64, 4, 1 << 26)])
def test_what_does_not_fit_is_refused_with_both_numbers(size: int, channels: int, batch: int) -> None:
    with pytest.raises(
        ModelRefusedError,
        match=r"tensors such as conv of 4x\d+x\d+, needs [\d.]+ TiB of memory, and .* are available",
    ):
        check_work(network(size, channels), samples(None), batch)


def test_the_estimate_counts_weights_and_tensors() -> None:
    tensors = (3 * 64, 4 * 64, 4)
    assert needed_bytes(network(8)) == 4 * (6 * 12 + 32 * sum(tensors))
    # The tensor that a sign in front of a binary layer reads is recorded for eight images.
    signs = [
        *(Node("input", Input((3, 8, 8))), Node("sign", Sign(), ("input",))),
        Node("output", BinaryConv2d(np.ones((4, 3, 1, 1), np.int8), (1, 1), (0, 0)), ("sign",)),
    ]
    sizes = (3 * 64, 3 * 64, 4 * 64)
    assert needed_bytes(Graph(signs, ["output"])) == 4 * (6 * 12 + 32 * sum(sizes) + 8 * 3 * 64)
    assert needed_bytes(network(8), 64) - needed_bytes(network(8)) == 4 * 32 * sum(tensors)
