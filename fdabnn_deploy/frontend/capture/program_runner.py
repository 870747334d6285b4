"""Running an exported program again and again, node by node. Imports PyTorch."""

from __future__ import annotations

from typing import Any

import torch


class ProgramRunner(torch.fx.Interpreter):
    """Runs a program; what does not depend on its inputs, such as the sign of a weight, is computed in the first run only.

    Of that only the values are kept that other nodes read. A program that writes into a tensor is computed anew in every run.

    Args:
        module: the program as PyTorch makes a module of it.
    """

    def __init__(self, module: torch.fx.GraphModule) -> None:
        super().__init__(module)
        self._constant = set() if any(map(_writes, module.graph.nodes)) else _constants(module.graph)
        self._read = {
            node for node in self._constant if any(user not in self._constant for user in node.users)
        }
        self._values: dict[torch.fx.Node, Any] = {}
        self._computed = False

    def run(self, *args: Any, **options: Any) -> Any:
        """The outputs; see `torch.fx.Interpreter`."""
        outputs = super().run(*args, **options)
        self._computed = True
        return outputs

    def run_node(self, n: torch.fx.Node) -> Any:
        """The value of a node; None for one that nothing reads any more."""
        if n not in self._constant:
            return super().run_node(n)
        if self._computed:
            return self._values.get(n)
        result = super().run_node(n)
        if n in self._read:
            self._values[n] = result
        return result


def _constants(graph: torch.fx.Graph) -> set[torch.fx.Node]:
    found: set[torch.fx.Node] = set()
    for node in graph.nodes:
        pure = node.op == "get_attr" or (node.op == "call_function" and node.all_input_nodes)
        if pure and all(source in found for source in node.all_input_nodes):
            found.add(node)
    return found


def _writes(node: torch.fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return bool(schema is not None and schema.is_mutable)
