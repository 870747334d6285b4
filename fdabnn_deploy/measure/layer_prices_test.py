from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from fdabnn_deploy.exact.make_exact import make_exact
from fdabnn_deploy.frontend.capture import capture
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.composites import ExactLayer
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.reference import evaluate_all
from fdabnn_deploy.measure.layer_prices import (
    Forms,
    LayerPrice,
    Pricer,
    alone,
    inputs_of,
    price_file,
    price_layers,
)
from fdabnn_deploy.pipeline.form import Form
from fdabnn_deploy.pipeline.prices import forms_of
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.installed import find_converter, find_target
from fdabnn_deploy.transforms.deploy import deploy
from fdabnn_deploy.transforms.take_pixels import PixelFormat, take_pixels
from fdabnn_deploy.verify.gate.gate_testing import SHAPE, images, trained

pytestmark = pytest.mark.runtimes

MEAN, STD = (0.5, 0.4, 0.6), (0.25, 0.25, 0.2)
FLOATS = ModelInfo("net", SHAPE)
PIXELS = ModelInfo("net", SHAPE, MEAN, STD, input_format="pixels")


@cache
def forms(pixels: bool) -> Forms:
    graph = plain = deploy(capture(trained(), SHAPE), exact=True).graph
    inputs = images(8)
    if pixels:
        graph = take_pixels(plain, PixelFormat(MEAN, STD), inside_layers=True).graph
        inputs = np.random.default_rng(0).integers(0, 256, inputs.shape).astype(np.uint8)
    exact = make_exact(graph, [inputs])
    form = Form(exact.graph, exact.composed, exact.numerics, exact.grids)
    return forms_of(form, plain, PIXELS if pixels else FLOATS)


def pricer(target: str, folder: Path, *, pixels: bool = False) -> Pricer:
    found = find_target(target)
    runtime = registry.for_file(Path(f"x{found.suffix}"))
    return Pricer(found, runtime, PIXELS if pixels else FLOATS, ConvertOptions(), folder)


@pytest.mark.parametrize("pixels", [False, True])
def test_layers_are_those_with_grids_in_both_forms(pixels: bool) -> None:
    found = forms(pixels)
    kinds = [type(found.floats[name].op) for name, _ in found.layers]
    assert kinds.count(ops.Conv2d) == 2
    assert kinds.count(ops.Linear) == 1
    assert ops.AvgPool2d in kinds


@pytest.mark.parametrize("pixels", [False, True])
def test_a_layer_alone_computes_what_it_does_in_the_network(pixels: bool) -> None:
    found = forms(pixels)
    for graph in (found.exact, found.floats):
        image = inputs_of(graph)
        tensors = evaluate_all(graph, image)
        for name, _ in found.layers:
            part = alone(graph, name, found.original)
            (source,) = part.inputs
            (last,) = part.outputs
            result = evaluate_all(part, [tensors[source]])
            np.testing.assert_array_equal(result[name], tensors[name])
            assert result[last].size == tensors[name].shape[1]


def test_a_layer_of_pixels_reads_the_bytes() -> None:
    found = forms(True)
    part = alone(found.exact, found.layers[0][0], found.original)
    source = part[part.inputs[0]].op
    assert isinstance(source, ops.Input)
    assert source.pixels
    assert any(isinstance(node.op, ExactLayer) for node in part)


@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize("target", ["onnx", "tflite"])
def test_bytes_are_those_of_whole_files(target: str, pixels: bool, tmp_path: Path) -> None:
    """Two whole files, one per form, are as far apart as their layers are together, and what stands around these."""
    found, writer = forms(pixels), pricer(target, tmp_path, pixels=pixels)
    layers = price_layers(found, writer, 0)
    assert all(layer.exact_ms is None for layer in layers)
    for form, graph in (("exact_bytes", found.exact), ("float_bytes", found.floats)):
        path = tmp_path / f"whole{find_target(target).suffix}"
        find_converter(target).convert(graph, PIXELS if pixels else FLOATS, path, ConvertOptions())
        whole = writer.size(path.read_bytes())
        assert sum(getattr(layer, form) for layer in layers) < whole < path.stat().st_size
    stem = next(layer for layer in layers if layer.module == "stem")
    parameters = 8 * 27 * 4 + 8 * 4
    assert parameters <= stem.float_bytes < parameters + 200


@pytest.mark.parametrize("target", ["onnx", "tflite"])
def test_every_layer_gets_a_time_while_there_is_some(target: str, tmp_path: Path) -> None:
    layers = price_layers(forms(True), pricer(target, tmp_path, pixels=True), 60.0)
    assert all(layer.exact_ms is not None and layer.exact_ms >= 0 for layer in layers)
    assert all(layer.float_ms is not None and layer.float_ms >= 0 for layer in layers)
    assert [(layer.tensor, layer.module) for layer in layers] == list(forms(True).layers)
    assert list(tmp_path.iterdir()) == []


def test_the_float_form_differs_by_its_layers() -> None:
    layers = (LayerPrice("a", "a", 120, 50, 0.5, 0.25), LayerPrice("b", "", 10, 20, None, None))
    price = price_file("onnx", "onnxruntime", 1000, 2.0, layers)
    assert (price.float_bytes, price.float_ms) == (940, 1.75)
    assert price_file("onnx", "onnxruntime", 1000, None, layers).float_ms is None
    assert price_file("onnx", "onnxruntime", 1000, 2.0, layers[1:]).float_ms is None


def test_a_graph_of_one_layer_is_its_own() -> None:
    found = forms(False)
    name = found.layers[0][0]
    part = alone(found.floats, name, found.original)
    assert isinstance(part, Graph)
    assert [type(node.op) for node in part] == [ops.Input, ops.Conv2d, ops.Slice]
