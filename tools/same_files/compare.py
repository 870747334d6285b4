"""Two folders of exported files: which are byte for byte the same, which but for names and records, and which are not."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Literal

Verdict = Literal["same bytes", "same but for names", "different", "missing"]


def nameless_onnx(content: bytes) -> bytes:
    """An ONNX model with its values numbered in order of appearance, without names of nodes, metadata and documentation.

    Constants stand in the order of their use.
    """
    import onnx

    model = onnx.load_from_string(content)
    numbers: dict[str, str] = {}

    def number(name: str) -> str:
        return numbers.setdefault(name, str(len(numbers))) if name else ""

    graph = model.graph
    uses = {name: i for i, name in reversed([*enumerate(name for node in graph.node for name in node.input)])}
    constants = sorted(graph.initializer, key=lambda tensor: uses[tensor.name])
    del graph.initializer[:]
    graph.initializer.extend(constants)
    for value in [*graph.input, *graph.initializer]:
        value.name = number(value.name)
    for node in graph.node:
        node.name = ""
        node.input[:] = [number(name) for name in node.input]
        node.output[:] = [number(name) for name in node.output]
    for value in [*graph.output, *graph.value_info]:
        value.name = number(value.name)
    graph.name = graph.doc_string = model.doc_string = model.producer_version = ""
    del model.metadata_props[:]
    stripped: bytes = model.SerializeToString(deterministic=True)
    return stripped


def nameless_tflite(content: bytes) -> list[Any]:
    """The computation of a TFLite file: operators, tensors and constants in order, without names and metadata."""
    schema: Any = importlib.import_module("ai_edge_litert.schema_py_generated")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))

    def plain(value: Any) -> Any:
        if hasattr(value, "__dict__"):
            return [(key, plain(item)) for key, item in sorted(vars(value).items()) if key != "name"]
        if hasattr(value, "tobytes"):
            return value.tobytes()
        return [plain(item) for item in value] if isinstance(value, list) else value

    found: list[Any] = []
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            tensor.buffer = 0
            found.append((plain(tensor), None if data is None else bytes(data)))
        found.append(plain(graph.operators))
    return [*found, plain(model.operatorCodes)]


def verdict(old: Path, new: Path) -> Verdict:
    """How the files differ."""
    if not old.is_file() or not new.is_file():
        return "missing"
    a, b = old.read_bytes(), new.read_bytes()
    if a == b:
        return "same bytes"
    nameless = nameless_onnx if new.suffix == ".onnx" else nameless_tflite
    return "same but for names" if nameless(a) == nameless(b) else "different"


def table(old: Path, new: Path) -> dict[str, Verdict]:
    """The verdict of every model file in either folder, by its path below it."""
    names = {
        str(path.relative_to(folder))
        for folder in (old, new)
        for path in folder.rglob("*")
        if path.suffix in (".onnx", ".tflite")
    }
    return {name: verdict(old / name, new / name) for name in sorted(names)}
