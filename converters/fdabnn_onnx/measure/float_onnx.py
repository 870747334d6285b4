"""ONNX files as networks of steps, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.measure.baselines.float_network import FileLayer, Item, Network, network_of, record_of
from fdabnn_deploy.prove.domain import Constants, Shape
from fdabnn_deploy.prove.program import Step
from fdabnn_onnx.fold_weights import fold_weights
from fdabnn_onnx.prove.onnx import read_onnx
from fdabnn_onnx.prove.onnx_packed import DOMAIN, expanded
from fdabnn_onnx.prove.optimised import import_onnx, optimised

CHANNEL = 1
_STANDARD = {"", "ai.onnx"}


def load_model(content: bytes) -> Any:
    """The model of a file, packed operators written out as standard ones, weights of integers as floats.

    Raises:
        ModelRefusedError: ONNX Runtime does not take the file, or an operator has no float form.
        RuntimeMissingError: the package onnx or onnxruntime is not installed.
    """
    onnx = import_onnx()
    # It checks what the file says of every operator, so that nothing below has to.
    optimised(content, "disabled")
    try:
        model = fold_weights(expanded(onnx.load_from_string(content)))
        for node in model.graph.node:
            if node.domain not in _STANDARD:
                raise ModelRefusedError(f"its operator {node.domain}.{node.op_type} has no float form")
            str(node)
    except UnicodeDecodeError as error:
        raise ModelRefusedError(f"a name in it is no text ({error}): copy or export it again") from None
    return model


def read_network(model: Any) -> Network:
    """The network of what `load_model` gave."""
    program = read_onnx(model.SerializeToString())
    nodes = operators(model)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    return network_of(
        program,
        [list(node.input) for node in nodes],
        [[name for name in node.output if name] for node in nodes],
        CHANNEL,
        record_of(metadata),
    )


def operators(model: Any) -> list[Any]:
    """The nodes that are steps of a network: all but constants."""
    return [
        node
        for node in model.graph.node
        if node.op_type != "Constant" or all(a.name != "value" for a in node.attribute)
    ]


def named_layers(network: Network, original: Any) -> list[FileLayer]:
    """The binary layers as the file itself names them, packed or not.

    Args:
        network: after `drop_signs`.
        original: the model as the file has it.
    """
    packed = {name: i for i, node in enumerate(original.graph.node) for name in node.output if name}
    found = []
    for layer in network.layers:
        # A packed layer is written out under the name of its first output.
        candidates = (layer.tensor, layer.name, layer.tensor.rpartition("/step")[0])
        place = next(packed[name] for name in candidates if name in packed)
        node = original.graph.node[place]
        tensor = next(name for name in node.output if name)
        name = layer.name
        if node.domain == DOMAIN:
            name = node.input[1].rpartition("/")[0] or tensor
        found.append(FileLayer(name, place, tensor, node.name or tensor))
    return found


def write_network(network: Network, model: Any) -> tuple[Any, dict[str, Shape]]:
    """The model of a network, and the shapes of its tensors by name.

    Args:
        network: rewritten.
        model: that it was read from; it is not changed.

    Raises:
        ModelRefusedError: shapes do not fit together.
    """
    return _Writer(network, model).model()


class _Writer:
    def __init__(self, network: Network, model: Any) -> None:
        self._onnx = import_onnx()
        self._network = network
        self._old = model
        self._nodes = operators(model)
        self._constants: dict[str, Any] = {}

    def model(self) -> tuple[Any, dict[str, Shape]]:
        network, helper = self._network, self._onnx.helper
        nodes = [self._node(item) for item in network.items]
        nodes += [
            helper.make_node("Identity", [network.resolve(name)], [name], name=name)
            for name in network.outputs
            if network.resolve(name) != name
        ]
        used = {name for node in nodes for name in node.input}
        stored = [t for t in self._stored() if t.name in used and t.name not in self._constants]
        result = type(self._old)()
        result.CopyFrom(self._old)
        for part in (result.graph.node, result.graph.initializer, result.graph.value_info, result.metadata_props):  # fmt: skip
            del part[:]
        result.graph.node.extend(nodes)
        result.graph.initializer.extend([*stored, *self._constants.values()])
        # Old files list their constants as inputs, too.
        inputs = [value for value in result.graph.input if value.name in network.inputs]
        del result.graph.input[:]
        result.graph.input.extend(inputs)
        imports = [entry for entry in result.opset_import if entry.domain in _STANDARD]
        del result.opset_import[:]
        result.opset_import.extend(imports)
        shape_inference = self._onnx.shape_inference
        try:
            inferred = shape_inference.infer_shapes(result, strict_mode=True, data_prop=True)
        except shape_inference.InferenceError as error:
            reason = " ".join(str(error).split())[:200]
            raise ModelRefusedError(f"its shapes do not fit ({reason}): copy or export it again") from None
        values = (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output)
        shapes = {v.name: tuple(d.dim_value or 1 for d in v.type.tensor_type.shape.dim) for v in values}
        return inferred, shapes

    def _stored(self) -> list[Any]:
        """The file's constants; those of `Constant` nodes among them, so that every node of the baseline is a step."""
        tensors = list(self._old.graph.initializer)
        for node in self._old.graph.node:
            for attribute in node.attribute if node.op_type == "Constant" else ():
                if attribute.name == "value":
                    tensor = type(attribute.t)()
                    tensor.CopyFrom(attribute.t)
                    tensor.name = node.output[0]
                    tensors.append(tensor)
        return tensors

    def _node(self, item: Item) -> Any:
        step = item.step
        if item.origin is None:
            made = {
                "linear": self._layer,
                "add": self._arithmetic,
                "mul": self._arithmetic,
                "clip": self._clip,
            }
            return made[step.kind](step)
        node = type(self._nodes[item.origin])()
        node.CopyFrom(self._nodes[item.origin])
        for i, name in enumerate(node.input):
            node.input[i] = self._network.resolve(name) if name else name
        slope = step.attributes["slope"] if node.op_type == "PRelu" and step.kind == "prelu" else None
        if slope is not None and slope.size == 1:
            # The same function, and one that ONNX Runtime has for integers, too.
            return self._make("LeakyRelu", [node.input[0]], step.output, alpha=float(slope.item()))
        return node

    def _make(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
        return self._onnx.helper.make_node(kind, inputs, [output], name=output, **attributes)

    def _constant(self, name: str, values: Constants) -> str:
        array = np.asarray(values, dtype=np.float32)
        self._constants[name] = self._onnx.numpy_helper.from_array(array, name)
        return name

    def _inputs(self, step: Step) -> list[str]:
        names = [self._network.resolve(name) for name in step.inputs]
        stored = {tensor.name for tensor in self._old.graph.initializer}
        for name in names:
            if name in self._network.constants and name not in stored:
                self._constant(name, self._network.constants[name])
        return names

    def _arithmetic(self, step: Step) -> Any:
        return self._make(step.kind.capitalize(), self._inputs(step), step.output)

    def _clip(self, step: Step) -> Any:
        limits = [
            self._constant(f"{step.output}/{name}", np.array(step.attributes[name]))
            for name in ("low", "high")
        ]
        return self._make("Clip", [*self._inputs(step), *limits], step.output)

    def _layer(self, step: Step) -> Any:
        assert step.activation is None
        given, name = step.attributes, step.output
        weight, bias, windows = given["weight"], given["bias"], given["windows"]
        shape = weight.shape[:2] if windows is None else (*weight.shape[:2], *windows.kernel)
        inputs = [*self._inputs(step), self._constant(f"{name}/weight", weight.reshape(shape))]
        if bias is not None:
            inputs.append(self._constant(f"{name}/bias", bias))
        if windows is None:
            return self._make("Gemm", inputs, name, transB=1)
        padding: dict[str, Any] = {"auto_pad": "SAME_UPPER"}
        if windows.pads != "SAME":
            padding = {"pads": [pair[side] for side in (0, 1) for pair in windows.pads]}
        return self._make(
            "Conv",
            inputs,
            name,
            kernel_shape=list(windows.kernel),
            strides=list(windows.stride),
            dilations=list(windows.dilation),
            group=given["groups"],
            **padding,
        )
