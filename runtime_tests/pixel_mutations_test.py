"""Changes that break a file of pixels, or its integer constants: the prover names each."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fdabnn_deploy.exact.make_exact import make_exact
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.prove import Proof
from fdabnn_deploy.prove.walk import prove
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.transforms.take_pixels import PixelFormat, take_pixels
from fdabnn_onnx.build_model import build_model
from fdabnn_onnx.packed import build_packed
from fdabnn_onnx.prove.onnx import read_onnx
from fdabnn_tflite.convert import CONVERTER as TFLITE
from fdabnn_tflite.prove.tflite import read_tflite

INFO = ModelInfo("pixels", (3, 12, 12))
Edit = Callable[[onnx.ModelProto], None]


@cache
def network() -> Graph:
    """A layer of pixels with borders, a float layer so large that its slices have 8 bits, and a binary one: exact, composed."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(0, 0.2, shape).astype(np.float32) for shape in ((16, 3, 5, 5), (320, 16, 1, 1))]
    nodes = [
        Node("image", ops.Input((3, 12, 12))),
        Node("stem", ops.Conv2d(weights[0], None, (2, 2), (2, 2)), ("image",)),
        Node("act", ops.PRelu(np.full(16, 0.3, np.float32)), ("stem",)),
        Node("down", ops.Conv2d(weights[1], None), ("act",)),
        Node("sign", ops.Sign(), ("down",)),
        Node("conv", ops.BinaryConv2d(rng.choice(np.array([-1, 1], np.int8), (16, 320, 3, 3))), ("sign",)),
    ]
    form = PixelFormat((0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
    pixels = rng.integers(0, 256, (8, 3, 12, 12), np.uint8)
    graph = take_pixels(Graph(nodes, ["conv", "act"]), form, inside_layers=True).graph
    return make_exact(graph, [pixels]).composed


def standard() -> onnx.ModelProto:
    return build_model(network(), INFO, None)


def proof(model: onnx.ModelProto) -> Proof:
    return prove(read_onnx(model.SerializeToString()))


def node_of(model: onnx.ModelProto, output: str) -> Any:
    return next(node for node in model.graph.node if node.output[0] == output)


def constant_of(model: onnx.ModelProto, name: str) -> Any:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def put(model: onnx.ModelProto, name: str, change: Callable[[Any], Any]) -> None:
    tensor = constant_of(model, name)
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(change(numpy_helper.to_array(tensor).copy())), name))


def changed(name: str, change: Callable[[Any], Any]) -> Edit:
    return lambda model: put(model, name, change)


def one_more_bit(values: Any) -> Any:
    return np.where(values == 0, values, np.nextafter(values, np.float32(np.inf)))


def without_barrier(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            if name == "image/centred/held":
                node.input[i] = "image/centred/shifted"


def half_floats(model: onnx.ModelProto) -> None:
    cast = node_of(model, "image/centred/shifted/floats")
    cast.attribute[0].i = TensorProto.FLOAT16


def bytes_subtracted(model: onnx.ModelProto) -> None:
    """`Sub` of bytes, which wraps around, in front of the `Cast`."""
    cast, shift = node_of(model, "image/centred/shifted/floats"), node_of(model, "image/centred/shifted")
    shift.input[0], cast.input[0] = "image", "image/centred/shifted"
    put(model, shift.input[1], lambda value: value.astype(np.uint8))
    shift.output[0], cast.output[0] = "image/centred/moved", "image/centred/shifted"
    shift.name, cast.input[0] = "image/centred/moved", "image/centred/moved"
    nodes = [shift if node is cast else cast if node is shift else node for node in model.graph.node]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)


def accumulated(model: onnx.ModelProto) -> None:
    """The slices' sums added, as runtimes fuse them into one convolution."""
    node_of(model, "stem/sum").op_type = "Add"


def behind_a_convolution(model: onnx.ModelProto) -> None:
    node_of(model, "stem").input[0] = "stem/sum/x0w0"


def from_int32(model: onnx.ModelProto) -> None:
    put(model, "conv/weight/integers", lambda value: value.astype(np.int32))


