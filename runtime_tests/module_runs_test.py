"""Modules that change their input or return structures, from export() to the finished files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.exact.record import Mode
from fdabnn_deploy.pipeline.export import export
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.verify.comparison import compare_models

Step = Callable[[Tensor], Tensor]


def sign(x: Tensor) -> Tensor:
    return torch.where(x >= 0, 1.0, -1.0)


class Net(nn.Module):
    """A binary convolution and a classifier, with a step of the user's in front and one behind."""

    def __init__(self, before: Step = lambda x: x, after: Step = lambda y: y) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight = nn.Parameter(torch.randn(8, 8, 3, 3))
        self.fc = nn.Linear(8, 10)
        self.before, self.after = before, after
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(sign(self.before(x)), sign(self.weight), padding=1)
        return self.after(self.fc(x.mean((2, 3)) / 8))


def inputs(count: int = 8) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(0).normal(size=(count, 8, 8, 8)).astype(np.float32)


def digest(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> str:
    return hashlib.sha256(values.tobytes()).hexdigest()


def scaled(x: Tensor) -> Tensor:
    x.mul_(0.5)
    x.sub_(0.25)
    return x


def through_a_view(x: Tensor) -> Tensor:
    x.flatten(1).add_(0.5)
    return x


def augmented(x: Tensor) -> Tensor:
    x += 0.25
    return x


WRITERS = [scaled, through_a_view, augmented, lambda x: F.hardtanh(x, -1, 1, inplace=True) - 0.5]


@pytest.mark.parametrize("before", WRITERS)
def test_a_module_that_writes_into_its_input_leaves_the_callers_alone(before: Step, tmp_path: Path) -> None:
    samples, example = inputs(), torch.full((1, 8, 8, 8), 0.75)
    was = digest(samples), digest(example.numpy())
    net = Net(before)
    done = export(net, example, targets=["onnx", "tflite"], out=tmp_path, samples=samples)
    assert done.verdict == "verified"
    assert (digest(samples), digest(example.numpy())) == was
    compare_models(net, done.artifacts[0].path, samples)
    assert digest(samples) == was[0]


OUTPUTS: dict[str, Step] = {
    "squeeze(1)": lambda y: y[:, :1].squeeze(1),
    "squeeze()": lambda y: y[:, :1].squeeze(),
    "one score": lambda y: y[:, 3],
    "mean": lambda y: y.mean(1),
    "computed further": lambda y: torch.relu(y[:, 0] * 2 + y[:, 1]).clamp(0, 0.5),
    "sign of one": lambda y: torch.where(y[:, 0] > 0, 1.0, -1.0),
    "three-valued sign of one": lambda y: torch.sign(y[:, 0]) * 2,
    "comparison of two": lambda y: y[:, 0] > y[:, 1],
    "N1": lambda y: y[:, :1],
    "NC11": lambda y: y[:, :, None, None],
    "bool": lambda y: y > 0,
    "integers": lambda y: (y > 0).long(),
}


@pytest.mark.parametrize("numerics", ["exact", "float"])
@pytest.mark.parametrize("after", OUTPUTS.values(), ids=OUTPUTS)
def test_outputs_of_every_shape_and_type(after: Step, numerics: Mode, tmp_path: Path) -> None:
    net, samples = Net(after=after), inputs(16)
    done = export(
        net,
        torch.zeros(1, 8, 8, 8),
        targets=["onnx", "tflite"],
        out=tmp_path,
        samples=samples,
        numerics=numerics,
    )
    assert done.verdict == "verified"
    trained = net(torch.from_numpy(samples)).detach().float().numpy()
    for artifact in done.artifacts:
        session = registry.for_file(Path(artifact.path)).open(Path(artifact.path))
        computed = np.concatenate([session.run([image[None]])[0] for image in samples])
        assert computed.shape == trained.shape
        assert np.abs(computed - trained).max() < 1e-3


def test_one_number_per_image_in_a_file_of_any_batch_size(tmp_path: Path) -> None:
    net, samples = Net(after=OUTPUTS["one score"]), inputs(5)
    done = export(
        net, torch.zeros(1, 8, 8, 8), targets=["onnx", "tflite"], out=tmp_path, samples=samples, batch=None
    )
    assert done.verdict == "verified"
    for artifact in done.artifacts:
        result = compare_models(net, artifact.path, samples)
        assert result.comparison.differing == 0


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (lambda y: y[:, 0] * y[:, :2], r"one number per image \[N\] beside a tensor with channels"),
        (lambda y: y[:, 0] * torch.tensor([1.0, 2.0]), r"one number per image \[N\] beside a constant"),
    ],
)
def test_one_number_per_image_is_not_mixed_with_other_images(
    after: Step, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelRefusedError, match=reason):
        export(Net(after=after), torch.zeros(1, 8, 8, 8), out=tmp_path, samples=inputs())
