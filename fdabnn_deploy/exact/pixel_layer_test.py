"""Convolutions of pixels against the normalised image, padded with zeros, in float64; and their sums in every order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fdabnn_deploy.exact.make_exact import make_exact
from fdabnn_deploy.exact.pixel_layer import pixel_slices, pixel_weights
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.reference import evaluate, evaluate_all
from fdabnn_deploy.runtimes.torch_graph import TorchGraphSession
from fdabnn_deploy.transforms.take_pixels import PixelFormat, take_pixels

MEAN, STD = (0.485, 0.456, 0.406, 0.5), (0.229, 0.224, 0.225, 0.1)


def smooth(rng: np.random.Generator, *shape: int) -> NDArray[np.uint8]:
    """Images whose neighbouring pixels are alike."""
    steps = np.cumsum(rng.integers(-6, 7, shape), axis=-1) + np.cumsum(rng.integers(-6, 7, shape), axis=-2)
    images: NDArray[np.uint8] = (128 + steps).clip(0, 255).astype(np.uint8)
    return images


def graph_of(layer: ops.Conv2d, size: tuple[int, int], pads: Any = None) -> Graph:
    """A convolution, behind a border of zeros where one is given, with a sign behind it."""
    nodes = [Node("input", ops.Input((layer.weight.shape[1], *size)))]
    if pads is not None:
        nodes.append(Node("border", ops.Pad(((0, 0), *pads)), ("input",)))
    nodes += [Node("conv", layer, (nodes[-1].name,)), Node("sign", ops.Sign(), ("conv",))]
    return Graph(nodes, ["conv", "sign"])


def layer_of(rng: np.random.Generator, *shape: int, bias: bool = True, **geometry: Any) -> ops.Conv2d:
    weight = rng.normal(0, 0.2, shape).astype(np.float32)
    return ops.Conv2d(weight, rng.normal(size=shape[0]).astype(np.float32) if bias else None, **geometry)


def trained(layer: ops.Conv2d, pixels: NDArray[np.uint8], pads: Any = None) -> NDArray[np.float64]:
    """The convolution of the normalised image in float64."""
    channels = pixels.shape[1]
    mean, std = (np.array(v[:channels]).reshape(-1, 1, 1) for v in (MEAN, STD))
    x = torch.from_numpy((pixels / 255 - mean) / std)
    (top, bottom), (left, right) = pads or ((0, 0), (0, 0))
    x = torch.nn.functional.pad(x, (left, right, top, bottom))
    bias = None if layer.bias is None else torch.from_numpy(layer.bias).double()
    y = torch.nn.functional.conv2d(
        x, torch.from_numpy(layer.weight).double(), bias, layer.stride, layer.padding, layer.dilation
    )
    return np.asarray(y.numpy())


CASES = {
    "7x7, stride 2": ({"stride": (2, 2), "padding": (3, 3)}, (8, 3, 7, 7), None),
    "3x3": ({"padding": (1, 1)}, (8, 3, 3, 3), None),
    "no padding": ({}, (8, 3, 5, 5), None),
    "without bias": ({"padding": (2, 2), "bias": False}, (5, 3, 5, 5), None),
    "dilated, other strides": ({"padding": (2, 3), "stride": (3, 1), "dilation": (2, 3)}, (4, 3, 3, 3), None),
    "grey": ({"padding": (1, 1)}, (4, 1, 3, 3), None),
    "two channels": ({"padding": (0, 1)}, (4, 2, 3, 3), None),
    "four channels": ({"padding": (1, 1), "stride": (2, 2)}, (4, 4, 3, 3), None),
    "uneven border": ({"stride": (2, 2)}, (4, 3, 3, 3), ((0, 1), (0, 1))),
    "border and padding": ({"padding": (1, 1)}, (4, 3, 3, 3), ((1, 0), (2, 1))),
    "padding wider than the image": ({"padding": (6, 6)}, (4, 3, 7, 7), None),
}


@pytest.mark.parametrize("reversed_channels", [False, True], ids=["rgb", "bgr"])
@pytest.mark.parametrize(("geometry", "shape", "pads"), CASES.values(), ids=CASES)
def test_the_trained_layer(
    geometry: dict[str, Any], shape: tuple[int, ...], pads: Any, reversed_channels: bool
) -> None:
    rng = np.random.default_rng(0)
    layer, channels = layer_of(rng, *shape, **geometry), shape[1]
    graph = graph_of(layer, (9, 10), pads)
    pixels = smooth(rng, 4, channels, 9, 10)
    fed = pixels[:, ::-1].copy() if reversed_channels else pixels
    form = PixelFormat(MEAN[:channels], STD[:channels], reversed_channels)
    exact = make_exact(take_pixels(graph, form, inside_layers=True).graph, [fed])
    wanted = trained(layer, pixels, pads)
    found, _ = evaluate(exact.graph, [fed])
    assert np.abs(found - wanted).max() <= 4e-7 * np.abs(wanted).max()
    for a, b in zip(TorchGraphSession(exact.graph).run([fed]), evaluate(exact.graph, [fed]), strict=True):
        np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))
    assert [row.parts for row in exact.grids] == [2]
    record = make_exact(take_pixels(graph, form, inside_layers=True).graph, record=exact.numerics)
    np.testing.assert_array_equal(evaluate(record.graph, [fed])[0], found)


def test_sums_are_exact_in_every_order() -> None:
    rng = np.random.default_rng(1)
    layer = layer_of(rng, 6, 3, 7, 7, padding=(3, 3), stride=(2, 2))
    form = PixelFormat(MEAN[:3], STD[:3])
    exact = make_exact(take_pixels(graph_of(layer, (16, 16)), form, inside_layers=True).graph).graph
    extreme = rng.choice(np.array([0, 255], np.uint8), (2, 3, 16, 16))
    tensors = evaluate_all(exact, [extreme])
    operand = tensors["input/centred/held"]
    for node in exact.nodes_of(ops.Conv2d):
        assert isinstance(node.op, ops.Conv2d)
        patches = np.asarray(
            torch.nn.functional.unfold(torch.from_numpy(operand), 7, padding=3, stride=2).numpy()
        )
        rows = node.op.weight.reshape(6, -1)
        for order in (np.arange(147), np.arange(147)[::-1], rng.permutation(147)):
            total = np.zeros((2, 6, patches.shape[2]), np.float32)
            for tap in order:
                total += rows[:, tap, None] * patches[:, None, tap]
            np.testing.assert_array_equal(total, tensors[node.name].reshape(total.shape))


def test_rounding_errors_of_a_kernel_add_up_to_nothing() -> None:
    layer = layer_of(np.random.default_rng(2), 16, 3, 7, 7)
    op = ops.PixelConv2d(layer, np.full(3, 0.017), np.zeros(3))
    slices = pixel_slices(op, 2, None)
    error = pixel_weights(op) - sum(part.weight for part in slices)
    step = np.ldexp(1.0, -slices[1].exponents.astype(np.int32)).reshape(-1, 1, 1, 1)
    assert np.all(np.abs(error) <= step)
    assert np.all(np.abs(error.sum(axis=(2, 3))) <= 0.5 * step[:, :, 0, 0])
    for part in slices:
        units = np.ldexp(np.abs(part.weight).reshape(16, -1).sum(axis=1), part.exponents.astype(np.int32))
        assert np.all(128 * units < 2**24)


def test_weights_that_one_slice_holds_are_one_sum_behind_a_barrier() -> None:
    rng = np.random.default_rng(3)
    weight = np.where(rng.random((4, 3, 3, 3)) < 0.5, -0.5, 0.5).astype(np.float32)
    graph = graph_of(ops.Conv2d(weight, None, padding=(1, 1)), (8, 8))
    # Of this normalisation the scale is a power of two.
    form = PixelFormat((0.5,) * 3, (64 / 255,) * 3)
    pixels = smooth(rng, 2, 3, 8, 8)
    exact = make_exact(take_pixels(graph, form, inside_layers=True).graph, [pixels]).graph
    assert [node.op.kind for node in exact][2:6] == ["Clamp", "Conv2d", "Clamp", "BorderOffset"]
    mean, std = 0.5, 64 / 255
    x = torch.from_numpy((pixels / 255 - mean) / std)
    wanted = torch.nn.functional.conv2d(x, torch.from_numpy(weight).double(), padding=1).numpy()
    assert np.abs(evaluate(exact, [pixels])[0] - wanted).max() < 1e-6 * np.abs(wanted).max()
