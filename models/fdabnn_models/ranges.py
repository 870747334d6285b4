"""Recording the value ranges that an exporter must bound.

An exporter that makes float sums exact puts values on a grid, which needs a proven bound in front of every
float reduction. The bounds come from here: the smallest and largest value of every module output over
training images, in eval mode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from fdabnn_models.layers.nam import NoiseAdaptation

INPUT = "input"


def _recorded_modules(model: nn.Module) -> dict[str, nn.Module]:
    inside_noise = {
        id(sub)
        for module in model.modules()
        if isinstance(module, NoiseAdaptation)
        for sub in module.modules()
    }
    return {name: module for name, module in model.named_modules() if name and id(module) not in inside_noise}


@torch.no_grad()
def record_ranges(model: nn.Module, batches: Iterable[Tensor]) -> dict[str, dict[str, float]]:
    """Smallest and largest value of the model's input and of every module's output over ``batches``.

    Args:
        model: put into eval mode for the time of the recording.
        batches: normalised inputs, at least one.

    Returns:
        ``{path: {"min": .., "max": ..}}``; ``path`` as in ``named_modules`` and "input" for the model's input.
        Modules inside a noise adaptation module and modules without a tensor output are left out.
    """
    limits: dict[str, tuple[Tensor, Tensor]] = {}

    def note(path: str, value: Tensor) -> None:
        low, high = torch.aminmax(value.detach())
        if path in limits:
            low, high = torch.minimum(limits[path][0], low), torch.maximum(limits[path][1], high)
        limits[path] = low, high

    def hook(path: str) -> Callable[[nn.Module, Any, Any], None]:
        def note_output(module: nn.Module, args: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                note(path, output)

        return note_output

    was_training = model.training
    handles = [module.register_forward_hook(hook(path)) for path, module in _recorded_modules(model).items()]
    model.eval()
    try:
        for batch in batches:
            note(INPUT, batch)
            model(batch)
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return {path: {"min": low.item(), "max": high.item()} for path, (low, high) in limits.items()}
