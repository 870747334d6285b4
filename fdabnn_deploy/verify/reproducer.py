"""Writes one layer of a network into a folder of its own: the smallest thing that shows a difference between two models.

The layer is everything between a tensor that differs and the nearest tensors on which both models still agree, cut
out of the deployed graph. What the layer reads is recorded from one input; every installed converter makes a file
of the layer; and the folder says what each side, and each of these files alone, computes for the value that differs.
A file that is right alone points at what its whole model does around the layer, such as a fusion of operators.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fdabnn_deploy.errors import FdabnnError, NotWrittenError, UsageError
from fdabnn_deploy.ir import reference
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import BinaryConv2d, BinaryLinear, FloatArray, Input, Sign
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.system.files import check_writable
from fdabnn_deploy.system.read_file import exists
from fdabnn_deploy.system.scratch import ScratchFolder
from fdabnn_deploy.targets import installed as targets
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.target import Target
from fdabnn_deploy.verify.metrics import Difference, compare

READ_ME = "README.txt"
SCRIPT = "run.py"
_NAME = "layer"
_SCRIPT_TEXT = '''"""Runs the layer on every file in this folder and prints the value that differs."""

from pathlib import Path

import numpy as np

from fdabnn_deploy.runtimes import registry

here = Path(__file__).parent
inputs = [np.load(here / name) for name in {inputs}]
for name in {files}:
    path = here / name
    value = registry.for_file(path).open(path).run(inputs)[0][{index}]
    print(f"{{name:<16}} 0x{{int(value.view(np.uint32)):08x}}  {{value!r}}")
'''


@dataclass(frozen=True)
class Case:
    """The difference to reproduce.

    Attributes:
        graph: the deployed graph.
        tensor: the first one that differs, of `graph`.
        index: of the value that differs, in the tensor [1, ...].
        equal: tensors in which the two models agree, on the input of `values`.
        values: every tensor [1, ...] of `graph`, for one input.
        a: the name of one model and its tensor.
        b: the same of the other.
    """

    graph: Graph
    tensor: str
    index: tuple[int, ...]
    equal: frozenset[str]
    values: dict[str, FloatArray]
    a: tuple[str, FloatArray]
    b: tuple[str, FloatArray]


def check_folder(folder: Path) -> None:
    """Before the work: refuses a folder that already holds something, or that cannot be written.

    Raises:
        UsageError: it does, or there is something else of this name.
    """
    there = exists(folder)
    if there and folder.is_dir():
        if any(folder.iterdir()):
            raise UsageError(f"{folder} exists: name a new folder for the reproduction")
        check_writable(folder / READ_ME)
        return
    if there or folder.is_symlink():
        raise UsageError(f"{folder} exists and is no folder: name a new folder for the reproduction")
    check_writable(folder)


def cut(graph: Graph, tensor: str, known: frozenset[str]) -> tuple[Graph, dict[str, str]]:
    """The part of a graph between known tensors and one other.

    Args:
        graph: any.
        tensor: what the part computes.
        known: tensors that need not be computed. Inputs of the graph are always known.

    Returns:
        The part, and per input of it the tensor of `graph` that it is. Known signs, read by whatever, become an input
        with a sign behind it, which changes no value and lets converters see a binary layer.
    """
    nodes: list[Node] = []
    inputs: list[Node] = []
    sources: dict[str, str] = {}
    needed = {tensor}
    for node in reversed(list(graph)):
        if node.name not in needed:
            continue
        if isinstance(node.op, Input) or (node.name in known and node.name != tensor):
            shape = graph.shape(node.name)[1:]
            binary = [reader for reader in nodes if isinstance(reader.op, BinaryConv2d | BinaryLinear)]
            signs = isinstance(node.op, Sign) or any(node.name in reader.inputs for reader in binary)
            name = f"{node.name}/recorded" if signs else node.name
            pixels = isinstance(node.op, Input) and node.op.pixels
            inputs.append(Node(name, Input(shape, pixels), (), node.module, node.source))
            sources[name] = node.name
            if signs:
                nodes.append(Node(node.name, Sign(), (name,), node.module, node.source))
        else:
            nodes.append(node)
            needed.update(node.inputs)
    inputs.reverse()
    return Graph([*inputs, *reversed(nodes)], [tensor]), {node.name: sources[node.name] for node in inputs}


def write(folder: Path, case: Case) -> None:
    """Writes the folder, aside first; see the module.

    Its files: `README.txt`, `layer.txt` (the graph), `input_<i>.npy` [1, ...] in the order of the layer's inputs,
    `a.npy` and `b.npy` with the tensor that differs, `layer.<suffix>` per target, and `run.py`, which runs those.

    Raises:
        UsageError: the folder holds something.
        NotWrittenError: it cannot be written.
    """
    check_folder(folder)
    empty = folder.is_dir()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with ScratchFolder(f".{folder.name[:40]}.", folder if empty else folder.parent) as scratch:
            work = scratch.path / "whole"
            work.mkdir()
            _fill(work, case)
            if empty:
                # It may be where a link leads, and is not replaced.
                for path in work.iterdir():
                    path.rename(folder / path.name)
            else:
                work.rename(folder)
    except OSError as error:
        raise NotWrittenError(f"cannot write {folder}: {error.strerror or error}") from None


def _fill(work: Path, case: Case) -> None:
    layer, sources = cut(case.graph, case.tensor, case.equal)
    recorded = [np.ascontiguousarray(case.values[source]) for source in sources.values()]
    inputs = [f"input_{i}.npy" for i in range(len(recorded))]
    for name, values in zip((*inputs, "a.npy", "b.npy"), (*recorded, case.a[1], case.b[1]), strict=True):
        np.save(work / name, values)
    (work / "layer.txt").write_text(f"{layer}\n")
    found = [
        (f"A, {case.a[0]}", case.a[1]),
        (f"B, {case.b[0]}", case.b[1]),
        ("reference", reference.evaluate(layer, recorded)[0]),
    ]
    files, missing = [], []
    for target in targets.registered():
        try:
            file, results = _convert(work, target, layer, recorded)
            files.append(file)
            found += results
        except FdabnnError as error:
            missing.append(f"{target.name}: {error}")
    if files:
        index = ", ".join(map(str, case.index))
        (work / SCRIPT).write_text(_SCRIPT_TEXT.format(inputs=repr(inputs), files=repr(files), index=index))
    (work / READ_ME).write_text(_read_me(case, layer, sources, found, missing, bool(files)))


def _convert(
    work: Path, target: Target, layer: Graph, recorded: list[FloatArray]
) -> tuple[str, list[tuple[str, FloatArray]]]:
    """One target's file of the layer, and what its runtimes compute; nothing stays of a file that fails."""
    path = work / f"{_NAME}{target.suffix}"
    info = ModelInfo(_NAME, layer.shape(layer.inputs[0])[1:])
    try:
        target.converter().convert(layer, info, path, ConvertOptions())
        results = [
            (f"{path.name} on {entry.name}", registry.get(entry.name).open(path).run(recorded)[0])
            for entry in target.verifying
        ]
    except FdabnnError:
        path.unlink(missing_ok=True)
        raise
    return path.name, results


