"""State: whether what forward() changes at every call, such as a running count, reaches the outputs. A file keeps none."""

from __future__ import annotations

from typing import Any

import torch

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend.capture.traced_value import CAPTURE_BATCH

CALLS = 8
"""With the same input, one after the other: a count may show behind a comparison only after some of them."""


def refuse_state(
    program: torch.export.ExportedProgram, live: set[torch.fx.Node], input_shape: tuple[int, ...]
) -> None:
    """Refuses outputs that depend on what forward() changes at every call.

    Compared are all tensors between the input and the outputs, not the outputs alone: signs hide a small change on one input, and show it
    on another. A buffer that is written before it is read is no state.

    Args:
        program: the network.
        live: its nodes that an output depends on.
        input_shape: of one image.

    Raises:
        ModelRefusedError: a later call on the same input gives other values.
    """
    signature = program.graph_signature
    changed = {
        *signature.buffers_to_mutate.values(),
        *getattr(signature, "parameters_to_mutate", {}).values(),
    }
    names = {**signature.inputs_to_buffers, **signature.inputs_to_parameters}
    read = sorted({names[node.name] for node in live if node.op == "placeholder" and node.name in names})
    state = [name for name in read if name in changed]
    if state and not _repeats_itself(program, live, input_shape):
        raise ModelRefusedError(
            f"the outputs depend on {', '.join(state)}, which forward() changes at every call, so the same input gives other values "
            "at a later one; a file keeps no state: use the value without changing it, such as a constant buffer"
        )


def _repeats_itself(
    program: torch.export.ExportedProgram, live: set[torch.fx.Node], input_shape: tuple[int, ...]
) -> bool:
    module = program.module()
    assert isinstance(module, torch.fx.GraphModule)
    stored = [*module.buffers(), *module.parameters()]
    before = [tensor.clone() for tensor in stored]
    runner = _Repeated(module, _between(program, live))
    example = torch.randn(CAPTURE_BATCH, *input_shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for _ in range(CALLS):
            runner.run(example.clone())
        # They are the program's own.
        for tensor, values in zip(stored, before, strict=True):
            tensor.copy_(values)
    return not runner.differs


def _between(program: torch.export.ExportedProgram, live: set[torch.fx.Node]) -> set[str]:
    """The calls that depend on the input and that an output depends on."""
    found = {
        node
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in program.graph_signature.user_inputs
    }
    for node in program.graph.nodes:
        if node in live and found.intersection(node.all_input_nodes):
            found.add(node)
    return {node.name for node in found if node.op == "call_function"}


class _Repeated(torch.fx.Interpreter):
    """Runs a program again and again, and compares with the first time."""

    def __init__(self, module: torch.fx.GraphModule, compared: set[str]) -> None:
        super().__init__(module)
        self._compared = compared
        self._first: dict[str, torch.Tensor] = {}
        self.differs = False

    def run_node(self, n: torch.fx.Node) -> Any:
        result = super().run_node(n)
        if n.name in self._compared and isinstance(result, torch.Tensor):
            first = self._first.setdefault(n.name, result.clone())
            # NaN counts as unchanged: it equals nothing, itself neither.
            same = (result == first) | (result.isnan() & first.isnan())
            self.differs = self.differs or not bool(same.all())
        return result