def scaled_by_tenths(model: onnx.ModelProto) -> None:
    name = next(
        t.name for t in model.graph.initializer if t.name.startswith("down/") and t.name.endswith("/scales")
    )
    put(model, name, lambda value: value * np.float32(1.1))


def computed_weights(model: onnx.ModelProto) -> None:
    """Weights that are made of the input."""
    node = node_of(model, "conv/weight")
    node.CopyFrom(helper.make_node("Cast", ["image"], ["conv/weight"], to=TensorProto.FLOAT))


MUTATIONS: dict[str, tuple[Edit, str]] = {
    "weights of the first slice off their grid": (changed("stem/sum/x0w0/weight/scales", one_more_bit), "stem/sum/x0w0"),
    "weights of the last slice off their grid": (changed("stem/sum/x0w1/weight/scales", one_more_bit), "stem/sum/x0w1"),
    "no clamp behind the centre": (without_barrier, "stem/sum/x0w"),
    "another centre": (changed("image/centred/shifted/centre", lambda v: v * 8), "stem/sum/x0w"),
    "pixels as half floats": (half_floats, "image/centred/shifted/floats"),
    "a subtraction of bytes": (bytes_subtracted, "image/centred/moved"),
    "slices added": (accumulated, "stem/sum"),
    "offset of the border behind a convolution": (behind_a_convolution, "stem"),
    "offset of the border that is none": (changed("stem/offset", lambda v: v * np.nan), "stem"),
    "denormal offset of the border": (changed("stem/offset", lambda v: v * 0 + np.float32(1e-40)), "stem"),
    "class of a row that is not there": (changed("stem/rows", lambda v: v + 9), "stem/by_row"),
    "weights cast from 32 bits": (from_int32, "conv"),
    "scales that are no powers of two": (scaled_by_tenths, "down"),
    "weights that are computed": (computed_weights, "conv"),
}  # fmt: skip


def test_the_network_is_proved() -> None:
    assert proof(standard()).failures == ()
    assert proof(build_packed(network(), INFO, None)).failures == ()


@pytest.mark.parametrize(("edit", "culprit"), MUTATIONS.values(), ids=MUTATIONS)
def test_mutations_of_onnx_files(edit: Edit, culprit: str) -> None:
    model = standard()
    edit(model)
    failures = proof(model).failures
    assert any(failure.startswith(culprit) for failure in failures), failures


@pytest.mark.parametrize(
    "change",
    [lambda v: v[:-1], lambda v: [*v[:-1], 200]],
    ids=["one too few", "out of range"],
)
def test_mutations_of_exponents(change: Callable[[list[int]], list[int]]) -> None:
    model = build_packed(network(), INFO, None)
    (node,) = (n for n in model.graph.node if n.op_type == "ConvDifference" and n.output[0] == "down")
    (exponents,) = (a for a in node.attribute if a.name == "exponents")
    values = change(list(exponents.ints))
    del exponents.ints[:]
    exponents.ints.extend(values)
    assert any(failure.startswith("down") for failure in proof(model).failures)


@pytest.mark.parametrize(
    ("part", "value"),
    [("scale", np.float32(0.3)), ("zeroPoint", np.int64(3))],
    ids=["a scale that is no power of two", "a zero point"],
)
def test_mutations_of_dequantized_weights(part: str, value: Any, tmp_path: Path) -> None:
    from ai_edge_litert import schema_py_generated as schema

    from fdabnn_tflite.runtime.pack import pack_tflite
    from fdabnn_tflite.runtime.tflite_file import digest, digest_place

    path = tmp_path / "pixels.tflite"
    TFLITE.convert(network(), INFO, path, ConvertOptions())
    assert prove(read_tflite(path.read_bytes())).failures == ()
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    quantized = [
        t.quantization
        for t in model.subgraphs[0].tensors
        if t.quantization is not None and t.quantization.scale is not None
    ]
    setattr(quantized[0], part, np.full_like(getattr(quantized[0], part), value))
    packed = pack_tflite(model, schema)
    place = digest_place(packed)
    assert place is not None
    content = packed[:place] + digest(packed, place) + packed[place + 64 :]
    assert any("down" in failure for failure in prove(read_tflite(content)).failures)
