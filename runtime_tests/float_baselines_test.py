"""The baselines of whole networks, on the runtimes: the shipped ResNet-20, a ResNet-18, a VGG-small, and a file of Larq's converter."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fdabnn_deploy.data.images import synthetic
from fdabnn_deploy.frontend import checkpoint
from fdabnn_deploy.frontend.capture import capture
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.measure.baselines.baseline import BaselineModel, Kind
from fdabnn_deploy.measure.baselines.build import build_baseline
from fdabnn_deploy.measure.baselines.small_files_testing import write
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.transforms.deploy import deploy
from fdabnn_models.architectures.resnet18 import resnet18
from fdabnn_models.architectures.shake_testing import shake
from fdabnn_models.architectures.vgg_small import vgg_small
from fdabnn_models.layers.binary import FDAConv2d
from fdabnn_tflite.runtime.tflite_file import TfliteFile, read_tflite
from fdabnn_tflite.saved_model import import_tensorflow
from runtime_tests.conftest import SHIPPED

FILES = ("onnx", "packed", "tflite")
LAYERS = {"resnet20": 18, "resnet18": 16, "vgg_small": 5}
# What a float network of the same architecture consists of, stem and last layer included. The mean of nine values is a sum and a product.
FLOAT_OPERATORS = {
    "resnet20": Counter(CONV_2D=19, LEAKY_RELU=9, ADD=18, STRIDED_SLICE=2, PAD=2, MEAN=1, FULLY_CONNECTED=1),
    "resnet18": Counter(
        CONV_2D=20, LEAKY_RELU=16, ADD=32, AVERAGE_POOL_2D=3, MAX_POOL_2D=1, SUM=1, MUL=1, FULLY_CONNECTED=1
    ),
    "vgg_small": Counter(CONV_2D=6, MAX_POOL_2D=3, RESHAPE=1, FULLY_CONNECTED=1),
}
MIRRORING = Counter({"RESHAPE": 2, "REVERSE_V2": 1})


@pytest.fixture(scope="module")
def networks() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    vgg = shake(vgg_small(), alpha=0.0)
    torch.manual_seed(0)
    wide = resnet18(num_classes=10)
    wide.train()
    with torch.no_grad():
        # Statistics of noise, so that signs are not all alike.
        wide(torch.randn(4, 3, 96, 96))
    return {"resnet20": checkpoint.read(SHIPPED[0]).module, "resnet18": wide.eval(), "vgg_small": vgg}


@pytest.fixture(scope="module")
def exported(
    networks: dict[str, nn.Module], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Path]:
    """`exported(network, file)`: an exported file, made at its first use; others test that it is right."""
    folder = tmp_path_factory.mktemp("networks")

    @cache
    def graph(name: str) -> Graph:
        return deploy(capture(networks[name], (3, *size_of(name)))).graph

    def make(name: str, file: str) -> Path:
        path = folder / name / file / f"model.{'tflite' if file == 'tflite' else 'onnx'}"
        if not path.exists():
            path.parent.mkdir(parents=True)
            write(graph(name), path, exact=True, kernels="packed" if file == "packed" else "standard")
        return path

    return make


def size_of(name: str) -> tuple[int, int]:
    return (96, 96) if name == "resnet18" else (32, 32)


def images_of(name: str, count: int) -> Any:
    return (synthetic(count, (3, *size_of(name)), seed=9).astype(np.float32) - 128) / 64


def macs(network: nn.Module, size: tuple[int, int]) -> list[int]:
    """Multiply-adds of the binary convolutions, as PyTorch runs them."""
    found: list[int] = []

    def count(layer: nn.Module, _: Any, y: torch.Tensor) -> None:
        assert isinstance(layer, FDAConv2d)
        found.append(layer.weight.numel() * y.shape[2] * y.shape[3])

    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, FDAConv2d)]
    with torch.no_grad():
        network(torch.zeros(1, 3, *size))
    for hook in hooks:
        hook.remove()
    return found


CASES = [*((name, file, "fp32") for name in LAYERS for file in FILES), *((name, "packed", "int8") for name in LAYERS)]  # fmt: skip


@pytest.mark.parametrize(("name", "file", "kind"), CASES)
def test_a_baseline_runs_as_its_model_does(
    name: str,
    file: str,
    kind: Kind,
    exported: Callable[[str, str], Path],
    networks: dict[str, nn.Module],
    tmp_path: Path,
) -> None:
    model = exported(name, file)
    baseline = build_baseline(kind, model, tmp_path, images_of(name, 4))
    assert [layer.macs for layer in baseline.layers] == macs(networks[name], size_of(name))
    x = images_of(name, 2)
    (expected,), (found,) = (registry.for_file(p).open(p).run([x]) for p in (model, baseline.path))
    assert found.shape == expected.shape
    assert np.isfinite(found).all()
    assert np.ptp(found) > 1e-3


@pytest.mark.parametrize("name", LAYERS)
def test_all_values_of_a_float_baseline_are_ordinary_numbers(
    name: str, exported: Callable[[str, str], Path], tmp_path: Path
) -> None:
    baseline = build_baseline("fp32", exported(name, "onnx"), tmp_path)
    tensors = registry.for_file(baseline.path).open(baseline.path).run_all([images_of(name, 2)])
    assert {layer.baseline_tensor for layer in baseline.layers} <= set(tensors)
    for tensor, values in tensors.items():
        sizes = np.abs(values[values != 0])
        assert np.all((sizes >= np.finfo(np.float32).tiny) & (sizes < 1e6)), tensor
        assert sizes.size > 0.1 * values.size, tensor


@pytest.mark.parametrize("name", LAYERS)
def test_a_float_baseline_is_the_plain_network(
    name: str, exported: Callable[[str, str], Path], tmp_path: Path
) -> None:
    file = read_tflite(build_baseline("fp32", exported(name, "tflite"), tmp_path).path)
    found = Counter(file.op_counts())
    if name != "vgg_small":
        # Images of an even size and strides of 2: the file mirrors them, so that TensorFlow's padding is PyTorch's.
        found -= MIRRORING
    assert found == FLOAT_OPERATORS[name]


@pytest.mark.parametrize("name", LAYERS)
def test_an_int8_baseline_is_integers_throughout(
    name: str, exported: Callable[[str, str], Path], tmp_path: Path
) -> None:
    baseline = build_baseline("int8", exported(name, "tflite"), tmp_path)
    file = read_tflite(baseline.path)
    int8 = 9
    floats = [op.name for op in file.operators if file.tensors[op.outputs[0]].type != int8]
    assert floats == ["DEQUANTIZE"]
    weights = {file.operators[layer.baseline_op].inputs[1] for layer in baseline.layers}
    assert {file.tensors[index].type for index in weights} == {int8}
    assert len(baseline.layers) == LAYERS[name]
    (found,) = registry.for_file(baseline.path).open(baseline.path).run([images_of(name, 2)])
    assert np.isfinite(found).all()


def test_int8_layers_of_onnx_are_unsigned_by_signed(
    exported: Callable[[str, str], Path], tmp_path: Path
) -> None:
    import onnx

    baseline = build_baseline("int8", exported("resnet20", "onnx"), tmp_path)
    model = onnx.load(baseline.path)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for layer in baseline.layers:
        node = model.graph.node[layer.baseline_op]
        assert node.op_type == "QLinearConv"
        assert constants[node.input[2]].data_type == onnx.TensorProto.UINT8
        weight = constants[node.input[3]]
        assert weight.data_type == onnx.TensorProto.INT8
        # One scale per output channel.
        assert list(constants[node.input[4]].dims) == [weight.dims[0]]


def test_the_document_runs_as_it_is_written(exported: Callable[[str, str], Path], tmp_path: Path) -> None:
    document = Path(__file__).parents[1] / "docs" / "baselines.md"
    (program,) = re.findall(r"```python\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "build").mkdir()
    shutil.copy(exported("vgg_small", "tflite"), tmp_path / "build" / "model.tflite")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[0].startswith("build/model.fp32.tflite float32 layers in place of the binary ones")
    assert len(lines) == 1 + LAYERS["vgg_small"]
    assert lines[1].startswith("features.1.conv/binary_conv ")


@pytest.fixture(scope="module")
def larq_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of LCE's converter as Keras models become one: batch norms, activations, both paddings, pools, a sign after sums."""
    tf, converter = import_tensorflow()
    rng = np.random.default_rng(0)

    def signs(*shape: int) -> Any:
        return tf.constant(np.where(rng.random(shape) < 0.5, -1, 1).astype(np.float32))

    def sign(x: Any) -> Any:
        return tf.where(x < 0, tf.constant(-1.0), tf.constant(1.0))

    def norm(x: Any) -> Any:
        return x * rng.uniform(0.02, 0.1, x.shape[-1]).astype(np.float32) + 0.25

    kernels = [signs(3, 3, 32, 32), signs(3, 3, 32, 64), signs(3, 3, 64, 64), signs(3, 3, 64, 32)]
    stem = tf.constant(rng.normal(size=(3, 3, 3, 32)).astype(np.float32))
    last = tf.constant(rng.normal(size=(32, 10)).astype(np.float32))

    def network(x: Any) -> Any:
        x = norm(tf.nn.conv2d(x, stem, 2, "SAME"))
        y = norm(tf.nn.relu(tf.nn.conv2d(sign(x), kernels[0], 1, "SAME"))) + x
        padded = tf.pad(sign(y), [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=1.0)
        y = norm(tf.nn.conv2d(padded, kernels[1], 1, "VALID"))
        y = tf.nn.max_pool2d(y, 2, 2, "VALID")
        y = norm(tf.nn.conv2d(sign(y), kernels[2], 1, "VALID"))
        y = tf.nn.relu(norm(tf.nn.conv2d(sign(y), kernels[3], 1, "SAME")))
        return tf.nn.softmax(tf.reduce_mean(y, axis=[1, 2]) @ last)

    signature = [tf.TensorSpec([1, 32, 32, 3], tf.float32)]
    module = tf.Module()
    module.main = tf.function(network, input_signature=signature, autograph=False)
    path = tmp_path_factory.mktemp("larq") / "larq.tflite"
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"serving_default": module.main})
        path.write_bytes(converter.convert_saved_model(folder))
    return path


def test_files_of_larqs_converter_have_baselines(larq_file: Path, tmp_path: Path) -> None:
    counts = Counter(read_tflite(larq_file).op_counts())
    assert counts["LceBconv2d"] == 4
    assert counts["LceBMaxPool2d"] == 1
    kinds: tuple[Kind, ...] = ("fp32", "int8")
    for kind in kinds:
        baseline: BaselineModel = build_baseline(kind, larq_file, tmp_path)
        file: TfliteFile = read_tflite(baseline.path)
        assert not [name for name in file.op_counts() if name.startswith("Lce")]
        assert file.op_counts()["CONV_2D"] == 5
        sizes = [16 * 16 * 32 * 32, 16 * 16 * 64 * 32, 6 * 6 * 64 * 64, 6 * 6 * 32 * 64]
        assert [layer.macs for layer in baseline.layers] == [9 * size for size in sizes]
        (found,) = registry.for_file(baseline.path).open(baseline.path).run([images_of("vgg_small", 2)])
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=0.05)
