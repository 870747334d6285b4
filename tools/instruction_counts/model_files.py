"""The networks that are counted, exported as exact files: the shipped ResNet-20, and a VGG-small with drawn weights."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from fdabnn_deploy.data import samples
from fdabnn_deploy.exact.make_exact import make_exact
from fdabnn_deploy.frontend import checkpoint
from fdabnn_deploy.frontend.capture import capture
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import BinaryConv2d, BinaryLinear
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.installed import find_converter
from fdabnn_deploy.transforms.deploy import deploy
from fdabnn_models.architectures.shake_testing import shake
from fdabnn_models.architectures.vgg_small import vgg_small
from fdabnn_models.data.cifar10 import MEAN, STD
from fdabnn_models.data.dataset import input_range

_RESNET20 = Path(__file__).resolve().parents[2] / "models" / "checkpoints" / "resnet20-cifar10.pt"
_SAMPLES = "random:16"


class Files(NamedTuple):
    """A network's files.

    Attributes:
        onnx: with standard operators.
        tflite: with binary layers for the delegate.
        packed: ONNX with packed binary layers.
        macs: binary multiply-accumulates of an image.
    """

    onnx: Path
    tflite: Path
    packed: Path
    macs: int


def export(module: nn.Module, info: ModelInfo, folder: Path) -> Files:
    """Exports a network with exact numerics, without the checks of `fdabnn-export`."""
    images = samples.load(_SAMPLES, info).images
    exact = make_exact(deploy(capture(module, info.input_shape)).graph, [images])
    info = replace(info, numerics=exact.numerics.to_text())
    graph = exact.composed
    macs = sum(
        math.prod(graph.shape(node.name)[1:]) * node.op.taps
        for node in graph
        if isinstance(node.op, BinaryConv2d | BinaryLinear)
    )
    onnx, tflite, packed = (folder / f"{info.name}{end}" for end in (".onnx", ".tflite", "-packed.onnx"))
    find_converter("onnx").convert(graph, info, onnx, ConvertOptions())
    find_converter("tflite").convert(graph, info, tflite, ConvertOptions())
    find_converter("onnx").convert(graph, info, packed, ConvertOptions(kernels="packed"))
    return Files(onnx, tflite, packed, macs)


def export_resnet20(folder: Path) -> Files:
    """Exports the shipped checkpoint."""
    source = checkpoint.read(_RESNET20)
    return export(source.module, source.info, folder)


def export_vgg_small(folder: Path) -> Files:
    """Exports a VGG-small with drawn weights, the same each time."""
    info = ModelInfo("vgg-small", (3, 32, 32), mean=MEAN, std=STD, input_range=input_range(MEAN, STD))
    torch.manual_seed(0)
    return export(shake(vgg_small(), alpha=0.0), info, folder)
