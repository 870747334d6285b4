"""Packs what exact numerics makes of a float layer: the tree of differences of convolutions becomes one `ConvDifference`.

The sums of those convolutions are exact in any order, and the differences keep their order, so no bit changes. In a model with float
numerics sums round, and nothing is packed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from fdabnn_onnx.model_index import ModelIndex

SUBTRACT = -1
"""In an expression: the difference of the two results in front of it."""

MOST_INPUTS, MOST_TERMS = 4, 64


@dataclass
class _Tree:
    """A tree in postfix notation.

    Attributes:
        expression: numbers of terms and `SUBTRACT`.
        terms: the convolutions.
        nodes: all that it replaces.
    """

    expression: list[int] = field(default_factory=list)
    terms: list[NodeProto] = field(default_factory=list)
    nodes: list[NodeProto] = field(default_factory=list)


class _Finder(ModelIndex):
    def collect(self, name: str, tree: _Tree) -> bool:
        """Appends what makes a tensor; False where it is no tree."""
        node = self.makers.get(name)
        if node is None:
            return False
        if node.op_type == "Sub":
            if not all(self.inner(operand) and self.collect(operand, tree) for operand in node.input):
                return False
            tree.expression.append(SUBTRACT)
        elif node.op_type == "Conv" and all(operand in self.constants for operand in node.input[1:]):
            tree.expression.append(len(tree.terms))
            tree.terms.append(node)
        else:
            return False
        tree.nodes.append(node)
        return True

    def tree(self, root: NodeProto) -> _Tree | None:
        """The tree that ends in a `Sub`, None where it is none or its convolutions differ in more than their numbers."""
        tree = _Tree()
        if root.op_type != "Sub" or not self.collect(root.output[0], tree):
            return None
        kinds = {(str(_attributes(term)), tuple(self.constants[term.input[1]].dims)) for term in tree.terms}
        geometry, sizes = _attributes(tree.terms[0]), self.constants[tree.terms[0].input[1]].dims[2:]
        reach = [(size - 1) * d for size, d in zip(sizes, geometry["dilations"], strict=True)]
        fits = (
            len({term.input[0] for term in tree.terms}) <= MOST_INPUTS
            and len(tree.terms) <= MOST_TERMS
            and geometry["group"] == 1
            and all(pad <= most for pad, most in zip(geometry["pads"], reach * 2, strict=True))
        )
        return tree if len(kinds) == 1 and fits else None


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def pack_differences(model: ModelProto, domain: str) -> ModelProto:
    """The model with packed trees.

    Args:
        model: with exact numerics.
        domain: of the operator.
    """
    finder = _Finder(model)
    trees: dict[str, _Tree] = {}
    taken: set[str] = set()
    for node in reversed(model.graph.node):
        if node.name not in taken and (tree := finder.tree(node)) is not None:
            trees[node.name] = tree
            taken |= {inner.name for inner in tree.nodes}
    result = ModelProto()
    result.CopyFrom(model)
    del result.graph.node[:]
    for node in model.graph.node:
        if node.name in trees:
            result.graph.node.append(_emit(result, finder, trees[node.name], node, domain))
        elif node.name not in taken:
            result.graph.node.append(node)
    return result


def _emit(model: ModelProto, finder: _Finder, tree: _Tree, root: NodeProto, domain: str) -> NodeProto:
    filters = list(dict.fromkeys(term.input[1] for term in tree.terms))
    inputs = list(dict.fromkeys(term.input[0] for term in tree.terms))
    weights = [numpy_helper.to_array(finder.constants[name]) for name in filters]
    none = np.zeros(len(weights[0]), np.float32)
    biases = [
        numpy_helper.to_array(finder.constants[term.input[2]]) if len(term.input) > 2 else none
        for term in tree.terms
    ]
    name = root.output[0]
    constants = {f"{name}/filters": np.stack(weights), f"{name}/biases": np.stack(biases)}
    model.graph.initializer.extend(numpy_helper.from_array(value, key) for key, value in constants.items())
    geometry = _attributes(tree.terms[0])
    return helper.make_node(
        "ConvDifference",
        [*constants, *inputs],
        [name],
        name=name,
        domain=domain,
        expression=tree.expression,
        term_inputs=[inputs.index(term.input[0]) for term in tree.terms],
        term_filters=[filters.index(term.input[1]) for term in tree.terms],
        strides=geometry["strides"],
        dilations=geometry["dilations"],
        pads=geometry["pads"],
    )
