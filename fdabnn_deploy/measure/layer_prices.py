"""The price of exactness, layer by layer: bytes and time of every exact layer beside its float form.

Each layer of both forms is written alone, by the writer of the target, into a file of its own. Its bytes are those of the constants in that
file, which are the same as in the whole one. Its time is estimated: some runs of that file, of one image on one thread, in time of the
processor, less those of a file that passes as many bytes on and does nothing. That takes some milliseconds per layer, where a
measurement takes seconds; `python tools/bench prices` says how far the two are apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import Array
from fdabnn_deploy.measure import timer
from fdabnn_deploy.measure.format_tools import FormatTools
from fdabnn_deploy.runtimes.base import Runtime, Session
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.target import Target

SAMPLES, SAMPLE_SECONDS = 6, 5e-4
"""Of a layer's file: how many, and how long each is at least, of as many runs as that takes."""


@dataclass(frozen=True)
class LayerPrice:
    """An exact layer beside its float form.

    Attributes:
        tensor: of its result.
        module: path of the PyTorch module that it comes from.
        exact_bytes: of its constants, as written.
        float_bytes: likewise of its float form.
        exact_ms: estimated time for one image, None where nothing was timed.
        float_ms: likewise of its float form.
    """

    tensor: str
    module: str
    exact_bytes: int
    float_bytes: int
    exact_ms: float | None
    float_ms: float | None


@dataclass(frozen=True)
class FilePrice:
    """An exact file beside its float form (`--numerics float`).

    Attributes:
        target: of the file.
        runtime: that the times are of.
        exact_bytes: of the file.
        float_bytes: of its float form, estimated: what its layers differ by.
        exact_ms: measured time for one image, None where it was not measured.
        float_ms: of its float form, estimated likewise; None where no layer was timed.
        layers: in the order of computation.
    """

    target: str
    runtime: str
    exact_bytes: int
    float_bytes: int
    exact_ms: float | None
    float_ms: float | None
    layers: tuple[LayerPrice, ...]


@dataclass(frozen=True)
class Forms:
    """A deployed graph in its two forms, and which of their tensors are of the network.

    Attributes:
        exact: with composite operators.
        floats: with the trained weights, and normalisation in front where files take pixels.
        original: names of the tensors that both have; others are steps on the way to one of these.
        layers: results of the layers to look at, with their modules.
    """

    exact: Graph
    floats: Graph
    original: frozenset[str]
    layers: tuple[tuple[str, str], ...]


def alone(graph: Graph, name: str, original: Iterable[str]) -> Graph:
    """The operators that make a tensor out of tensors of the network, which are the inputs; its result cut down to one value per channel.

    So runtimes pass no large array on, which would be timed, too.
    """
    known = set(original)
    nodes: dict[str, Node] = {}

    def collect(tensor: str) -> None:
        if tensor in nodes:
            return
        node = graph[tensor]
        if tensor != name and tensor in known:
            given = node.op if isinstance(node.op, ops.Input) else ops.Input(graph.shape(tensor)[1:])
            nodes[tensor] = Node(tensor, given, (), node.module)
            return
        for read in node.inputs:
            collect(read)
        nodes[tensor] = node

    collect(name)
    return _cut_down([*nodes.values()], name, graph.shape(name)[1:])


def _cut_down(nodes: list[Node], name: str, shape: tuple[int, ...]) -> Graph:
    if math.prod(shape[1:]) == 1:
        return Graph(nodes, [name])
    ranges = ((0, shape[0], 1), *((0, 1, 1) for _ in shape[1:]))
    return Graph([*nodes, Node(f"{name}/first", ops.Slice(ranges), (name,))], [f"{name}/first"])


