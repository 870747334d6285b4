"""Comparisons, masks and signs as networks write them: every file computes the module's own values, ties and zeros included.

Inputs and weights are small dyadic numbers, so that PyTorch's float32 arithmetic is exact, and outputs are compared by `==`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import fdabnn_deploy
from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend.capture.function_module_testing import FunctionModule
from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.ir.sign_zero import SignZero
from fdabnn_deploy.pipeline.report import Report
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.runtimes.torch_module import run_module
from fdabnn_deploy.targets.converter import Kernels

SHAPE = (8, 8, 8)
COUNT = 24


def plus_minus(x: Tensor) -> Tensor:
    """The deployed sign."""
    return torch.where(x < 0, -1.0, 1.0)


class Binary(nn.Module):
    """The sign of the input in one spelling, convolved with weights of +-1, or of {-1, 0, 1}; padded with zeros."""

    def __init__(self, spell: Callable[[Tensor], Tensor], ternary: bool = False, stride: int = 1) -> None:
        super().__init__()
        self.spell, self.ternary, self.stride = spell, ternary, stride
        self.weight = nn.Parameter(torch.randn(8, 8, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.sign(self.weight)
        if self.ternary:
            weight = weight * (self.weight.abs() > 0.5)
        return F.conv2d(self.spell(x), weight, None, self.stride, 1)


class Branches(nn.Module):
    """Every branch on the same input and on the integers of a binary layer."""

    def __init__(self, branches: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.first = Binary(plus_minus)
        self.branches = nn.ModuleList(branches.values())

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        integers = self.first(x)
        return tuple(branch(value).mean((2, 3)) for branch in self.branches for value in (x, integers))


class PerChannel(nn.Module):
    """A trained threshold per channel, expanded, repeated or tiled to the shape of the activation first."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.threshold = nn.Parameter(torch.tensor([-2.0, -1, -0.5, 0, 0.25, 1, 2, 4]).view(1, 8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        t: Tensor = self.threshold
        if self.how == "expand_as":
            t = t.expand_as(x)
        elif self.how == "expand":
            t = t.expand(x.shape[0], -1, 8, 8)
        elif self.how == "repeat":
            t = t.repeat(x.shape[0], 1, 8, 8)
        else:
            t = torch.tile(t, (1, 1, 8, 8))
        return (x + t) * (x > t)


def mended(value: float) -> Callable[[Tensor], Tensor]:
    """`y[y == 0] = value` behind a sign."""

    def spell(x: Tensor) -> Tensor:
        y = torch.sign(x)
        y[y == 0] = value
        return y

    return spell


def assigned(x: Tensor) -> Tensor:
    """Two assignments by index."""
    y = x.clone()
    y[x > 0.25] = 1
    y[x <= 0.25] = -1
    return y


COMPARED: dict[str, Callable[[Tensor], Tensor]] = {
    "x > 0": lambda x: 2 * (x > 0).float() - 1,
    "x >= 0": lambda x: 2 * (x >= 0).float() - 1,
    "x < 0.25": lambda x: torch.where(x < 0.25, -1.0, 1.0),
    "x <= 0.25": lambda x: torch.where(x <= 0.25, 1.0, -1.0),
    "0 < x": lambda x: torch.where(torch.zeros_like(x) < x, 1.0, -1.0),
    "integer cast": lambda x: ((x > -1).int() * 2 - 1).float(),
    "type_as": lambda x: (x > 1).type_as(x) * 2 - 1,
    "not": lambda x: 1 - 2 * (~(x > 0)).float(),
    "assigned": assigned,
    "mended to +1": mended(1.0),
    "mended to -1": mended(-1.0),
    "masked_fill": lambda x: torch.sign(x).masked_fill(x == 0, 1.0),
    "where": lambda x: torch.where(torch.sign(x) == 0, torch.tensor(-1.0), torch.sign(x)),
    "before": lambda x: torch.sign(torch.where(x == 0, 1.0, x)),
    "shifted": lambda x: torch.sign(torch.sign(x) + 0.1),
    "heaviside": lambda x: 2 * torch.heaviside(x, torch.tensor(0.0)) - 1,
    "pooled": lambda x: F.max_pool2d(2 * (x > 0).float() - 1, 3, 1, 1),
    "joined": lambda x: torch.cat([2 * (x[:, :4] > 0).float() - 1, plus_minus(x[:, 4:])], 1),
}

MASKS: dict[str, Callable[[Tensor], Tensor]] = {
    "strict": lambda x: (1 - (x > 2).float()) * x + (x > 2).float() * (x * x),
    "where of tensors": lambda x: torch.where(x >= 0.25, x, -2 * x),
    "where of a constant": lambda x: torch.where(x > 0, x, 0.75),
    "boolean factor": lambda x: x * (x != 0),
    "logic": lambda x: x * ((x > -1) & (x <= 1) | (x == 2)),
    "xor": lambda x: torch.logical_xor(x > 0, x > 1).float(),
    "two tensors": lambda x: torch.where(x > x * x, x, x * x),
    "equal": lambda x: (x == 1).float() * 3,
}


