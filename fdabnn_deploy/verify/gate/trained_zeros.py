"""Zeros at the signs of the trained network, as it writes them: of `sign(x - 2)` the twos, whatever the deployed sign compares by then."""

from __future__ import annotations

from collections.abc import Container

import torch

from fdabnn_deploy.frontend.capture import Captured
from fdabnn_deploy.transforms.signs.canonical_sign import is_three_valued
from fdabnn_deploy.transforms.signs.step_functions import find_steps


class TrainedZeros:
    """Counts, on the way through the trained network, the values of three-valued signs that are the middle one.

    Args:
        captured: the trained network.
    """

    def __init__(self, captured: Captured) -> None:
        self._graph = captured.graph
        self._counts: dict[str, int] = {}
        self._signs: dict[str, list[tuple[str, torch.Tensor]]] = {}
        for name, step in find_steps(captured.graph).items():
            shape = captured.graph.shape(name)
            levels = step.levels(shape)
            if levels is not None and is_three_valued(levels) and name in captured.calls:
                middle = torch.from_numpy(levels[1]).reshape(1, -1, *(1,) * (len(shape) - 2))
                self._counts[name] = 0
                self._signs.setdefault(captured.calls[name], []).append((name, middle))

    def seen(self, name: str, tensor: torch.Tensor, images: int) -> None:
        """Counts in the first so many images of a tensor of the trained network's program, by the name of its node."""
        for sign, middle in self._signs.get(name, ()):
            self._counts[sign] += int((tensor[:images] == middle).sum())

    def at(self, name: str, stop: Container[str]) -> int:
        """How many zeros there were at the signs that a tensor is computed from.

        Args:
            name: of the tensor in the captured graph.
            stop: tensors that are not looked behind; `name` may be among them.
        """
        zeros, met, stack = 0, {name}, [name]
        while stack:
            current = stack.pop()
            if current in self._counts:
                # What a sign is computed from, such as its two masks, are the same zeros once more.
                zeros += self._counts[current]
                continue
            for source in self._graph[current].inputs:
                if source not in met and source not in stop:
                    met.add(source)
                    stack.append(source)
        return zeros
