"""Counting the zeros that reach `torch.sign`, where the trained network and a 1-bit one differ.

`torch.sign(0)` is 0, one bit has no 0: the deployed sign gives +1. On a given set of pictures this counts how often that happens, and
runs the module's own program twice, once as written and once with the deployed sign, to say what it changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree

from fdabnn_deploy.capture.export import Captured
from fdabnn_deploy.capture.values import CAPTURE_BATCH, function_name, module_path
from fdabnn_deploy.ops import FloatArray


@dataclass(frozen=True)
class SignZeros:
    """Zeros met at the activations' signs.

    Attributes:
        images: pictures looked at.
        zeros: per module path, how many values were exactly 0 at its `torch.sign`; modules without any are left out.
        values: how many values passed a sign in all.
        top1_agreement: share of pictures whose largest output stays the same when zeros count as +1.
        largest_change: largest absolute change of an output.
    """

    images: int
    zeros: dict[str, int]
    values: int
    top1_agreement: float
    largest_change: float

    @property
    def total(self) -> int:
        """Zeros in all."""
        return sum(self.zeros.values())


def _from_input(program: torch.export.ExportedProgram) -> set[str]:
    """The names of the nodes that depend on the picture."""
    dependent = set(program.graph_signature.user_inputs)
    for node in program.graph.nodes:
        if any(source.name in dependent for source in node.all_input_nodes):
            dependent.add(node.name)
    return {str(name) for name in dependent}


class _Counting(torch.fx.Interpreter):
    """Runs the program; with `resolve`, zeros count as +1 at every sign of an activation.

    A comparison `x > 0` or `x <= 0` puts the zero on the other side than the deployed sign, and is treated like `torch.sign`.
    """

    def __init__(self, module: torch.fx.GraphModule, dependent: set[str], resolve: bool) -> None:
        super().__init__(module)
        self.dependent = dependent
        self.resolve = resolve
        self.zeros: dict[str, int] = {}
        self.values = 0

    def run_node(self, n: torch.fx.Node) -> Any:
        result = super().run_node(n)
        if (
            n.op != "call_function"
            or n.name not in self.dependent
            or not isinstance(n.target, torch._ops.OpOverload)
        ):
            return result
        name = function_name(n.target)
        if name in ("sign", "sgn"):
            zero = result == 0
        elif name in ("gt", "le") and len(n.args) == 2 and n.args[1] == 0:
            zero = self.fetch_args_kwargs_from_env(n)[0][0] == 0
        else:
            return result
        self.values += result.numel()
        count = int(zero.sum())
        if count:
            path = module_path(n) or "model"
            self.zeros[path] = self.zeros.get(path, 0) + count
        if not self.resolve:
            return result
        return torch.where(
            zero, torch.ones_like(result) if name != "le" else torch.zeros_like(result), result
        )


def count_sign_zeros(captured: Captured, images: FloatArray) -> SignZeros:
    """Runs the captured program on pictures [N, C, H, W], N even or padded by repeating the last one.

    Signs of weights are not counted here (their zeros are resolved and listed by `binary_weight`).
    """
    module = captured.program.module()
    assert isinstance(module, torch.fx.GraphModule)
    dependent = _from_input(captured.program)
    written, resolved = (_Counting(module, dependent, resolve) for resolve in (False, True))
    agree, largest = 0, 0.0
    with torch.inference_mode():
        for start in range(0, len(images), CAPTURE_BATCH):
            batch = torch.from_numpy(images[start : start + CAPTURE_BATCH])
            count = len(batch)
            if count < CAPTURE_BATCH:
                batch = torch.cat([batch, batch[-1:].expand(CAPTURE_BATCH - count, *batch.shape[1:])])
            a, b = (_output(runner.run(batch), captured.outputs[0])[:count] for runner in (written, resolved))
            agree += int((a.flatten(1).argmax(1) == b.flatten(1).argmax(1)).sum())
            largest = max(largest, float((a - b).abs().max()))
    return SignZeros(len(images), written.zeros, written.values, agree / max(len(images), 1), largest)


def _output(outputs: Any, position: int) -> torch.Tensor:
    tensor = _pytree.tree_leaves(outputs)[position]
    assert isinstance(tensor, torch.Tensor)
    return tensor
