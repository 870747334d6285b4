from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from fdabnn_deploy.capture import capture, count_sign_zeros


class Signs(nn.Module):
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Identity()
        self.register_buffer("weight", torch.tensor([[1.0, 0.0], [1.0, -2.0]]))

    def forward(self, x: Tensor) -> Tensor:
        return torch.sign(x.flatten(1)) @ torch.sign(self.weight) + (x.flatten(1) > 0).float()


def test_counts_zeros_of_activations_only_and_reports_their_effect() -> None:
    captured = capture(Signs().eval(), (2, 1, 1))
    pictures = np.array([[1.0, -1.0], [0.0, 2.0], [-0.0, 0.0]], dtype=np.float32).reshape(3, 2, 1, 1)
    report = count_sign_zeros(captured, pictures)
    # Three zeros at the sign and the same three at the comparison; the odd picture out is repeated to fill a batch of two.
    assert report.zeros == {"model": 2 * (1 + 2 + 2)}
    assert report.images == 3
    # Second picture: sign (0, 1) -> (1, 1), comparison (0, 1) -> (1, 1); logits (1, 0) -> (3, 1).
    assert report.largest_change == 3.0
    assert 0 <= report.top1_agreement <= 1


def test_no_zeros() -> None:
    captured = capture(Signs().eval(), (2, 1, 1))
    report = count_sign_zeros(captured, np.full((4, 2, 1, 1), 0.5, dtype=np.float32))
    assert report.total == 0
    assert report.top1_agreement == 1.0
    assert report.largest_change == 0.0
