"""Running an exported program again and again, node by node. Imports PyTorch."""

from __future__ import annotations

from typing import Any

import torch

from fdabnn_deploy.frontend.capture.traced_value import writes

_SMALL = 4096


class ProgramRunner(torch.fx.Interpreter):
    """Runs a program; what does not depend on its inputs, such as the sign of a weight, is computed in the first run only.

    Of that only the values are kept that other nodes read. A program that writes into a tensor is computed anew in every run.

    Args:
        module: the program as PyTorch makes a module of it.
    """

    def __init__(self, module: torch.fx.GraphModule) -> None:
        super().__init__(module)
        self._constant = set() if any(map(writes, module.graph.nodes)) else _constants(module.graph)
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


def without_zero_products(module: torch.fx.GraphModule) -> torch.fx.GraphModule:
    """A program without what is multiplied by 0 and added to something, such as a noise module whose weight is 0.

    The names of the nodes that are left stay. A product with zero counts as 0 even where the other factor is not finite.
    """
    graph = torch.fx.Graph()
    graph.output(graph.graph_copy(module.graph, {}))
    graph.set_codegen(module.graph._codegen)
    lean = torch.fx.GraphModule(module, graph)
    for node in lean.graph.nodes:
        if node.target is not torch.ops.aten.add.Tensor or len(node.args) != 2 or node.kwargs:
            continue
        for term, other in (node.args, node.args[::-1]):
            if _is_zero_product(module, term) and _like(node, other):
                node.replace_all_uses_with(other)
                break
    lean.graph.eliminate_dead_code()
    lean.recompile()
    return lean


def _is_zero_product(module: torch.fx.GraphModule, node: object) -> bool:
    product = isinstance(node, torch.fx.Node) and node.target is torch.ops.aten.mul.Tensor
    return product and any(_is_zero(module, factor) for factor in node.args)  # type: ignore[attr-defined]


def _is_zero(module: torch.fx.GraphModule, node: object) -> bool:
    if not isinstance(node, torch.fx.Node) or node.op != "get_attr":
        return False
    value: Any = module
    for part in str(node.target).split("."):
        value = getattr(value, part)
    return isinstance(value, torch.Tensor) and value.numel() <= _SMALL and not value.any()


def _like(node: torch.fx.Node, other: object) -> bool:
    """Whether both have one shape and one type."""
    a, b = (each.meta.get("val") if isinstance(each, torch.fx.Node) else None for each in (node, other))
    return a is not None and b is not None and a.shape == b.shape and a.dtype == b.dtype


def _constants(graph: torch.fx.Graph) -> set[torch.fx.Node]:
    found: set[torch.fx.Node] = set()
    for node in graph.nodes:
        pure = node.op == "get_attr" or (node.op == "call_function" and node.all_input_nodes)
        if pure and all(source in found for source in node.all_input_nodes):
            found.add(node)
    return found
