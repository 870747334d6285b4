"""The stages of a residual network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn


def make_stages(
    widths: Sequence[int], count: int, block: Callable[[int, int, int], nn.Module]
) -> list[nn.Sequential]:
    """One stage per width, of ``count`` blocks; the first block of every stage but the first has stride 2.

    Args:
        widths: channels of the stages; the first is the number of channels that come in, too.
        count: blocks per stage.
        block: makes one from the channels that come in, those that go out, and the stride.
    """
    inputs, stages = widths[0], []
    for stage, channels in enumerate(widths):
        blocks = []
        for index in range(count):
            blocks.append(block(inputs, channels, 2 if stage > 0 and index == 0 else 1))
            inputs = channels
        stages.append(nn.Sequential(*blocks))
    return stages
