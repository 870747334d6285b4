"""Weights that a file stores as integers, as the floats that its first nodes make of them."""

from __future__ import annotations

from typing import Any

from fdabnn_onnx.prove.optimised import import_onnx


def fold_weights(model: Any) -> Any:
    """The model with constants in place of the nodes `Cast` to float32 and `Mul` that read nothing but constants.

    It is the same one if it has none. Runtimes compute these once, when they load a file. Both are exact for the integers and powers
    of two that exports hold.

    Args:
        model: an `onnx.ModelProto`; it is not changed.
    """
    onnx = import_onnx()
    known = {tensor.name: tensor for tensor in model.graph.initializer}
    made, kept = [], []
    for node in model.graph.node:
        if not _is_foldable(node, known, onnx):
            kept.append(node)
            continue
        values = [onnx.numpy_helper.to_array(known[name]) for name in node.input]
        floats = values[0].astype("float32") if node.op_type == "Cast" else values[0] * values[1]
        known[node.output[0]] = onnx.numpy_helper.from_array(floats, node.output[0])
        made.append(known[node.output[0]])
    if not made:
        return model
    result = type(model)()
    result.CopyFrom(model)
    del result.graph.node[:]
    result.graph.node.extend(kept)
    result.graph.initializer.extend(made)
    return result


def _is_foldable(node: Any, known: dict[str, Any], onnx: Any) -> bool:
    if node.domain not in {"", "ai.onnx"} or not all(name in known for name in node.input):
        return False
    if node.op_type == "Cast":
        return any(a.name == "to" and a.i == onnx.TensorProto.FLOAT for a in node.attribute)
    floats = all(known[name].data_type == onnx.TensorProto.FLOAT for name in node.input)
    return node.op_type == "Mul" and floats