def images() -> FloatArray:
    """Dyadic numbers, with many exact zeros of both signs and ties."""
    rng = np.random.default_rng(5)
    values = np.array([-2, -1, -0.25, -0.0, 0.0, 0.0, 0.25, 0.5, 1, 2], dtype=np.float32)
    return rng.choice(values, size=(COUNT, *SHAPE))


def exported(module: nn.Module, folder: Path, sign_zero: SignZero, layers: int, binary_layers: int) -> Report:
    """All files of a module, whose binary layers are what they are expected to be."""
    report = fdabnn_deploy.export(
        module, torch.zeros(1, *SHAPE), out=folder, samples=images(), sign_zero=sign_zero, name="net"
    )
    fdabnn_deploy.export(
        module, torch.zeros(1, *SHAPE), targets="onnx", kernels="packed", out=folder / "packed", samples=images(),
        sign_zero=sign_zero, name="net",
    )  # fmt: skip
    assert sum(layer.binary_layers > 0 for layer in report.coverage) == layers
    assert sum(layer.binary_layers for layer in report.coverage) == binary_layers
    assert report.truth.comparison.differing == 0
    return report


def check_files(folder: Path, expected: list[FloatArray]) -> None:
    """Every file on its runtimes gives these outputs."""
    for runtime, path in (
        ("onnxruntime", folder / "net.onnx"),
        ("onnxruntime", folder / "packed" / "net.onnx"),
        ("litert", folder / "net.tflite"),
    ):
        found = [
            np.concatenate(parts)
            for parts in zip(
                *(registry.get(runtime).open(path).run([image[None]]) for image in images()), strict=True
            )
        ]
        assert len(found) == len(expected)
        for position, (a, b) in enumerate(zip(found, expected, strict=True)):
            np.testing.assert_array_equal(a + 0.0, b + 0.0, err_msg=f"{path.name}, output {position}")


