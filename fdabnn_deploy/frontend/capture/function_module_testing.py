"""A function as a module, for the tests of what functions become."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


class FunctionModule(nn.Module):
    """`forward` is the function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)