def _floor(octets: int) -> Graph:
    """So many bytes of inputs, of which one value is passed on: what running a file takes beside its layer."""
    shape = (1, 1, max(1, octets // 4))
    first = _cut_down([Node("input", ops.Input(shape))], "input", shape)
    (last,) = first.outputs
    return Graph([*first, Node("floor", ops.Relu(), (last,))], ["floor"])


class Pricer:
    """Writes layers of a target alone and times them.

    Args:
        target: whose files they are.
        runtime: that times are of.
        info: of the model.
        options: as the whole file is written.
        folder: for the files, which are removed.
    """

    def __init__(
        self, target: Target, runtime: Runtime, info: ModelInfo, options: ConvertOptions, folder: Path
    ) -> None:
        assert target.measuring is not None
        self._tools: FormatTools = target.load(target.measuring)
        self._runtime = runtime
        self._info, self._options = info, replace(options, batch=1, via="own")
        self._path = folder / f"{info.name}.alone{target.suffix}"
        self._floors: dict[int, float] = {}

    def write(self, graph: Graph) -> bytes:
        """A file of a graph alone."""
        info = self._info
        if not any(isinstance(node.op, ops.Input) and node.op.pixels for node in graph):
            info = replace(info, input_format="float32", channel_order="rgb", layout="nchw")
        return self._tools.write(graph, info, self._options)

    def size(self, content: bytes) -> int:
        """Bytes of the constants of a file."""
        return self._tools.constant_bytes(content)

    def open(self, content: bytes) -> Session:
        """A session of a file."""
        self._path.write_bytes(content)
        try:
            return self._runtime.open(self._path)
        finally:
            self._path.unlink()

    def floor_of(self, image: Sequence[Array]) -> Graph:
        """A graph that does nothing with inputs of as many bytes."""
        return _floor(sum(value.nbytes for value in image))

    def seconds(self, graph: Graph, content: bytes) -> float:
        """Of one image, the passing of inputs left out.

        Args:
            graph: of one input.
            content: its file.
        """
        image = inputs_of(graph)
        found = _calm(self.open(content), image)
        octets = sum(value.nbytes for value in image)
        if octets not in self._floors:
            floor = self.floor_of(image)
            self._floors[octets] = _calm(self.open(self.write(floor)), inputs_of(floor))
        return max(found - self._floors[octets], 0.0)


def inputs_of(graph: Graph) -> list[Array]:
    """One made-up image for every input."""
    rng = np.random.default_rng(0)
    found: list[Array] = []
    for name in graph.inputs:
        op, shape = graph[name].op, graph.shape(name)[1:]
        if isinstance(op, ops.Input) and op.pixels:
            found.append(rng.integers(0, 256, (1, *shape), dtype=np.uint8))
        else:
            found.append(rng.standard_normal((1, *shape)).astype(np.float32))
    return found


def _calm(session: Session, image: Sequence[Array]) -> float:
    """The seconds of the processor for one run, in the fastest of some samples: so few say little of how often the machine is disturbed."""
    prepared = session.native_inputs(image)

    def seconds(calls: int = 1) -> float:
        return timer.elapsed(lambda: session.run_native(prepared), calls).processor / calls

    seconds()
    calls = timer.calls_for(seconds(), SAMPLE_SECONDS)
    return min(seconds(calls) for _ in range(SAMPLES))


def price_layers(forms: Forms, pricer: Pricer, seconds: float) -> tuple[LayerPrice, ...]:
    """Every layer in both forms; with their times as far as so many seconds of the processor go, layers with weights first."""
    budget = timer.ProcessorBudget(seconds)
    order = sorted(forms.layers, key=lambda layer: not _has_weights(forms.floats[layer[0]]))
    found = {name: _price(name, module, forms, pricer, budget) for name, module in order}
    return tuple(found[name] for name, _ in forms.layers)


def _has_weights(node: Node) -> bool:
    return isinstance(node.op, ops.Conv2d | ops.Linear)


def _price(name: str, module: str, forms: Forms, pricer: Pricer, budget: timer.ProcessorBudget) -> LayerPrice:
    parts = [alone(graph, name, forms.original) for graph in (forms.exact, forms.floats)]
    files = [pricer.write(part) for part in parts]
    exact_bytes, float_bytes = map(pricer.size, files)
    if budget.spent or any(len(part.inputs) != 1 for part in parts):
        return LayerPrice(name, module, exact_bytes, float_bytes, None, None)
    exact, floats = (1e3 * pricer.seconds(*each) for each in zip(parts, files, strict=True))
    return LayerPrice(name, module, exact_bytes, float_bytes, exact, floats)


def price_file(
    target: str, runtime: str, size: int, milliseconds: float | None, layers: tuple[LayerPrice, ...]
) -> FilePrice:
    """The whole file: its float form is as much smaller and faster as its layers are."""
    more = sum(layer.exact_bytes - layer.float_bytes for layer in layers)
    longer = [
        layer.exact_ms - layer.float_ms
        for layer in layers
        if layer.exact_ms is not None and layer.float_ms is not None
    ]
    floats = None if milliseconds is None or not longer else max(milliseconds - sum(longer), 0.0)
    return FilePrice(target, runtime, size, size - more, milliseconds, floats, layers)
