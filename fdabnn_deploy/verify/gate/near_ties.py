"""Values so close to the threshold of a sign that only roundings of the trained network decide which side they are on.

A binary layer with a scale sums `+s` and `-s`: where the sum is 0, float arithmetic leaves 1e-8 or -1e-8, by the order of its additions.
The deployed graph sums integers and has the 0. An exact 0, on the other hand, is decided by how the sign is written, and is judged.
"""

from __future__ import annotations

from collections.abc import Container

import torch

from fdabnn_deploy.frontend.capture import Captured
from fdabnn_deploy.transforms.signs.step_functions import Source, Step, find_steps

NOISE = 1e-6
"""Of the largest value that is compared: some roundings of float32, each 6e-8."""


class NearTies:
    """Marks such values on the way through the trained network.

    Args:
        captured: the trained network.
    """

    def __init__(self, captured: Captured) -> None:
        calls = captured.calls
        self._graph = captured.graph
        self._steps: dict[str, Step] = {
            name: step
            for name, step in find_steps(captured.graph).items()
            if all(source in calls for source in step.source)
        }
        self._sources: dict[Source, tuple[str, ...]] = {
            step.source: tuple(calls[source] for source in step.source) for step in self._steps.values()
        }
        self._wanted = {call for sources in self._sources.values() for call in sources}
        self._values: dict[str, torch.Tensor] = {}

    def begin(self) -> None:
        """Forgets the last batch."""
        self._values.clear()

    def seen(self, name: str, tensor: torch.Tensor) -> None:
        """Takes a tensor of the trained network's program, by the name of its node."""
        if name in self._wanted:
            self._values[name] = tensor

    def at(self, name: str, stop: Container[str]) -> torch.Tensor | None:
        """Where the sign that a tensor is made of is undecided, in the shape of what it compares.

        None where it is made of no sign or of several, or what the sign compares was not seen.

        Args:
            name: of the tensor in the captured graph; what is added to its sign may be a noise that is 0.
            stop: tensors that are not looked behind; `name` may be among them.
        """
        found, met, stack = [], {name}, [name]
        while stack:
            current = stack.pop()
            if current in self._steps:
                found.append(self._steps[current])
                continue
            fresh = [
                source for source in self._graph[current].inputs if source not in met and source not in stop
            ]
            met.update(fresh)
            stack += fresh
        if len({step.key for step in found}) != 1:
            return None
        (step, *_) = found
        if any(call not in self._values for call in self._sources[step.source]):
            return None
        first, *rest = (self._values[call].double() for call in self._sources[step.source])
        distance = first - (rest[0] if rest else torch.from_numpy(step.threshold).double())
        size = first.abs().nan_to_num(0.0, 0.0, 0.0).amax() if first.numel() else torch.zeros(())
        return (distance != 0) & (distance.abs() <= NOISE * size)
