"""The networks of which both writers make files: every shipped architecture, modules from elsewhere, random graphs. All are exact.

Weights are drawn without running anything, so that they are the same on every processor, and sizes of files with them.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from fdabnn_deploy.conformance.hostile import hostile_inputs, normal_inputs
from fdabnn_deploy.conformance.random_graph import random_graph
from fdabnn_deploy.data import samples
from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.exact.make_exact import make_exact
from fdabnn_deploy.frontend import checkpoint
from fdabnn_deploy.frontend.capture import capture
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.ir.reference import evaluate
from fdabnn_deploy.transforms.deploy import deploy
from fdabnn_models.architectures.registry import architecture_names, find_architecture

CHECKPOINTS = Path(__file__).resolve().parents[2] / "models" / "checkpoints"
SEEDS = range(100)
_IMAGES, _LARGE_IMAGES = 8, 2
_CALIBRATION = "random:16"
_SMALL_INPUT = (3, 32, 32)


@dataclass(frozen=True)
class Network:
    """A network with inputs.

    Attributes:
        name: as the table calls it.
        graph: exact.
        info: for the files.
        inputs: one array [N, ...] per input.
        expected: the outputs that the reference computes of them.
        random: whether it is a random graph.
    """

    name: str
    graph: Graph
    info: ModelInfo
    inputs: list[FloatArray]
    expected: list[FloatArray]
    random: bool = False


class Source(NamedTuple):
    """A network that is made when it is needed: large ones take minutes."""

    name: str
    make: Callable[[], Network]


def sources() -> Iterator[Source]:
    """All networks but the random ones: shipped checkpoints, every architecture with drawn weights, modules from elsewhere."""
    for path in sorted(CHECKPOINTS.glob("*.pt")):
        yield Source(f"{path.stem}, trained", partial(_shipped, path))
    for arch in architecture_names():
        yield Source(f"{arch}, drawn weights", partial(_drawn, arch))
    for name in _foreign_modules().NETWORKS:
        yield Source(f"foreign module, {name}", partial(_foreign, name))


@cache
def random_networks() -> tuple[Network, ...]:
    """The random graphs of `SEEDS` that can be made exact, on images with special values and on normal ones."""
    return tuple(network for network in map(_random, SEEDS) if network is not None)


def _random(seed: int) -> Network | None:
    rng = np.random.default_rng(seed)
    drawn = random_graph(rng).graph
    try:
        graph = make_exact(drawn, normal_inputs(drawn, rng, 8)).graph
    except ModelRefusedError:
        return None
    pairs = zip(hostile_inputs(graph, rng), normal_inputs(graph, rng, 4), strict=True)
    inputs = [np.concatenate(parts) for parts in pairs]
    return Network(
        f"seed{seed}", graph, ModelInfo("random", (1, 1, 1)), inputs, evaluate(graph, inputs), random=True
    )


def _shipped(path: Path) -> Network:
    source = checkpoint.read(path)
    return _exact(f"{path.stem}, trained", source.module, source.info)


def _drawn(arch: str) -> Network:
    torch.manual_seed(0)
    module = _with_statistics(find_architecture(arch)())
    shape = tuple(getattr(module, "input_shape", _SMALL_INPUT))
    return _exact(f"{arch}, drawn weights", module, ModelInfo(arch, shape))


def _with_statistics(module: nn.Module) -> nn.Module:
    """In eval mode, with batch norms unlike fresh ones and without the noise of training."""
    for name, buffer in module.named_buffers():
        if name.endswith("alpha"):
            buffer.fill_(0)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 0.7, 0.5)
            nn.init.normal_(layer.bias, 0, 0.3)
            assert layer.running_mean is not None
            assert layer.running_var is not None
            nn.init.normal_(layer.running_mean, 0, 0.5)
            nn.init.uniform_(layer.running_var, 0.2, 3)
    return module.eval()


def _foreign_modules() -> ModuleType:
    """The tests with modules from elsewhere; they are no package that every test of this folder finds."""
    return importlib.import_module("runtime_tests.foreign_modules_test")


def _foreign(name: str) -> Network:
    modules = _foreign_modules()
    images = modules.drawn_images(16)
    module = modules.trained(modules.NETWORKS[name][0])
    return _exact(f"foreign module, {name}", module, ModelInfo("foreign", images.shape[1:]), images)


def _exact(name: str, module: nn.Module, info: ModelInfo, images: FloatArray | None = None) -> Network:
    if images is None:
        images = samples.load(_CALIBRATION, info).images
    exact = make_exact(deploy(capture(module, info.input_shape)).graph, [images])
    info = replace(info, numerics=exact.numerics.to_text())
    large = images[0].size > math.prod(_SMALL_INPUT)
    inputs = [images[: _LARGE_IMAGES if large else _IMAGES]]
    return Network(name, exact.graph, info, inputs, evaluate(exact.graph, inputs))
