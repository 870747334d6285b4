from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ir.ops import Array, FloatArray
from fdabnn_deploy.runtimes.batches import MOST_IMAGES
from fdabnn_deploy.runtimes.torch_module import run_as_it_is, run_module


class TwoOutputs(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.sum(dim=1), 2 * x


class NoBatch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sum()


def test_batches_are_put_together_again() -> None:
    images = np.random.default_rng(0).standard_normal((2 * MOST_IMAGES + 3, 4)).astype(np.float32)
    first, second = run_module(TwoOutputs().eval(), images)
    np.testing.assert_array_equal(second, 2 * images)
    np.testing.assert_allclose(first, images.sum(axis=1), rtol=1e-5, atol=1e-6)
    assert torch.is_grad_enabled()


def test_outputs_without_a_batch_are_refused() -> None:
    with pytest.raises(ModelRefusedError, match="return the logits only"):
        run_module(NoBatch().eval(), np.zeros((2, 4), np.float32))


class Several(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        flat = x.flatten(1)
        return {
            "label": flat.argmax(1) + 2**40,
            "double": flat.double() + 2.0**-40,
            "time": torch.stack([flat, -flat]),
            "mask": flat > 0,
            "half": flat.to(torch.bfloat16),
        }


@pytest.mark.parametrize("count", [1, 2, 34, 40])
def test_every_output_as_it_is(count: int) -> None:
    images = np.random.default_rng(0).standard_normal((count, 1, 2, 2)).astype(np.float32)
    flat = images.reshape(count, 4)
    label, double, time, mask, half = run_as_it_is(Several().eval(), images)
    assert np.array_equal(label, flat.argmax(1) + 2**40)
    assert np.array_equal(double, flat.astype(np.float64) + 2.0**-40)
    assert np.array_equal(time, np.stack([flat, -flat], 1)[:, :, None])
    assert np.array_equal(mask, flat > 0)
    assert half.dtype == np.float32


class WritesIntoItsInput(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x.mul_(0.5)
        x[:, 0] -= 0.25
        return x


class KeepsItsOutput(nn.Module):
    """Returns the same buffer at every call."""

    kept: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kept", torch.zeros(MOST_IMAGES, 4))

    def forward(self, x: Tensor) -> Tensor:
        self.kept[: len(x)] = 2 * x
        return self.kept[: len(x)]


@pytest.mark.parametrize("run", [run_module, run_as_it_is])
@pytest.mark.parametrize("module", [WritesIntoItsInput(), KeepsItsOutput()])
def test_every_batch_is_the_modules_own(
    run: Callable[[nn.Module, FloatArray], list[Array]], module: nn.Module
) -> None:
    images = np.random.default_rng(0).standard_normal((2 * MOST_IMAGES + 3, 4)).astype(np.float32)
    before = images.copy()
    (found,) = run(module.eval(), images)
    assert images.tobytes() == before.tobytes()
    if isinstance(module, KeepsItsOutput):
        assert np.array_equal(found, 2 * before)
    else:
        assert np.array_equal(found, before * np.float32(0.5) - np.array([0.25, 0, 0, 0], np.float32))
