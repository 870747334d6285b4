from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn

from fdabnn_deploy.frontend.capture import capture
from fdabnn_deploy.verify.gate.float32_program import SingleProgram
from fdabnn_deploy.verify.gate.float64_program import DoubleProgram, InFloat32
from fdabnn_deploy.verify.gate.gate_testing import SHAPE, images, trained


def test_it_is_the_module_in_float64() -> None:
    net = trained()
    program = DoubleProgram(capture(net, SHAPE))
    wide = copy.deepcopy(net).double()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            expected = wide(torch.from_numpy(images(2)).double()).numpy()
    finally:
        torch.set_default_dtype(torch.float32)
    (computed,) = program.run(images(2))
    assert computed.dtype == np.float64
    np.testing.assert_allclose(computed, expected, rtol=1e-12)
    (single,) = program.run(images(1))
    assert single.shape == (1, 10)
    np.testing.assert_allclose(single, expected[:1], rtol=1e-12)


def test_float32_beside_it_is_the_module_or_starts_anew() -> None:
    captured = capture(trained(), SHAPE)
    last = captured.calls[captured.graph.outputs[0]]
    told: dict[str, torch.Tensor] = {}

    def seen(name: str, tensor: torch.Tensor) -> None:
        told[name] = tensor

    DoubleProgram(captured, InFloat32((), seen)).run(images(2))
    assert told[last].dtype == torch.float32
    (single,) = SingleProgram(captured).run(images(2))
    assert np.array_equal(told[last].numpy(), single)
    # From float64's own values, a layer is off by its own roundings only.
    (wide,) = DoubleProgram(captured, InFloat32(frozenset(captured.calls.values()), seen)).run(images(2))
    assert np.abs(told[last].numpy() - wide).max() < 1e-6


class Typed(nn.Module):
    """Asks for float32 in many words, and calls its input as `nn.Sequential` does."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        mask = (
            (input > 0).float()
            + torch.zeros_like(input, dtype=torch.float32)
            + torch.full((1,), 1.0).to(torch.float32)
        )
        return (mask * (input / 3)).to(dtype=torch.float32).flatten(1)


def test_every_type_is_widened_and_every_tensor_is_told() -> None:
    captured = capture(Typed().eval(), (2, 3))
    x = np.random.default_rng(0).standard_normal((2, 2, 3)).astype(np.float32)
    told: dict[str, torch.Tensor] = {}
    (computed,) = DoubleProgram(captured).run(x, lambda name, tensor: told.update({name: tensor}))
    wide = x.astype(np.float64)
    assert np.array_equal(computed, (((wide > 0) + 1.0) * (wide / 3)).reshape(2, -1))
    names = set(captured.calls.values())
    assert names <= set(told)
    assert torch.equal(told[captured.calls["input"]], torch.from_numpy(wide))
