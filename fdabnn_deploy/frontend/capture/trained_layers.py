"""The convolutions and dense layers of a captured module, and on which sides of them signs take part."""

from __future__ import annotations

from dataclasses import dataclass

from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Graph


@dataclass(frozen=True)
class TrainedLayer:
    """A convolution or dense layer of the captured module.

    Attributes:
        node: its name in the captured graph.
        module: the path of its module.
        kind: `conv2d` or `linear`.
        weight_shape: of its weight.
        signed_input: whether a sign takes part in making its input.
        signed_weight: whether a sign takes part in making its weight.
    """

    node: str
    module: str
    kind: str
    weight_shape: tuple[int, ...]
    signed_input: bool
    signed_weight: bool

    @property
    def expected_binary(self) -> bool:
        """Whether the module means this layer to be 1-bit: both sides pass a sign."""
        return self.signed_input and self.signed_weight


_SIGN_CARRIERS = (
    ops.Mover,
    ops.Pad,
    ops.Concat,
    ops.MaxPool2d,
    ops.Add,
    ops.Sub,
    ops.Mul,
    ops.Div,
    ops.Where,
    ops.ToFloat,
    ops.Compare,
    ops.Logical,
    ops.LogicalNot,
    ops.Clamp,
)


def trained_layers(graph: Graph) -> tuple[TrainedLayer, ...]:
    """Every conv and dense layer, with where signs take part. `Unary` carries a sign only as negation."""
    signed: dict[str, bool] = {}
    layers: list[TrainedLayer] = []
    for node in graph:
        op = node.op
        if isinstance(op, ops.TorchSign | ops.Compare):
            signed[node.name] = True
        elif isinstance(op, _SIGN_CARRIERS) or (isinstance(op, ops.Unary) and op.function == "neg"):
            signed[node.name] = any(signed[name] for name in node.inputs)
        else:
            signed[node.name] = False
        if isinstance(op, ops.TrainedConv2d | ops.TrainedLinear):
            layers.append(
                TrainedLayer(
                    node=node.name,
                    module=node.module,
                    kind="conv2d" if isinstance(op, ops.TrainedConv2d) else "linear",
                    weight_shape=op.weight.value.shape,
                    signed_input=signed[node.inputs[0]],
                    signed_weight=op.weight.binarised,
                )
            )
    return tuple(layers)