def _read_me(
    case: Case,
    layer: Graph,
    sources: dict[str, str],
    found: list[tuple[str, FloatArray]],
    missing: list[str],
    runs: bool,
) -> str:
    node = case.graph[case.tensor]
    lines = [
        f"The first tensor that differs: {case.tensor}",
        f"module {node.module or '(the model itself)'}, index {list(case.index)}, {node.source or 'no source line'}",
        "",
    ]
    width = max(len(name) for name, _ in found)
    for name, values in found:
        value = Difference(case.index, float(values[case.index]), 0.0)
        lines.append(f"  {name:<{width}}  {value.a_bits}  {np.float32(value.a)!s}")
    lines += ["", *_conclusion(case, found), ""]
    lines += ["A and B are the whole models; the others compute this layer alone from what it reads:", ""]
    lines += [f"  input_{i}.npy  {source}" for i, source in enumerate(sources.values())]
    lines += ["", "The layer (layer.txt):", ""]
    lines += [f"  {line}" for line in str(layer).splitlines()]
    lines += [f"\nThere is no file for {reason}" for reason in missing]
    lines += ["", f"Run the files again:  python {SCRIPT}"] if runs else []
    return "\n".join([*lines, ""])


def _conclusion(case: Case, found: list[tuple[str, FloatArray]]) -> list[str]:
    """Who computes what the reference executor does: the specification of every operator."""
    expected = found[2][1][case.index]
    a, b, _, *alone = (compare(values[case.index], expected).equal for _, values in found)
    if a or b:
        lines = [
            f"{'A' if a else 'B'} computes what the reference executor does, {'B' if a else 'A'} does not."
        ]
    else:
        lines = ["Neither A nor B computes what the reference executor does."]
    if alone and all(alone):
        lines.append(
            "Every file of the layer alone is right: look at what the whole model does around it, such as a fusion of"
            " operators, and at how its file came about."
        )
    return lines
