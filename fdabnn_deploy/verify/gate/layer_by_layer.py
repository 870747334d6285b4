"""Layer by layer: every tensor of the deployed graph from the trained network's own values of what it reads.

The trained network runs in float64. As soon as one of its tensors is there, the deployed tensor that stands for it is computed, from the
trained values of those in front; the two are compared, and the trained values take its place. So no error travels, and every change of
meaning shows where it happens: a sign that counts zeros otherwise, a comparison that moved its tie, a weight that lost its third value.

A sign at a tie may already differ between the trained network's own float32 and float64: `x * 0.1 > 0.6` at 6. So where something differs,
the trained operators between two compared tensors are also run in float32, again from the float64 values in front, and a value that
equals either is the trained network's.

- Of a sign's values at most `max(1, floor(1e-4 n))` may be another.
- No other value may be off by more than the stated error of its grids (`stated_error`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

from fdabnn_deploy.exact.grid_row import GridRow
from fdabnn_deploy.frontend.capture import Captured
from fdabnn_deploy.frontend.capture.traced_value import CAPTURE_BATCH
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.array_types import DoubleArray
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Array, FloatArray
from fdabnn_deploy.transforms.deploy import Deployed
from fdabnn_deploy.verify.gate.few_images import few_images
from fdabnn_deploy.verify.gate.float32_program import repeated
from fdabnn_deploy.verify.gate.float64_program import DoubleProgram, InFloat32
from fdabnn_deploy.verify.gate.near_ties import NearTies
from fdabnn_deploy.verify.gate.results import LayerCheck, LayerTable
from fdabnn_deploy.verify.gate.stated_error import StatedErrors
from fdabnn_deploy.verify.gate.trained_zeros import TrainedZeros

SHARE = 1e-4
"""Of a layer's signs, that may be another than the trained network's; one always may."""

Kind = Literal["sign", "binary layer", "float layer", "values"]


def check_layers(
    captured: Captured,
    deployed: Deployed,
    exact: Graph,
    grids: tuple[GridRow, ...],
    images: FloatArray,
    fed: Array | None = None,
) -> LayerTable:
    """Compares a deployed graph with the trained network, tensor by tensor.

    Args:
        captured: the trained network.
        deployed: what the passes made of it.
        exact: the graph that files are made of: that of `deployed`, or what exact numerics made of it.
        grids: of its reductions; empty with float numerics.
        images: the samples, of which the first few are used.
        fed: the same as the deployed graph takes them, where it takes pixels.
    """
    count = few_images(captured.graph, len(images), CAPTURE_BATCH)
    errors = StatedErrors(deployed.graph, exact, grids)

    def compare(in_float32: bool) -> LayerTable:
        walk = _Walk(captured, deployed, exact, errors)
        float32 = InFloat32(walk.wanted, walk.seen_in_float32) if in_float32 else None
        program = DoubleProgram(captured, float32)
        for start in range(0, count, CAPTURE_BATCH):
            batch = images[start : min(start + CAPTURE_BATCH, count)]
            walk.begin(len(batch), None if fed is None else fed[start : start + len(batch)])
            program.run(batch, walk.seen)
            walk.end()
        layers = tuple(walk.check(node) for node in exact if node.name in walk.counts)
        return LayerTable(count, layers, walk.not_compared())

    table = compare(in_float32=False)
    return table if table.passed else compare(in_float32=True)


@dataclass
class _Count:
    """Running counts of one tensor."""

    values: int = 0
    differing: int = 0
    largest: float = 0.0
    stated: float = 0.0


@dataclass
class _Batch:
    """A batch on its way through both networks."""

    count: int
    position: int = 0
    values: dict[str, torch.Tensor] = field(default_factory=dict)
    trained: dict[str, torch.Tensor] = field(default_factory=dict)
    in_float32: dict[str, torch.Tensor] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    magnitudes: dict[str, DoubleArray] = field(default_factory=dict)
    pixels: torch.Tensor | None = None


class _Walk:
    """Computes the deployed graph in step with the trained network, so that neither is held in memory as a whole."""

    def __init__(self, captured: Captured, deployed: Deployed, graph: Graph, errors: StatedErrors) -> None:
        self.counts: dict[str, _Count] = {}
        self._graph, self._errors, self._weight_zeros = graph, errors, deployed.weight_zeros
        self._nodes = list(graph)
        self._kernels = {
            node.name: node.op.torch_kernel(len(graph.shape(node.name)))
            for node in graph
            if not isinstance(node.op, ops.Input)
        }
        self.wanted: dict[str, list[str]] = {}
        self._matched: set[str] = set()
        for node in graph:
            maker = captured.calls.get(node.trained)
            if maker is not None and _values_of(graph, node.name) == _values_of(captured.graph, node.trained):
                self.wanted.setdefault(maker, []).append(node.name)
                self._matched.add(node.name)
        self._clipped: dict[str, tuple[int, int, float, float]] = {}
        self._zeros = TrainedZeros(captured)
        self._ties = NearTies(captured)
        self._trained = {graph[name].trained for name in self._matched}
        self._batch = _Batch(0)

    def begin(self, count: int, pixels: Array | None) -> None:
        """Starts a batch of so many inputs; with their pixels where the deployed graph takes those."""
        waiting = {node.name: len(self._graph.consumers(node.name)) for node in self._graph}
        self._batch = _Batch(count, waiting=waiting)
        self._batch.pixels = None if pixels is None else torch.from_numpy(repeated(pixels))
        self._ties.begin()

    def seen_in_float32(self, name: str, tensor: torch.Tensor) -> None:
        """Takes a tensor of the trained network as float32 gives it, before the same in float64."""
        for deployed in self.wanted.get(name, ()):
            self._batch.in_float32[deployed] = tensor.double()

    def seen(self, name: str, tensor: torch.Tensor) -> None:
        """Takes a tensor of the trained network, and computes what can be computed with it."""
        self._zeros.seen(name, tensor, self._batch.count)
        self._ties.seen(name, tensor)
        for deployed in self.wanted.get(name, ()):
            if deployed not in self._batch.magnitudes:
                self._batch.trained[deployed] = tensor.double()
        self._advance()

    def end(self) -> None:
        """Makes sure that the batch went through as a whole."""
        self._advance()
        assert self._batch.position == len(self._nodes), self._nodes[self._batch.position]

    def not_compared(self) -> int:
        """How many signs stand for no tensor of the trained network."""
        return sum(node.name not in self.counts for node in self._graph.nodes_of(ops.Sign))

    def check(self, node: Node) -> LayerCheck:
        """The verdict on a tensor."""
        count, kind = self.counts[node.name], self._kind(node)
        allowed = max(1, math.floor(SHARE * count.values)) if kind == "sign" else 0
        cause = self._cause(node, kind) if count.differing else ""
        return LayerCheck(
            node.name,
            node.module,
            kind,
            count.values,
            count.differing,
            allowed,
            count.largest,
            count.stated,
            cause,
        )

    def _advance(self) -> None:
        batch = self._batch
        while batch.position < len(self._nodes):
            node = self._nodes[batch.position]
            if node.name in self._matched and node.name not in batch.trained:
                return
            given = batch.trained.pop(node.name, None)
            single = batch.in_float32.pop(node.name, None)
            if isinstance(node.op, ops.Input) and node.op.pixels:
                assert batch.pixels is not None
                value = batch.pixels
            elif isinstance(node.op, ops.Input):
                assert given is not None
                value = given.float()
            else:
                value = self._kernels[node.name](*(batch.values[name] for name in node.inputs))
                self._note(node, value)
            if given is not None:
                given = given.reshape(value.shape)
                batch.magnitudes[node.name] = _magnitudes(given)
                if not isinstance(node.op, ops.Input):
                    either = [given] if single is None else [given, single.reshape(value.shape)]
                    self._compare(node, value[: batch.count], [one[: batch.count] for one in either])
                value = given.float()
            batch.values[node.name] = value
            batch.position += 1
            for name in dict.fromkeys(node.inputs):
                batch.waiting[name] -= 1
                if not batch.waiting[name]:
                    del batch.values[name]

    def _compare(self, node: Node, value: torch.Tensor, either: Sequence[torch.Tensor]) -> None:
        """Counts values that are neither of the trained network's: in float64 and, where it is given, in float32."""
        count = self.counts.setdefault(node.name, _Count())
        count.values += value.numel()
        given, *single = either
        # The trained network has no number there.
        distance = torch.where(torch.isfinite(given), (value.double() - given).abs(), 0.0)
        for other in single:
            distance = torch.fmin(distance, (value.double() - other).abs())
        half = self._half_way(node)
        if half is not None:
            # A straight-through estimator leaves roundings of its own.
            limits = torch.from_numpy(half).reshape(1, -1, *(1,) * (value.dim() - 2))
            off = distance > limits
            undecided = self._ties.at(node.trained, self._trained)
            if undecided is not None and undecided.numel() >= off.numel():
                off &= ~undecided.reshape(-1, *off.shape[1:])[: len(off)]
            count.differing += int(off.sum())
            stated = 0.0
        else:
            error = self._errors.of(node.name, self._batch.magnitudes)
            limits = torch.from_numpy(np.array(error)).reshape(1, -1, *(1,) * (value.dim() - 2))
            # A number beside what is none is off in any case.
            count.differing += int((~(distance <= limits)).sum())
            stated = float(error.max())
        if distance.numel():
            count.largest = max(count.largest, float(distance.nan_to_num(math.inf).max()))
        count.stated = max(count.stated, stated)

    def _note(self, node: Node, value: torch.Tensor) -> None:
        """Remembers values that a limit cut off, which may be the cause of differences."""
        if isinstance(node.op, ops.Clamp | ops.Saturate) and "/limited" in node.name:
            beyond = int((value != self._batch.values[node.inputs[0]]).sum())
            before = self._clipped.get(node.name, (0, 0, 0.0, 0.0))
            self._clipped[node.name] = (
                before[0] + beyond,
                before[1] + value.numel(),
                node.op.low,
                node.op.high,
            )

    def _piece(self, node: Node) -> list[Node]:
        """The nodes that compute this one from trained values."""
        piece, stack = [node], list(node.inputs)
        while stack:
            inner = self._graph[stack.pop()]
            if inner.name not in self._matched:
                piece.append(inner)
                stack += inner.inputs
        return piece

    def _half_way(self, node: Node) -> DoubleArray | None:
        """Half of the distance between the two values of a sign, per channel; None for what is no sign.

        A sign of two other values than -1 and +1 is a sign and an affine.
        """
        channels = self._graph.shape(node.name)[1]
        if isinstance(node.op, ops.Sign):
            return np.full(channels, 0.5)
        source = self._graph[node.inputs[0]] if node.inputs else node
        if (
            isinstance(node.op, ops.Affine)
            and isinstance(source.op, ops.Sign)
            and source.name not in self._matched
        ):
            return np.array(0.5 * np.abs(node.op.scale))
        return None

    def _kind(self, node: Node) -> Kind:
        if self._half_way(node) is not None:
            return "sign"
        piece = self._piece(node)
        if any(isinstance(inner.op, ops.BinaryConv2d | ops.BinaryLinear) for inner in piece):
            return "binary layer"
        if any(isinstance(inner.op, ops.Conv2d | ops.Linear) for inner in piece):
            return "float layer"
        return "values"

    def _cause(self, node: Node, kind: Kind) -> str:
        piece = self._piece(node)
        for inner in piece:
            beyond, total, low, high = self._clipped.get(inner.name, (0, 1, 0.0, 0.0))
            if beyond:
                return f"{beyond / total:.2%} of the values in front are beyond {low:g} .. {high:g} and were clipped"
        zeros = self._zeros.at(node.trained, self._trained)
        if zeros:
            return (
                f"{zeros} values are exactly 0 at the sign, where one bit has no 0; --sign-zero exact keeps zeros, "
                "plus and minus count them as +1 and as -1"
            )
        if kind == "sign":
            return "the deployed sign changes at another value than the trained one"
        weights = self._weight_zeros.get(node.module, 0)
        if kind == "binary layer" and weights:
            return f"{weights} of its weights are exactly 0 and count as +1"
        if any(isinstance(inner.op, ops.Sign) for inner in piece):
            return "a sign in front of it changes at another value than the trained one"
        return "it does not compute what the trained layer computes"


def _values_of(graph: Graph, name: str) -> int:
    """Per image. A constant has no images, and never matches."""
    shape = graph.shape(name)
    return math.prod(shape[1:]) if shape and shape[0] == -1 else -1


def _magnitudes(given: torch.Tensor) -> DoubleArray:
    absolute = given.abs().nan_to_num(0.0, 0.0, 0.0)
    return absolute.transpose(0, 1).reshape(given.shape[1], -1).amax(dim=1).numpy()


def describe(layer: LayerCheck) -> str:
    """A layer that does not pass, in one sentence."""
    where = f"{layer.kind} {layer.tensor}" + (f" of module '{layer.module}'" if layer.module else "")
    share = f"{layer.differing} of {layer.values} values ({layer.differing / layer.values:.2%})"
    if layer.kind == "sign":
        return f"{where}: {share} are not the trained network's, {layer.allowed} may be: {layer.cause}"
    return (
        f"{where}: {share} are off by up to {layer.largest:.3g}, its grids and roundings leave at most {layer.stated:.3g}: "
        f"{layer.cause}"
    )
