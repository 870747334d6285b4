"""Who makes, reads and stores the tensors of a model."""

from __future__ import annotations

from collections import defaultdict

from onnx import ModelProto, NodeProto


class ModelIndex:
    """A model by the names of its tensors.

    Attributes:
        makers: nodes by the tensors that they make.
        readers: nodes by the tensors that they read, once for every time.
        constants: initialisers.
        outputs: of the model.
    """

    def __init__(self, model: ModelProto) -> None:
        self.makers = {name: node for node in model.graph.node for name in node.output}
        self.readers: dict[str, list[NodeProto]] = defaultdict(list)
        for node in model.graph.node:
            for name in node.input:
                self.readers[name].append(node)
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self.outputs = {value.name for value in model.graph.output}

    def inner(self, name: str) -> bool:
        """Whether one node reads a tensor, and nobody else."""
        return len(self.readers[name]) == 1 and name not in self.outputs
