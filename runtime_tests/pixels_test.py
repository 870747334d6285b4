"""Files that take pixels: exported whole in every form, proved, with equal bits on every runtime; and what other tools do with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import fdabnn_deploy
from fdabnn_deploy.cli import parity, profile
from fdabnn_deploy.data.images import synthetic
from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.verify.capsule import read_capsule
from fdabnn_deploy.verify.capsule_replay import replay
from fdabnn_deploy.verify.gate.gate_testing import BinaryConv

pytestmark = pytest.mark.runtimes

SIZE = 14
MEAN, STD = (0.49, 0.48, 0.45, 0.5), (0.25, 0.24, 0.26, 0.3)


class Stem(nn.Module):
    """A network whose first layer is given."""

    def __init__(self, *first: nn.Module, channels: int = 16) -> None:
        super().__init__()
        self.first = nn.Sequential(*first)
        self.body = nn.Sequential(BinaryConv(channels, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.PReLU(16))
        self.head = nn.Linear(16, 6)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(self.first(x)).mean((2, 3)))
        return out


class TwoReaders(Stem):
    """The image is read by two convolutions and, as it is, by a sign."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 16, 3, 1, 1), nn.BatchNorm2d(16))
        self.other, self.signs = nn.Conv2d(3, 16, 5, 1, 2), BinaryConv(3, 16, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x) + self.other(x) + 0.1 * self.signs(x)
        out: Tensor = self.head(self.body(y).mean((2, 3)))
        return out


def trained(network: nn.Module, channels: int = 3) -> nn.Module:
    """With seeded weights, and the statistics of some images."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.PReLU):
            nn.init.uniform_(module.weight, 0.1, 0.5)
    mean, std = (torch.tensor(v[:channels]).view(-1, 1, 1) for v in (MEAN, STD))
    images = torch.from_numpy(synthetic(64, (channels, SIZE, SIZE))) / 255
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
        network.train()((images - mean) / std)
    return network.eval()


def stem(channels: int = 3, kernel: int = 3, stride: int = 1, padding: int = 1) -> Stem:
    return Stem(nn.Conv2d(channels, 16, kernel, stride, padding), nn.BatchNorm2d(16))


NETWORKS: dict[str, tuple[Any, int, dict[str, Any]]] = {
    "3x3": (stem, 3, {}),
    "7x7, stride 2": (lambda: stem(3, 7, 2, 3), 3, {}),
    "no padding": (lambda: stem(3, 3, 1, 0), 3, {}),
    "grey": (lambda: stem(1), 1, {}),
    "two channels": (lambda: stem(2), 2, {}),
    "four channels": (lambda: stem(4), 4, {}),
    "blue first": (stem, 3, {"channel_order": "bgr"}),
    "channels last": (lambda: stem(3, 7, 2, 3), 3, {"layout": "nhwc"}),
    "blue first, channels last, packed": (
        stem, 3, {"channel_order": "bgr", "layout": "nhwc", "kernels": "packed"},
    ),
    "packed": (lambda: stem(3, 7, 2, 3), 3, {"kernels": "packed"}),
    "any batch": (stem, 3, {"batch": "dynamic"}),
    "norm in front": (lambda: Stem(nn.BatchNorm2d(3), nn.Conv2d(3, 16, 3, 1, 1)), 3, {}),
    "pool in front": (lambda: Stem(nn.MaxPool2d(2), nn.Conv2d(3, 16, 3, 1, 1)), 3, {}),
    "uneven border": (lambda: Stem(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 16, 3, 2)), 3, {}),
    "two readers, blue first": (TwoReaders, 3, {"channel_order": "bgr"}),
    "1-bit first layer": (lambda: Stem(BinaryConv(3, 16, 3, 1, 1), nn.BatchNorm2d(16)), 3, {}),
}  # fmt: skip


def export(out: Path, network: nn.Module, channels: int, **options: Any) -> fdabnn_deploy.Report:
    given: dict[str, Any] = {
        "mean": MEAN[:channels],
        "std": STD[:channels],
        "input_format": "pixels",
        **options,
    }
    return fdabnn_deploy.export(
        network,
        torch.zeros(1, channels, SIZE, SIZE),
        out=out,
        name="net",
        samples="random:24",
        allow_float="*",
        **given,
    )


@pytest.mark.parametrize(("make", "channels", "options"), NETWORKS.values(), ids=NETWORKS)
def test_every_form_is_proved_and_equal_everywhere(
    make: Any, channels: int, options: dict[str, Any], tmp_path: Path
) -> None:
    report = export(tmp_path, trained(make(), channels), channels, **options)
    assert report.verdict == "verified"
    assert all(row.comparison.differing == 0 for row in report.parity)
    assert report.truth.agreement.same == report.truth.agreement.images
    first = (
        onnxruntime.InferenceSession(tmp_path / "net.onnx").get_inputs() if "kernels" not in options else []
    )
    for value in first:
        last = options.get("layout") == "nhwc"
        assert value.type == "tensor(uint8)"
        assert value.shape[1:] == ([SIZE, SIZE, channels] if last else [channels, SIZE, SIZE])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same network as files of pixels, of pixels with blue first, and of normalised images; and a capsule."""
    network = trained(stem(3, 7, 2, 3))
    folder = tmp_path_factory.mktemp("pixels")
    export(folder / "pixels", network, 3, capsule=folder / "pixels.capsule")
    export(folder / "bgr", network, 3, channel_order="bgr", targets="onnx", layout="nhwc")
    export(folder / "float", network, 3, input_format="float32")
    names = {
        "pixels": "pixels/net.onnx",
        "tflite": "pixels/net.tflite",
        "bgr": "bgr/net.onnx",
        "float": "float/net.onnx",
    }
    return {key: folder / name for key, name in {**names, "capsule": "pixels.capsule"}.items()}


