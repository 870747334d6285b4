from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from fdabnn_deploy.frontend.capture import capture
from fdabnn_deploy.verify.gate.float64_program import DoubleProgram
from fdabnn_deploy.verify.gate.trained_zeros import TrainedZeros


class Signs(nn.Module):
    """Twos are zeros of the first sign, minus ones those of the masks; a mask alone has none."""

    def forward(self, x: Tensor) -> Tensor:
        first = torch.sign(x - 2) * 3
        second = (x > -1).float() - (x < -1).float()
        return first + second + torch.where(x >= 1, 1.0, -1.0)


def test_zeros_are_counted_where_they_are_written_and_once() -> None:
    captured = capture(Signs().eval(), (1, 2, 3))
    zeros = TrainedZeros(captured)
    x = np.array([[2, 2, -1, 1, 1, 1], [2, 0, 0, -1, 3, 4]], np.float32).reshape(2, 1, 2, 3)
    DoubleProgram(captured).run(x, lambda name, tensor: zeros.seen(name, tensor, 2))
    (output,) = captured.graph.outputs
    assert zeros.at(output, ()) == 5
    assert zeros.at("input", ()) == 0
    kinds = {node.name: node.op.kind for node in captured.graph}
    (sign,) = [name for name, kind in kinds.items() if kind == "TorchSign"]
    assert zeros.at(sign, ()) == 3
    assert zeros.at(output, {node.name for node in captured.graph.consumers(sign)}) == 2
