"""The graph between a PyTorch module and a target: named operators in topological order, immutable, always verified.

A node's name is the name of the tensor it makes. Graphs are changed through an `Editor`, which gives back a new verified graph.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from fdabnn_deploy.ir.ops import Constant, GraphError, Input, Op, Shape


@dataclass(frozen=True)
class Node:
    """One operator application.

    Attributes:
        name: of the tensor it makes, unique in its graph.
        op: what it computes.
        inputs: the names of the tensors it reads.
        module: the path of the PyTorch module it comes from, such as `layer1.0.conv1`.
        source: `file:line` of the Python statement it comes from.
        text: that statement.
        trained: the tensor of the captured graph that has the same values, empty where none has.
    """

    name: str
    op: Op
    inputs: tuple[str, ...] = ()
    module: str = ""
    source: str = ""
    text: str = ""
    trained: str = ""

    def __str__(self) -> str:
        return f"{self.name} = {self.op.describe()}({', '.join(self.inputs)})"


class Graph:
    """An immutable, verified graph.

    Args:
        nodes: in topological order; the `Input` nodes are the graph's inputs, in this order.
        outputs: names of the tensors the graph returns.

    Raises:
        GraphError: a name is used twice or before it is made, an arity is wrong, or shapes do not fit.
    """

    def __init__(self, nodes: Iterable[Node], outputs: Iterable[str]) -> None:
        self._nodes: dict[str, Node] = {}
        self._shapes: dict[str, Shape] = {}
        self._consumers: dict[str, list[str]] = {}
        for node in nodes:
            self._append(node)
        self.outputs: tuple[str, ...] = tuple(outputs)
        if not self.outputs:
            raise GraphError("a graph without outputs")
        for name in self.outputs:
            if name not in self._nodes:
                raise GraphError(f"output {name} is not made by any node")

    def _append(self, node: Node) -> None:
        if node.name in self._nodes:
            raise GraphError(f"tensor {node.name} is made twice")
        if node.op.arity is None:
            if not node.inputs:
                raise GraphError(f"{node} has no inputs")
        elif len(node.inputs) != node.op.arity:
            raise GraphError(f"{node} takes {node.op.arity} inputs")
        for name in node.inputs:
            if name not in self._nodes:
                raise GraphError(f"{node} reads {name}, which is not made before it")
        try:
            self._shapes[node.name] = node.op.infer(*(self._shapes[name] for name in node.inputs))
        except GraphError as error:
            raise GraphError(f"{node}: {error}") from None
        self._nodes[node.name] = node
        self._consumers[node.name] = []
        for name in dict.fromkeys(node.inputs):
            self._consumers[name].append(node.name)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes.values())

    def __len__(self) -> int:
        return len(self._nodes)

    def __getitem__(self, name: str) -> Node:
        return self._nodes[name]

    def __contains__(self, name: object) -> bool:
        return name in self._nodes

    def __str__(self) -> str:
        lines = [f"{node}  # {self._shapes[node.name]}" for node in self]
        return "\n".join([*lines, f"return {', '.join(self.outputs)}"])

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the input tensors."""
        return tuple(node.name for node in self if isinstance(node.op, Input))

    def shape(self, name: str) -> Shape:
        """The shape of a tensor; its first dimension is `BATCH` unless it is a constant."""
        return self._shapes[name]

    def consumers(self, name: str) -> tuple[Node, ...]:
        """The nodes that read a tensor, in order."""
        return tuple(self._nodes[consumer] for consumer in self._consumers[name])

    def producers(self, node: Node) -> tuple[Node, ...]:
        """The nodes that make this node's inputs."""
        return tuple(self._nodes[name] for name in node.inputs)

    def constant(self, name: str) -> Constant | None:
        """The constant behind a tensor name, or None where the tensor is computed."""
        op = self._nodes[name].op
        return op if isinstance(op, Constant) else None

    def nodes_of(self, *kinds: type[Op]) -> tuple[Node, ...]:
        """The nodes whose operator is one of these kinds, in order."""
        return tuple(node for node in self if isinstance(node.op, kinds))


