from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fdabnn_deploy.cli import lint

NETS = """
import torch
import torch.nn as nn
import torch.nn.functional as F

def sign(x):
    return torch.where(x < 0, -1.0, 1.0)

class Binary(nn.Conv2d):
    def forward(self, x):
        return F.conv2d(sign(x), sign(self.weight), None, self.stride, self.padding, 1, self.groups)

class Ternary(nn.Conv2d):
    def forward(self, x):
        weight = torch.sign(self.weight) * (self.weight.abs() > 0.02)
        return F.conv2d(F.pad(sign(x), (1, 1, 1, 1), value=1.0), weight)

class Dense(nn.Linear):
    def forward(self, x):
        return F.linear(sign(x), sign(self.weight))

class Half(nn.Conv2d):
    def forward(self, x):
        return F.conv2d(x, sign(self.weight))

class Padded(Binary):
    def forward(self, x):
        return super().forward(F.pad(sign(x), (1, 1, 1, 1), value=1.0))

def net():
    return nn.Sequential(
        nn.Conv2d(3, 24, 3), nn.BatchNorm2d(24), nn.ReLU(), Binary(24, 32, 3, padding=1), nn.PReLU(32), nn.BatchNorm2d(32),
        Ternary(32, 32, 3), nn.BatchNorm2d(32), Half(32, 32, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), Dense(32, 10), nn.Softmax(1),
    )

def good():
    return nn.Sequential(Padded(32, 32, 3), nn.BatchNorm2d(32), Padded(32, 10, 3))

def smooth():
    return nn.Sequential(nn.Conv2d(3, 32, 3), nn.Mish(), Binary(32, 32, 3))

def magnitudes():
    net = nn.Sequential(nn.Conv2d(3, 32, 3), Binary(32, 32, 3))
    net[1].forward = lambda x: F.conv2d(sign(x), sign(net[1].weight) * net[1].weight.abs())
    return net

def not_binary():
    return nn.Conv2d(3, 4, 3)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "nets_to_lint.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "nets_to_lint", None)
    del sys.modules["nets_to_lint"]
    return tmp_path


def run(*arguments: str, shape: str = "3,12,12") -> int:
    return lint.main([f"nets_to_lint:{arguments[0]}", "--input-shape", shape, *arguments[1:]])


def test_every_layer_has_its_codes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("net", "--json", "found.json") == 0
    found = json.loads((folder / "found.json").read_text())
    codes = {layer["module"]: layer["codes"] for layer in found["layers"]}
    assert codes == {
        "0": ["B101"], "3": ["B202", "B203", "B205", "B401"], "6": ["B201"], "8": ["B102"], "11": ["B402"],
    }  # fmt: skip
    assert {finding["code"] for finding in found["findings"]} >= {"B401", "B403"}
    printed = capsys.readouterr().out
    assert "4 of 5 layers 1-bit" not in printed
    assert "3 of 5 layers 1-bit" in printed
    assert "24 input channels, no multiple of 32" in printed
    assert "the final softmax was left out" in printed
    # Layers, not findings: the two of code B201 to B205 have four.
    assert "2 float, 2 slow, " in printed


def test_strict_takes_neither_float_nor_slow_layers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("net", "--strict") == 3
    assert "--strict does not allow" in capsys.readouterr().err
    assert run("good", "--strict", shape="32,8,8") == 0


@pytest.mark.parametrize(("network", "code", "text"), [
    ("smooth", "B301", "'mish'"),
    ("magnitudes", "B302", "different magnitudes"),
    ("not_binary", "B303", "no layer has both"),
])  # fmt: skip
def test_what_an_export_would_refuse(
    network: str, code: str, text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(network) == 3
    printed = capsys.readouterr()
    assert code in printed.out
    assert text in printed.out
    assert "would refuse" in printed.err


def test_layers_that_may_be_float_are_accepted(folder: Path) -> None:
    assert run("magnitudes", "--allow-float", "1,0", "--strict") == 0
    assert run("magnitudes", "--allow-float", "nowhere") == 2


def test_a_network_that_cannot_be_followed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("net", shape="3,2,2") == 3
    assert "does not run on an input of shape" in capsys.readouterr().out


@pytest.mark.parametrize("network", ["nets_to_lint:nowhere", "no_such_file.pt", "nothing.at:all"])
def test_what_is_not_there_is_a_usage_error(network: str, folder: Path) -> None:
    assert lint.main([network, "--input-shape", "3,8,8"]) == 2


def test_an_architecture_and_a_missing_shape(capsys: pytest.CaptureFixture[str]) -> None:
    assert lint.main(["resnet20"]) == 0
    assert "18 of 20 layers 1-bit" in capsys.readouterr().out


def test_no_runtime_is_loaded(folder: Path) -> None:
    code = (
        "import sys; from fdabnn_deploy.cli import lint; code = lint.main(['nets_to_lint:net', '--input-shape', '3,12,12']);"
        "print(code, [name for name in ('onnx', 'onnxruntime', 'ai_edge_litert', 'tensorflow') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder
    )
    assert done.stdout.splitlines()[-1] == "0 []"
