from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import fdabnn_deploy
from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.exact.make_exact import make_exact
from fdabnn_deploy.frontend.capture import capture
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.installed import find_converter
from fdabnn_deploy.testing import assert_bit_exact
from fdabnn_deploy.transforms.deploy import deploy

pytestmark = pytest.mark.runtimes

SHAPE = (3, 9, 9)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.conv = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.fc = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        weight = torch.where(self.conv.weight < 0, -1.0, 1.0)
        y = torch.conv2d(torch.where(x < 0, -1.0, 1.0), weight, padding=1)
        logits: torch.Tensor = self.fc((x + y).mean(dim=(2, 3)))
        return logits


@pytest.fixture(scope="module")
def module() -> nn.Module:
    torch.manual_seed(0)
    return Small().eval()


@pytest.fixture(scope="module")
def exported(module: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its exact ONNX file."""
    samples = np.random.default_rng(0).normal(size=(16, *SHAPE)).astype(np.float32)
    exact = make_exact(deploy(capture(module, SHAPE)).graph, [samples])
    info = ModelInfo("small", SHAPE, input_range=(-2.0, 2.0), numerics=exact.numerics.to_text())
    path = tmp_path_factory.mktemp("exported") / "small.onnx"
    find_converter("onnx").convert(exact.graph, info, path, ConvertOptions())
    return path


def changed(source: Path, path: Path, layer: str) -> Path:
    """A copy in which one bias of a layer is off by 2^-12."""
    model = onnx.load(source)
    node = next(node for node in model.graph.node if len(node.input) == 3 and layer in node.output[0])
    (constant,) = (value for value in model.graph.initializer if value.name == node.input[2])
    values = onnx.numpy_helper.to_array(constant).copy()
    values[5] += np.float32(2**-12)
    constant.CopyFrom(onnx.numpy_helper.from_array(values, constant.name))
    onnx.save(model, path)
    return path


def test_equal_bits_pass_and_the_comparison_comes_back(exported: Path) -> None:
    found = assert_bit_exact(exported, str(exported), "random:12")
    assert found.verdict == "equal"
    assert found.comparison.values == 120


def test_a_module_is_compared_with_its_file(module: nn.Module, exported: Path) -> None:
    found = assert_bit_exact(module, exported, "random:12")
    assert (found.a.path, found.a.numerics) == ("the module Small", "exact")
    assert found.a.what == "its deployed graph, numerics of small.onnx"
    assert_bit_exact(exported, module, "random:12")


def test_inputs_may_be_an_array(exported: Path) -> None:
    images = np.random.default_rng(1).normal(size=(5, *SHAPE)).astype(np.float32)
    assert assert_bit_exact(exported, exported, images).comparison.values == 50
    assert assert_bit_exact(exported, exported, images.transpose(0, 2, 3, 1)).comparison.values == 50


def test_the_first_tensor_that_differs_is_named(module: nn.Module, exported: Path, tmp_path: Path) -> None:
    wrong = changed(exported, tmp_path / "wrong.onnx", "stem")
    with pytest.raises(AssertionError) as raised:
        assert_bit_exact(module, wrong, "random:12")
    assert re.fullmatch(
        r"the module Small and .*wrong\.onnx differ: \d+ of 120 output values on 12 seeded synthetic images; "
        r"first in tensor stem\S* of layer stem, input \d+, index \[5, \d+, \d+\]: "
        r"\S+ \(0x[0-9a-f]{8}\) in the module Small, \S+ \(0x[0-9a-f]{8}\) in wrong\.onnx",
        str(raised.value),
    )
    assert not isinstance(raised.value, fdabnn_deploy.FdabnnError)


def test_files_with_float_numerics_may_be_equal_or_not(
    module: nn.Module, exported: Path, tmp_path: Path
) -> None:
    graph = deploy(capture(module, SHAPE)).graph
    plain = tmp_path / "float.onnx"
    info = ModelInfo("float", SHAPE, numerics='{"mode":"float","cuts":{}}')
    find_converter("onnx").convert(graph, info, plain, ConvertOptions())
    assert assert_bit_exact(plain, plain, "random:3").verdict == "reported"
    with pytest.raises(
        AssertionError, match=r"equal bits were not promised: .*float\.onnx has float numerics"
    ):
        assert_bit_exact(exported, plain, "random:12")


def test_what_could_not_be_compared_is_no_failure(module: nn.Module, exported: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        assert_bit_exact(exported, tmp_path / "missing.onnx")
    (tmp_path / "damaged.onnx").write_bytes(exported.read_bytes()[:500])
    with pytest.raises(ModelRefusedError):
        assert_bit_exact(exported, tmp_path / "damaged.onnx", "random:2")
    with pytest.raises(UsageError, match="the module Small takes its input shape from the file"):
        assert_bit_exact(module, module, "random:2")
    with pytest.raises(UsageError, match=r"not a int"):
        assert_bit_exact(3, exported, "random:2")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="array of samples"):
        assert_bit_exact(exported, exported, np.zeros((2, 3, 4, 4), dtype=np.float32))