def test_bytes_of_a_camera_with_nothing_in_front(files: dict[str, Path]) -> None:
    rgb = synthetic(3, (3, SIZE, SIZE))
    given = {"pixels": rgb, "bgr": np.ascontiguousarray(rgb[:, ::-1].transpose(0, 2, 3, 1))}
    outputs = {}
    for name, images in given.items():
        session = onnxruntime.InferenceSession(files[name])
        place = session.get_inputs()[0].name
        outputs[name] = np.concatenate([session.run(None, {place: image[None]})[0] for image in images])
    np.testing.assert_array_equal(outputs["pixels"], outputs["bgr"])


def test_parity_of_the_same_input_form_is_by_bits(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for other in ("tflite", "bgr"):
        assert parity.main([str(files["pixels"]), str(files[other]), "--inputs", "random:8"]) == 0
        assert "the same bits: 0 of 48 values differ" in " ".join(capsys.readouterr().out.split())


def test_parity_with_the_other_input_form_feeds_the_same_images_and_judges_nothing(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert parity.main([str(files["pixels"]), str(files["float"]), "--inputs", "random:8"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "takes pixels and the other side normalised images" in shown
    assert "8 of 8 decisions are the same" in shown


def test_float_inputs_are_refused(files: dict[str, Path], tmp_path: Path) -> None:
    np.save(tmp_path / "floats.npy", np.zeros((2, 3, SIZE, SIZE), np.float32))
    with pytest.raises(UsageError, match=r"takes pixels, bytes 0 \.\. 255"):
        fdabnn_deploy.compare_models(files["pixels"], files["tflite"], tmp_path / "floats.npy")
    session = registry.for_file(files["tflite"]).open(files["tflite"])
    with pytest.raises(UsageError, match="input 0 of the model is uint8"):
        session.run([np.zeros((1, 3, SIZE, SIZE), np.float32)])


def test_a_capsule_holds_bytes(files: dict[str, Path]) -> None:
    capsule = read_capsule(files["capsule"])
    (image,) = capsule.inputs
    assert image.values.dtype == np.uint8
    assert image.values.shape[1:] == (SIZE, SIZE, 3)
    assert replay(capsule).passed


@pytest.mark.parametrize("name", ["pixels", "tflite"])
def test_the_profile_and_its_runner_take_them(
    name: str, files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "profile.json"
    assert profile.main([str(files[name]), "--runs", "3", "--json", str(report)]) == 0, capsys.readouterr()
    assert json.loads(report.read_text())


def test_float_numerics_normalise_in_front(tmp_path: Path) -> None:
    report = export(tmp_path, trained(stem()), 3, numerics="float")
    assert report.verdict != "failed"
    assert report.truth.agreement.same == report.truth.agreement.images
