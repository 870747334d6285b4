"""Collects ONNX nodes and initialisers while a graph is lowered, and hands out their names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.integer_weights import integer_weights
from fdabnn_deploy.ir.ops import FloatArray

WORTH_INTEGERS = 512
"""Bytes of weights from which on integers are less than the operators that make floats of them."""

WORTH_SHARING = 1024
"""Bytes. Exact layers multiply several digits of an operand by the same weights."""


class Emitter:
    """Collects the nodes and constants of the ONNX model that lowerings write.

    The tensor that a graph node makes keeps its name. Everything else that a node needs is called `<node>/<part>`, with a number behind
    it in the rare case that the graph has a tensor of that name itself.

    Attributes:
        graph: the graph being lowered, for shapes.
        channels_last: whether the file takes pixels as [N, H, W, C].
        integers: whether weights that are integers of few bits are stored so.
        nodes: emitted so far, in topological order.
        initializers: emitted so far.
    """

    def __init__(self, graph: Graph, *, channels_last: bool = False, integers: bool = True) -> None:
        self.graph, self.channels_last, self.integers = graph, channels_last, integers
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []
        self._taken = {node.name for node in graph}
        self._shared: dict[str, str] = {}
        self._contents: dict[bytes, str] = {}
        self._weights: dict[bytes, str] = {}

    def fresh(self, name: str) -> str:
        """Reserves a tensor name: the name itself, or with the first free number behind it."""
        candidate, count = name, 0
        while candidate in self._taken:
            count += 1
            candidate = f"{name}_{count}"
        self._taken.add(candidate)
        return candidate

    def rank(self, node: Node) -> int:
        """The rank of the tensor that a node makes."""
        return len(self.graph.shape(node.name))

    def emit(self, op_type: str, node: Node, inputs: Sequence[str], part: str = "", **attributes: Any) -> str:
        """Adds an ONNX node and returns the name of the tensor it makes, which is also the ONNX node's name.

        Args:
            op_type: an operator of the default ONNX domain.
            node: the graph node it belongs to.
            inputs: tensor names.
            part: empty for the operator that makes the graph node's own tensor, else a name for the intermediate one.
            attributes: of the ONNX operator; None leaves one out.
        """
        output = self.fresh(f"{node.name}/{part}") if part else node.name
        present = {name: value for name, value in attributes.items() if value is not None}
        self.nodes.append(helper.make_node(op_type, list(inputs), [output], name=output, **present))
        return output

    def standard(self, op_type: str, inputs: Sequence[str], output: str) -> None:
        """Adds an ONNX node that belongs to no graph node, under the name of the tensor that it makes."""
        self.nodes.append(helper.make_node(op_type, list(inputs), [output], name=output))

    def parameter(self, node: Node, part: str, value: NDArray[Any]) -> str:
        """Adds an initialiser `<node>/<part>` and returns its name, or the name of a large one with the same content."""
        tensor = numpy_helper.from_array(np.asarray(value, order="C"))
        if len(tensor.raw_data) >= WORTH_SHARING:
            # A digest: keys of the content itself would keep all weights a second time.
            content = hashlib.sha256(tensor.SerializeToString(deterministic=True)).digest()
            if content in self._contents:
                return self._contents[content]
            self._contents[content] = tensor.name = self.fresh(f"{node.name}/{part}")
        else:
            tensor.name = self.fresh(f"{node.name}/{part}")
        self.initializers.append(tensor)
        return tensor.name

    def weights(self, node: Node, part: str, value: FloatArray) -> str:
        """Adds weights [O, ...] and returns their name: integers that `Cast` and, if scaled, `Mul` make floats, where that is less.

        Runtimes compute constants from constants once, when they load a file. `Cast`, because ONNX Runtime keeps a `DequantizeLinear` of a
        constant in its graph, where a convolution's weights then are not known in advance.
        """
        found = integer_weights(value) if self.integers and value.nbytes >= WORTH_INTEGERS else None
        if found is None:
            return self.parameter(node, part, value)
        key = hashlib.sha256(found.integers.tobytes() + found.exponents.tobytes()).digest()
        if key not in self._weights:
            stored = self.parameter(node, f"{part}/integers", found.integers)
            scaled = bool(np.any(found.exponents))
            floats = self.emit(
                "Cast", node, [stored], part=f"{part}/floats" if scaled else part, to=TensorProto.FLOAT
            )
            if scaled:
                scales = found.scales.reshape(-1, *(1,) * (value.ndim - 1))
                floats = self.emit(
                    "Mul", node, [floats, self.parameter(node, f"{part}/scales", scales)], part=part
                )
            self._weights[key] = floats
        return self._weights[key]

    def scalar(self, name: str, value: float) -> str:
        """A float32 scalar that all nodes share; added on first use."""
        if name not in self._shared:
            self._shared[name] = self.fresh(name)
            self.initializers.append(
                numpy_helper.from_array(np.array(value, dtype=np.float32), self._shared[name])
            )
        return self._shared[name]
