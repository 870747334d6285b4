"""Against the graph that files were made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import BinaryConv2d, Conv2d, GlobalAvgPool, Input, Linear, Sign
from fdabnn_deploy.measure.format_tools import tools_for
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.installed import find_converter

pytestmark = pytest.mark.runtimes

SIZE, STEM, WIDE = 8, 64, 96


def network() -> Graph:
    """A float stem, a grouped binary layer of stride 2, a wide one, a dense layer."""
    rng = np.random.default_rng(0)

    def signs(*shape: int) -> Any:
        return rng.choice(np.array([-1, 1], np.int8), shape)

    nodes = [
        Node("input", Input((3, SIZE, SIZE))),
        Node(
            "stem/conv",
            Conv2d(rng.standard_normal((STEM, 3, 3, 3)).astype(np.float32), padding=(1, 1)),
            ("input",),
        ),
        Node("a/sign", Sign(), ("stem/conv",)),
        Node(
            "a/conv",
            BinaryConv2d(signs(STEM, STEM // 2, 3, 3), padding=(1, 1), groups=2, stride=(2, 2)),
            ("a/sign",),
        ),
        Node("b/sign", Sign(), ("a/conv",)),
        Node("b/conv", BinaryConv2d(signs(WIDE, STEM, 1, 1)), ("b/sign",)),
        Node("pool", GlobalAvgPool(), ("b/conv",)),
        Node("output", Linear(rng.standard_normal((10, WIDE)).astype(np.float32)), ("pool",)),
    ]
    return Graph(nodes, ["output"])


MACS = {
    "stem": SIZE * SIZE * STEM * 27,
    "a": 16 * STEM * STEM // 2 * 9,
    "b": 16 * WIDE * STEM,
    "output": 10 * WIDE,
}


@pytest.mark.parametrize(
    ("suffix", "kernels"), [(".tflite", "standard"), (".onnx", "standard"), (".onnx", "packed")]
)
def test_multiply_adds_per_layer(suffix: str, kernels: Any, tmp_path: Path) -> None:
    path = tmp_path / f"network{suffix}"
    options = ConvertOptions(kernels=kernels)
    find_converter(suffix[1:]).convert(network(), ModelInfo("n", (3, SIZE, SIZE)), path, options)
    found = tools_for(path).operators(path)
    macs: dict[str, int] = {}
    for operator in found:
        macs[operator.layer] = macs.get(operator.layer, 0) + operator.macs
    assert {name: value for name, value in macs.items() if value} == MACS
    binary = {operator.layer for operator in found if operator.binary}
    # In standard operators a binary layer is a convolution of floats.
    assert binary == (set() if (suffix, kernels) == (".onnx", "standard") else {"a", "b"})
    packers = {o.layer: found[o.packer].type if o.packer is not None else "" for o in found if o.binary}
    if suffix == ".tflite":
        assert packers == {"a": "LceQuantize", "b": "LceQuantize"}
    elif kernels == "packed":
        # The first layer packs its own output.
        assert packers == {"a": "PackSigns", "b": ""}


def test_damage_is_refused(tmp_path: Path) -> None:
    for suffix in (".tflite", ".onnx"):
        path = tmp_path / f"damaged{suffix}"
        path.write_bytes(b"\x00\x01\x02\x03TFL3" + bytes(50))
        with pytest.raises(ModelRefusedError, match="damaged"):
            tools_for(path).operators(path)