class Editor:
    """Collects changes to a graph; `finish` sorts, drops what no output needs, and verifies.

    Nodes may be added in any order; the result keeps the original order where dependencies leave a choice.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._nodes: dict[str, Node] = {node.name: node for node in graph}
        self._outputs = list(graph.outputs)
        self._order: dict[str, tuple[int, ...]] = {node.name: (i,) for i, node in enumerate(graph)}

    def __getitem__(self, name: str) -> Node:
        """The node that makes `name`, with the changes so far."""
        return self._nodes[name]

    def __contains__(self, name: object) -> bool:
        return name in self._nodes

    def consumers(self, name: str) -> list[Node]:
        """The nodes that read `name`, with the changes so far."""
        return [node for node in self._nodes.values() if name in node.inputs]

    def is_output(self, name: str) -> bool:
        """Whether the graph returns `name`."""
        return name in self._outputs

    def add(self, node: Node, near: str) -> None:
        """Adds a node; among equals it stands just before the node `near`."""
        if node.name in self._nodes:
            raise GraphError(f"tensor {node.name} is made twice")
        self._nodes[node.name] = node
        self._order[node.name] = (*self._order[near][:-1], self._order[near][-1] - 1, len(self._nodes))

    def set(self, name: str, op: Op, inputs: Iterable[str], *, same_values: bool = True) -> None:
        """Replaces what makes the tensor `name`, keeping the name and its origin.

        Args:
            name: of the tensor.
            op: what makes it now.
            inputs: that it reads.
            same_values: whether the tensor keeps its values; else it no longer stands for one of the captured graph.
        """
        node = self._nodes[name]
        trained = node.trained if same_values else ""
        self._nodes[name] = replace(node, op=op, inputs=tuple(inputs), trained=trained)

    def redirect(self, old: str, new: str) -> None:
        """Makes every reader of `old`, and the graph's outputs, read `new`, which has the values of `old`."""
        if self._nodes[old].trained:
            self._nodes[new] = replace(self._nodes[new], trained=self._nodes[old].trained)
        for name, node in self._nodes.items():
            if old in node.inputs and name != new:
                self._nodes[name] = replace(node, inputs=tuple(new if i == old else i for i in node.inputs))
        self._outputs = [new if name == old else name for name in self._outputs]

    def give_back(self, old: str, new: str) -> None:
        """Makes the graph return `new` in the place of `old`."""
        self._outputs = [new if name == old else name for name in self._outputs]

    def rename(self, names: Mapping[str, str]) -> None:
        """Renames tensors everywhere at once.

        Raises:
            GraphError: two tensors would share a name.
        """
        if len({names.get(name, name) for name in self._nodes}) < len(self._nodes):
            raise GraphError("two tensors would share a name")
        self._nodes = {
            names.get(name, name): replace(
                node, name=names.get(name, name), inputs=tuple(names.get(i, i) for i in node.inputs)
            )
            for name, node in self._nodes.items()
        }
        self._order = {names.get(name, name): order for name, order in self._order.items()}
        self._outputs = [names.get(name, name) for name in self._outputs]

    def fresh(self, base: str) -> str:
        """A tensor name that is not taken: the base, or base_1, base_2, ..."""
        name, count = base, 0
        while name in self._nodes:
            count += 1
            name = f"{base}_{count}"
        return name

    def finish(self) -> Graph:
        """Returns the changed graph. Inputs stay even where nothing reads them.

        Raises:
            GraphError: the changes leave a cycle or break a rule of `Graph`.
        """
        needed = {name for name, node in self._nodes.items() if isinstance(node.op, Input)}
        stack = list(self._outputs)
        while stack:
            name = stack.pop()
            if name in needed and not isinstance(self._nodes[name].op, Input):
                continue
            if name not in self._nodes:
                raise GraphError(f"nothing makes tensor {name}")
            needed.add(name)
            stack.extend(i for i in self._nodes[name].inputs if i not in needed)
        waiting = {name: set(self._nodes[name].inputs) for name in needed}
        readers: dict[str, list[str]] = {name: [] for name in needed}
        for name, inputs in waiting.items():
            for source in inputs:
                readers[source].append(name)
        ready = [(self._order[name], name) for name, inputs in waiting.items() if not inputs]
        heapq.heapify(ready)
        ordered: list[Node] = []
        while ready:
            _, name = heapq.heappop(ready)
            ordered.append(self._nodes[name])
            for reader in readers[name]:
                waiting[reader].discard(name)
                if not waiting[reader]:
                    heapq.heappush(ready, (self._order[reader], reader))
        if len(ordered) != len(needed):
            raise GraphError("the graph has a cycle")
        return Graph(ordered, self._outputs)
