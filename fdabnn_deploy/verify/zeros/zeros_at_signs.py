"""Counting the zeros that reach signs, where a sign that is written with three values and a 1-bit one differ.

`torch.sign(0)` is 0, one bit has no 0. On given samples this counts, for every way of writing a sign or comparison (`passes.steps`), how
often a value is exactly 0 (or its threshold), and runs the module's own program twice, once as written and once with every zero of a
three-valued sign as it is deployed, to say what that changes. `passes.structural_zeros` names the signs at which zeros are the rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree

from fdabnn_deploy.frontend.capture.exported_program import Captured
from fdabnn_deploy.frontend.capture.program_runner import ProgramRunner, without_zero_products
from fdabnn_deploy.frontend.capture.traced_value import CAPTURE_BATCH
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.ir.sign_zero import SignZero
from fdabnn_deploy.runtimes.torch_module import own_tensor
from fdabnn_deploy.transforms.affine.drop_noise import drop_noise
from fdabnn_deploy.transforms.signs.canonical_sign import is_three_valued
from fdabnn_deploy.transforms.signs.step_functions import Step, outermost
from fdabnn_deploy.transforms.signs.straight_through import straight_through
from fdabnn_deploy.transforms.signs.structural_zeros import structural_zeros


@dataclass(frozen=True)
class SignZeros:
    """Zeros met at the activations' signs.

    Attributes:
        images: how many were looked at.
        zeros: per module path, how many values were exactly at the threshold of its signs; modules without any are left out.
        values: how many values passed a sign in all.
        changed: how many of the zeros count as something else than in the network as written.
        structural: per module path, why zeros are the rule in front of its three-valued signs.
        top1_agreement: share of images whose largest output stays the same when zeros count as deployed.
        largest_change: largest absolute change of an output.
    """

    images: int
    zeros: dict[str, int]
    values: int
    changed: int
    structural: dict[str, str]
    top1_agreement: float
    largest_change: float

    @property
    def total(self) -> int:
        """Zeros in all."""
        return sum(self.zeros.values())


@dataclass(frozen=True)
class _Watched:
    """A sign of the program: the calls that make its source and itself, its threshold, and what it gives there if deployed."""

    module: str
    sources: tuple[str, ...]
    threshold: torch.Tensor
    resolved: torch.Tensor | None


class _Counting(ProgramRunner):
    """Runs the program; with `resolve`, zeros count as deployed at every three-valued sign."""

    def __init__(self, module: torch.fx.GraphModule, watched: dict[str, _Watched], resolve: bool) -> None:
        super().__init__(module)
        self.watched = watched
        self.resolve = resolve
        self.zeros: dict[str, int] = {}
        self.values = 0
        self.changed = 0
        self._kept: dict[str, torch.Tensor] = {}
        self._sources = {name for sign in watched.values() for name in sign.sources}

    def run_node(self, n: torch.fx.Node) -> Any:
        result = super().run_node(n)
        sign = self.watched.get(n.name)
        if sign is not None:
            result = self._count(sign, result)
        if n.name in self._sources:
            self._kept[n.name] = result
        return result

    def _count(self, sign: _Watched, result: torch.Tensor) -> torch.Tensor:
        first, *second = (self._kept[name] for name in sign.sources)
        zero = (first == (second[0] if second else _like(result, sign.threshold))).expand_as(result)
        self.values += result.numel()
        count = int(zero.sum())
        if count:
            self.zeros[sign.module] = self.zeros.get(sign.module, 0) + count
        if sign.resolved is None:
            return result
        self.changed += count
        return (
            torch.where(zero, _like(result, sign.resolved).to(result.dtype), result)
            if self.resolve
            else result
        )


def count_sign_zeros(captured: Captured, images: FloatArray, sign_zero: SignZero = "plus") -> SignZeros:
    """Runs the captured program on images [N, C, H, W].

    Signs of weights are not counted here: a weight of 0 is a third value, see `binary_weight`.
    """
    graph = straight_through(drop_noise(captured.graph).graph).graph
    steps = outermost(graph)
    three = {name: step for name, step in steps.items() if _is_three_valued(graph, name, step)}
    structural = structural_zeros(graph, three)
    module = captured.module
    calls = _calls(captured, module)
    watched: dict[str, _Watched] = {}
    for name, step in steps.items():
        if all(tensor in calls for tensor in (name, *step.source)):
            resolved = _resolved(graph, name, step, sign_zero) if name in three else None
            sources = tuple(calls[tensor] for tensor in step.source)
            threshold = torch.from_numpy(np.array(step.threshold))
            watched[calls[name]] = _Watched(graph[name].module or "model", sources, threshold, resolved)
    lean = without_zero_products(module)
    written, deployed = (_Counting(lean, watched, resolve) for resolve in (False, True))
    agree, largest = 0, 0.0
    with torch.inference_mode():
        for start in range(0, len(images) if watched else 0, CAPTURE_BATCH):
            batch = own_tensor(images[start : start + CAPTURE_BATCH])
            count = len(batch)
            if count < CAPTURE_BATCH:
                batch = torch.cat([batch, batch[-1:].expand(CAPTURE_BATCH - count, *batch.shape[1:])])
            a = _output(written.run(batch.clone()), captured.outputs[0])[:count]
            b = _output(deployed.run(batch), captured.outputs[0])[:count] if written.changed else a
            agree += int((a.argmax(1) == b.argmax(1)).sum())
            largest = max(largest, float((a - b).abs().max()))
    return SignZeros(
        images=len(images) if watched else 0,
        zeros=written.zeros,
        values=written.values,
        changed=written.changed,
        structural=structural,
        top1_agreement=agree / len(images) if watched and len(images) else 1.0,
        largest_change=largest,
    )


def _like(result: torch.Tensor, constant: torch.Tensor) -> torch.Tensor:
    """A constant of the graph beside a tensor of the program: one number per image is [N] here, [N, 1] there."""
    return constant.reshape(-1) if result.dim() == 1 else constant


def _calls(captured: Captured, module: torch.fx.GraphModule) -> dict[str, str]:
    """By tensor of the graph, the node of the program as a module, which may give its inputs other names."""
    inputs = [node.name for node in module.graph.nodes if node.op == "placeholder"]
    renamed = dict(zip(captured.program.graph_signature.user_inputs, inputs, strict=True))
    names = {node.name for node in module.graph.nodes}
    calls = {tensor: str(renamed.get(call, call)) for tensor, call in captured.calls.items()}
    return {tensor: call for tensor, call in calls.items() if call in names}


def _is_three_valued(graph: Graph, name: str, step: Step) -> bool:
    levels = step.levels(graph.shape(name))
    return levels is not None and is_three_valued(levels)


def _resolved(graph: Graph, name: str, step: Step, sign_zero: SignZero) -> torch.Tensor | None:
    """The value at 0, per channel, of a three-valued sign as it is deployed; None where it is the value as written."""
    levels = step.levels(graph.shape(name))
    assert levels is not None
    if sign_zero == "exact":
        return None
    value = levels[2] if sign_zero == "plus" else levels[0]
    return torch.from_numpy(value.reshape(1, -1, *(1,) * (len(graph.shape(name)) - 2)))


def _output(outputs: Any, position: int) -> torch.Tensor:
    # One number, an integer or a boolean per image is an output as well.
    tensor = _pytree.tree_leaves(outputs)[position]
    assert isinstance(tensor, torch.Tensor)
    return tensor.double().reshape(len(tensor), -1)
