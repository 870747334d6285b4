"""Files that store weights as integers, and the same with floats: equal bits, smaller files, as many operators of XNNPACK."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter, load_delegate
from onnx import TensorProto
from torch import Tensor, nn

import fdabnn_deploy
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.targets.converter import Constants, Kernels
from fdabnn_deploy.verify.gate.gate_testing import BinaryConv

pytestmark = pytest.mark.runtimes

FORMS: tuple[Constants, ...] = ("integer", "float")
KINDS = ("standard.onnx", "packed.onnx", "net.tflite")


class Network(nn.Module):
    """With a float stem, a binary layer, a float layer at a shortcut, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 5, 2, 2), nn.BatchNorm2d(32))
        self.binary = nn.Sequential(BinaryConv(32, 64, 3, 2, 1), nn.BatchNorm2d(64))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(32, 64, 1), nn.BatchNorm2d(64))
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        out: Tensor = self.head((self.binary(x) + self.shortcut(x)).mean((2, 3)))
        return out


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """By the form of constants and the kind of file."""
    torch.manual_seed(3)
    network = Network().eval()
    folder = tmp_path_factory.mktemp("constants")
    found: dict[tuple[str, str], Path] = {}
    for form in FORMS:
        for kind in KINDS:
            name, target = kind.split(".")
            kernels: Kernels = "packed" if name == "packed" else "standard"
            report = fdabnn_deploy.export(
                network,
                torch.zeros(1, 3, 16, 16),
                out=folder / form / name,
                name="net",
                targets=target,
                samples="random:16",
                allow_float="*",
                constants=form,
                kernels=kernels,
            )
            assert report.verdict == "verified"
            found[form, kind] = folder / form / name / f"net.{target}"
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_both_give_the_same_bits_on_every_runtime(kind: str, files: dict[tuple[str, str], Path]) -> None:
    images = np.random.default_rng(0).standard_normal((4, 3, 16, 16)).astype(np.float32)
    found = []
    for form in FORMS:
        path = files[form, kind]
        for name in (registry.for_file(path).name, *registry.further(path)):
            session = registry.get(name).open(path)
            found.append(np.concatenate([session.run([image[None]])[0] for image in images]))
    assert len(found) >= 2
    for other in found[1:]:
        np.testing.assert_array_equal(found[0].view(np.int32), other.view(np.int32))


@pytest.mark.parametrize(
    ("kind", "most"), [("standard.onnx", 0.5), ("packed.onnx", 0.8), ("net.tflite", 0.8)]
)
def test_integers_take_less_space(kind: str, most: float, files: dict[tuple[str, str], Path]) -> None:
    integer, floats = (files[form, kind].stat().st_size for form in FORMS)
    assert integer <= most * floats


def partitions(path: Path) -> list[tuple[str, ...]]:
    """The names of the tensors that each part which a delegate took gives to others, but for weights made of integers."""
    delegate = load_delegate(fdabnn_deploy.delegate_path())
    interpreter = Interpreter(str(path), num_threads=1, experimental_delegates=[delegate])
    interpreter.allocate_tensors()
    names = {tensor["index"]: tensor["name"] for tensor in interpreter.get_tensor_details()}
    return [
        tuple(names[index] for index in entry["outputs"] if not names[index].endswith("/weight/floats"))
        for entry in interpreter._get_ops_details()
        if entry["op_name"] == "DELEGATE"
    ]


def test_xnnpack_takes_as_many_operators(files: dict[tuple[str, str], Path]) -> None:
    """An operator that XNNPACK left out would end a part in front of it and begin another behind it."""
    integer, floats = (partitions(files[form, "net.tflite"]) for form in FORMS)
    assert integer == floats
    assert len(integer) >= 3


def test_onnx_files_hold_integers_and_no_dequantisation(files: dict[tuple[str, str], Path]) -> None:
    """ONNX Runtime computes a `Cast` of constants when it loads a file; it keeps a `DequantizeLinear` in the graph."""
    types: dict[str, Counter[int]] = {}
    for form in FORMS:
        model: Any = onnx.load(files[form, "standard.onnx"])
        assert not any(node.op_type == "DequantizeLinear" for node in model.graph.node)
        types[form] = Counter(
            tensor.data_type for tensor in model.graph.initializer if np.prod(tensor.dims) >= 1024
        )
    assert types["integer"][TensorProto.INT8] >= 1
    assert types["integer"][TensorProto.FLOAT] == 0
    assert set(types["float"]) == {TensorProto.FLOAT}