def test_comparisons_and_signs_that_mend_zero(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Branches({name: Binary(spell) for name, spell in COMPARED.items()}).eval()
    # Every branch is called twice.
    layers = 1 + 2 * len(COMPARED)
    report = exported(module, tmp_path, "plus", layers, layers)
    assert report.sign_zeros.changed == 0
    check_files(tmp_path, run_module(module, images()))


def test_masks_and_constants_per_channel(tmp_path: Path) -> None:
    torch.manual_seed(1)
    branches = {name: FunctionModule(spell) for name, spell in MASKS.items()}
    shifts = {how: PerChannel(how) for how in ("expand_as", "expand", "repeat", "tile")}
    module = Branches({**branches, **shifts}).eval()
    exported(module, tmp_path, "plus", 1, 1)
    check_files(tmp_path, run_module(module, images()))


THREE_VALUED: dict[str, Callable[[Tensor], Tensor]] = {
    "torch.sign": torch.sign,
    "behind a ReLU": lambda x: torch.sign(torch.relu(x)),
    "padded in front": lambda x: torch.sign(F.pad(x, (1, 1, 1, 1)))[:, :, 1:9, 1:9],
    "channels of zeros": lambda x: torch.sign(torch.cat([x[:, :6], torch.zeros_like(x[:, :2])], 1)),
    "difference": lambda x: (x > 0).float() - (x < 0).float(),
    "shifted": lambda x: torch.sign(x - 0.25),
    "pooled": lambda x: F.max_pool2d(torch.sign(x), 3, 1, 1),
}


def test_signs_with_three_values(tmp_path: Path) -> None:
    torch.manual_seed(2)
    branches: dict[str, nn.Module] = {name: Binary(spell) for name, spell in THREE_VALUED.items()}
    branches["ternary weights"] = Binary(plus_minus, ternary=True)
    branches["both"] = Binary(torch.sign, ternary=True, stride=2)
    branches["residual"] = FunctionModule(lambda x: torch.sign(x) + x)
    module = Branches(branches).eval()
    count = len(THREE_VALUED)
    report = exported(module, tmp_path, "exact", 1 + 2 * (count + 2), 1 + 2 * (2 * (count + 1) + 4))
    assert report.sign_zeros.changed == 0
    assert sum(report.sign_zeros.zeros.values()) > 1000
    check_files(tmp_path, run_module(module, images()))


@pytest.mark.parametrize(("sign_zero", "tie"), [("plus", 1.0), ("minus", -1.0)])
def test_zeros_count_as_chosen(tmp_path: Path, sign_zero: SignZero, tie: float) -> None:
    torch.manual_seed(3)
    spelled = {"sign": Binary(torch.sign), "relu": Binary(THREE_VALUED["behind a ReLU"])}
    module = Branches(spelled).eval()
    resolved = Branches(
        {"sign": Binary(mended(tie)), "relu": Binary(lambda x: mended(tie)(torch.relu(x)))}
    ).eval()
    resolved.load_state_dict(module.state_dict())
    report = fdabnn_deploy.export(
        module, torch.zeros(1, *SHAPE), targets="onnx", out=tmp_path, samples=images(), sign_zero=sign_zero, name="net", allow_change=True
    )  # fmt: skip
    assert report.sign_zeros.changed > 1000
    assert report.sign_zeros.structural["branches.1"].startswith("behind a ReLU")
    found = registry.get("onnxruntime").open(tmp_path / "net.onnx").run([images()[:1]])
    for a, b in zip(found, run_module(resolved, images()[:1]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert all(layer.binary_layers == 1 for layer in report.coverage)


def test_zeros_that_a_grid_moves_are_refused(tmp_path: Path) -> None:
    torch.manual_seed(4)
    pooled = Binary(lambda x: torch.sign(F.avg_pool2d(x, 3, 1, 1)))
    small = 1e-7 * np.random.default_rng(0).normal(size=(4, *SHAPE)).astype(np.float32)
    small[:, :, 0, 0] = 100
    with pytest.raises(ModelRefusedError, match=r"--sign-zero exact: .* rounding only"):
        fdabnn_deploy.export(
            pooled.eval(),
            torch.zeros(1, *SHAPE),
            targets="onnx",
            out=tmp_path,
            samples=small,
            sign_zero="exact",
        )
    assert list(tmp_path.iterdir()) == []


def test_weights_with_a_third_value_are_two_binary_layers(tmp_path: Path) -> None:
    torch.manual_seed(5)
    module = Binary(plus_minus, ternary=True).eval()
    zeros = int((module.weight.abs() <= 0.5).sum())
    report = fdabnn_deploy.export(
        module, torch.zeros(1, *SHAPE), targets="onnx", out=tmp_path, samples=images()
    )
    assert [layer.binary_layers for layer in report.coverage] == [2]
    assert list(report.weight_zeros.values()) == [zeros]
    assert report.truth.comparison.max_abs <= 1e-5


def test_a_checkpoint_is_compared_by_the_rule_of_the_file(tmp_path: Path) -> None:
    torch.manual_seed(6)
    module = Branches({"sign": Binary(torch.sign)}).eval()
    for sign_zero in ("plus", "minus", "exact"):
        report = fdabnn_deploy.export(
            module, torch.zeros(1, *SHAPE), targets="onnx", out=tmp_path, samples=images(), name=sign_zero,
            sign_zero=sign_zero, allow_change=sign_zero != "exact",
        )  # fmt: skip
        compared = fdabnn_deploy.compare_models(module, tmp_path / f"{sign_zero}.onnx", images())
        assert compared.passed, sign_zero
        assert report.sign_zeros.sign_zero == sign_zero


class Values(nn.Module):
    """The signs of the input in several spellings, without a layer behind them."""

    def __init__(self, spellings: Sequence[Callable[[Tensor], Tensor]]) -> None:
        super().__init__()
        self.spellings = spellings
        self.layer = Binary(plus_minus)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (self.layer(x).mean((2, 3)), *(spell(x).flatten(1) for spell in self.spellings))


def test_values_at_nan_and_infinities(tmp_path: Path) -> None:
    """With float numerics NaN reaches comparisons: false for those that are strict, as in PyTorch."""
    strict = [
        lambda x: torch.where(x < 0, -1.0, 1.0),
        lambda x: 2 * (x > 0).float() - 1,
        lambda x: (x > 0.25).float(),
        lambda x: torch.where(x < -2, 3.0, 5.0),
        lambda x: torch.where(x > torch.tensor(1.0), 0.7, 0.1),
    ]
    torch.manual_seed(7)
    module = Values(strict).eval()
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 0.25, -2, 1, 1e-30, -1e-30], dtype=np.float32)
    x = np.random.default_rng(1).choice(special, size=(4, *SHAPE))
    expected = run_module(module, x)
    both: tuple[tuple[Kernels, str], ...] = (("standard", "all"), ("packed", "onnx"))
    for kernels, targets in both:
        folder = tmp_path / kernels
        fdabnn_deploy.export(
            module, torch.zeros(1, *SHAPE), targets=targets, kernels=kernels, out=folder, samples=images(),
            numerics="float", name="net",
        )  # fmt: skip
        for path in sorted(folder.iterdir()):
            runtime = "litert" if path.suffix == ".tflite" else "onnxruntime"
            session = registry.get(runtime).open(path)
            for row, image in enumerate(x):
                for a, b in zip(session.run([image[None]]), expected, strict=True):
                    np.testing.assert_array_equal(a[0], b[row], err_msg=str(path.relative_to(tmp_path)))
