"""Reads the exact float layers of a file back as the plain layers that they stand for, by the record in the file's metadata.

The record (`fdabnn_deploy.exact.record`) names the tensor of every reduction that exact numerics rewrote (docs/numerics.md). From there
back to the operand stand partial products of slices, `x0 w0 - (... - x1 w0)`, roundings, and limits. With `round(t) = t` the first slice is
the operand and the remainders are zero (`grids`), so that the differences of layers of one operand are one layer whose weights are the
differences of theirs:

    x0 w0 - ((x0 w1 - x1 w1) - ...)   =   (w0 - (w1 - ...)) x

which are the trained weights as far as the slices hold them. Limits in front go where they are the record's (`exact_limits`).
Subtractions that stand for additions, `x - layer(-w)`, become additions.

TensorFlow makes an activation part of the operator in front, whose tensor then has the activation's name. So an entry of the record whose
name no tensor has belongs to the first reduction without an entry that has as many partial products, or fewer, on the same grid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fdabnn_deploy.exact.record import Cut
from fdabnn_deploy.measure.baselines.exact_limits import (
    MOVES,
    Limited,
    clamp_choices,
    drop_barriers,
    drop_input_limits,
    drop_limits,
)
from fdabnn_deploy.measure.baselines.float_network import (
    BINARY,
    LAYERS,
    Item,
    Network,
    bias_of,
    changed,
    negated,
    with_activation,
)
from fdabnn_deploy.measure.baselines.grids import Grids
from fdabnn_deploy.prove.program import Step

_POOLS = ("average", "mean", "sum")
_SHAPES = ("reshape", "squeeze", "transpose")


@dataclass(frozen=True)
class _Reduction:
    """A reduction of the file.

    Attributes:
        output: its tensor.
        operand: the tensor that it reduces, behind limits.
        steps: the tensors from the operand, which is none of them, to the result.
        parts: layers that it is the sum of.
        exponent: the operand, or its first slice, is rounded to multiples of `2^-exponent`; None where it is not rounded.
        layer: the plain layer that it stands for; None for pools, which stay.
    """

    output: str
    operand: str
    steps: frozenset[str]
    parts: int
    exponent: int | None
    layer: Item | None

    def fits(self, cut: Cut) -> bool:
        """Whether an entry of the record can be about it."""
        same_grid = self.exponent is None or cut.exponent is None or self.exponent <= cut.exponent
        return self.parts <= cut.parts and same_grid


def plain_layers(network: Network) -> None:
    """Rewrites a network with exact numerics; leaves others alone."""
    if network.record.mode != "exact":
        return
    drop_barriers(network)
    grids = Grids(network)
    found = _Finder(network, grids).recorded()
    drop_limits(network, [Limited(reduction.operand, reduction.steps, cut) for reduction, cut in found])
    drop_input_limits(network, grids.operands())
    clamp_choices(network)
    layers = {reduction.output: reduction.layer for reduction, _ in found if reduction.layer is not None}
    kept = []
    for item in network.items:
        made = grids.plain(layers.get(item.step.output) or _without_units(grids, item))
        if made is not None:
            kept.append(made)
    network.items = kept
    network.drop_dead()
    _restore_additions(network)
    network.drop_dead()


class _Finder:
    """Finds the reductions of the record in a file.

    Args:
        network: of the file, without fusion barriers.
        grids: of the network.
    """

    def __init__(self, network: Network, grids: Grids) -> None:
        self._network = network
        self._grids = grids
        self._cuts = network.record.cuts
        self._makers = network.makers()

    def recorded(self) -> list[tuple[_Reduction, Cut]]:
        """The reductions of the record, as far as the file has them, and their entries."""
        named = {self._network.label(item.step.output): item for item in self._network.items}
        found: list[tuple[_Reduction, Cut]] = []
        missing: list[Cut] = []
        inputs = {self._network.label(name) for name in self._network.inputs}
        for name, cut in self._cuts.items():
            reduction = self._reduction(self._behind_scales(named[name])) if name in named else None
            if reduction is not None:
                found.append((reduction, cut))
            elif name not in inputs:
                missing.append(cut)
        unnamed = (
            self._unnamed({name for reduction, _ in found for name in reduction.steps}) if missing else []
        )
        for cut in missing:
            fitting = next((reduction for reduction in unnamed if reduction.fits(cut)), None)
            if fitting is not None:
                unnamed.remove(fitting)
                found.append((fitting, cut))
        return found

    def _unnamed(self, taken: set[str]) -> list[_Reduction]:
        """Reductions that are no part of others and of which no tensor is in `taken`, in the file's order."""
        candidates = [
            reduction
            for item in self._network.items
            if item.step.output not in taken and (reduction := self._reduction(item)) is not None
        ]
        parts = {name for reduction in candidates for name in reduction.steps - {reduction.output}}
        return [reduction for reduction in candidates if reduction.output not in parts]

    def _behind_scales(self, item: Item) -> Item:
        """The pool of which a step gives the mean, perhaps in another shape; the step itself if it is something else."""
        found = item
        while found.step.kind in ("mul", *MOVES):
            tensors = self._tensors(found.step)
            if len(tensors) != 1 or tensors[0] not in self._makers:
                return item
            found = self._makers[tensors[0]]
        return found

    def _kind(self, name: str) -> str:
        return self._makers[name].step.kind if name in self._makers else ""

    def _tensors(self, step: Step) -> list[str]:
        return [
            name for name in map(self._network.resolve, step.inputs) if name not in self._network.constants
        ]

    def _reduction(self, item: Item) -> _Reduction | None:
        """The reduction that ends with a step; None where none does."""
        step = item.step
        leaves = self._leaves(item, root=True)
        if leaves is None and step.kind not in _POOLS:
            return None
        sources = [self._network.resolve(leaf.step.inputs[0]) for leaf in leaves or [item]]
        first = next((name for name in sources if name not in self._grids.zeros), None)
        if first is None:
            return None
        # Padding, and what crops an image whose end no window reaches, stand between the slices and the layers.
        while self._grids.exponent(first) is None and self._kind(first) in ("pad", *MOVES):
            first = self._network.resolve(self._makers[first].step.inputs[0])
        operand, _ = self._grids.of(first)
        # TensorFlow may write limits in front of a change of shape.
        while self._kind(operand) in _SHAPES:
            operand = self._network.resolve(self._makers[operand].step.inputs[0])
        return _Reduction(
            step.output,
            operand,
            self._steps(step.output, operand),
            len(sources),
            self._grids.exponent(first),
            None if leaves is None else self._joined(item, root=True),
        )

    def _steps(self, output: str, operand: str) -> frozenset[str]:
        """The tensors on the way from an operand to a result, without the operand."""
        found: set[str] = set()
        open_ = [output]
        while open_:
            name = open_.pop()
            if name != operand and name not in found and name in self._makers:
                found.add(name)
                open_ += self._tensors(self._makers[name].step)
        return frozenset(found)

    def _leaves(self, item: Item | None, *, root: bool) -> list[Item] | None:
        """The layers that a step is a sum or difference of, the layer itself if it is one; None where it is something else."""
        if item is None or (not root and self._network.label(item.step.output) in self._cuts):
            return None
        step = item.step
        if step.activation is not None and not root:
            return None
        if is_plain_layer(item):
            return [item]
        tensors = self._tensors(step)
        if step.kind != "sub" or len(tensors) != 2:
            return None
        left, right = (self._leaves(self._makers.get(name), root=False) for name in tensors)
        if left is None or right is None:
            return None
        leaves = [*left, *right]
        used = [leaf for leaf in leaves if not self._is_zero(leaf)]
        return leaves if all(self._alike(used[0].step, leaf.step) for leaf in used[1:]) else None

    def _is_zero(self, layer: Item) -> bool:
        return self._network.resolve(layer.step.inputs[0]) in self._grids.zeros and not np.any(
            bias_of(layer.step)
        )

    def _alike(self, a: Step, b: Step) -> bool:
        """Whether two layers differ in nothing but their numbers."""
        names = ("windows", "groups", "axis", "keep")
        return (
            a.kind == b.kind
            and self._grids.of(a.inputs[0])[0] == self._grids.of(b.inputs[0])[0]
            and a.attributes["weight"].shape == b.attributes["weight"].shape
            and all(a.attributes.get(name) == b.attributes.get(name) for name in names)
        )

    def _joined(self, item: Item, *, root: bool = False) -> Item | None:
        """The one layer that a sum of layers is; None where it is zero."""
        step = item.step
        if is_plain_layer(item):
            return None if self._is_zero(item) else _without_units(self._grids, item)
        left, right = (self._joined(self._makers[name]) for name in self._tensors(step))
        if left is None and right is None:
            return None
        if right is None:
            assert left is not None
            joined = changed(left, step.output)
        elif left is None:
            joined = negated(right, step.output)
        else:
            joined = changed(
                left,
                step.output,
                weight=left.step.attributes["weight"] - right.step.attributes["weight"],
                bias=bias_of(left.step) - bias_of(right.step),
            )
        return with_activation(joined, step.activation) if root else joined


def is_plain_layer(item: Item) -> bool:
    """Whether a step is a float layer of one operand that was none of the binary ones."""
    step = item.step
    return step.kind in LAYERS and len(step.inputs) == 1 and BINARY not in step.attributes


def _without_units(grids: Grids, item: Item) -> Item:
    """The layer of an operand in place of one of its multiples; any other step as it is."""
    if item.step.kind not in LAYERS or len(item.step.inputs) != 1:
        return item
    base, factor = grids.of(item.step.inputs[0])
    if factor == 1:
        return item
    weight = item.step.attributes["weight"] * np.float32(factor)
    return Item(replace(item.step, inputs=(base,), attributes={**item.step.attributes, "weight": weight}))


def _restore_additions(network: Network) -> None:
    """`a - layer` becomes `a + (-layer)`."""
    uses, makers = network.uses(), network.makers()
    replaced: dict[str, Item] = {}
    items = []
    for item in network.items:
        step = item.step
        inputs = [network.resolve(name) for name in step.inputs]
        if step.kind == "sub" and inputs[0] not in network.constants:
            layer = makers.get(inputs[1])
            if layer is not None and _can_be_negated(layer) and uses[inputs[1]] == 1:
                replaced[inputs[1]] = negated(layer, inputs[1])
                item = Item(Step(step.op, "add", tuple(inputs), step.output, {}, step.activation))  # noqa: PLW2901
        items.append(item)
    network.items = [replaced.get(item.step.output, item) for item in items]


def _can_be_negated(item: Item) -> bool:
    step = item.step
    return step.kind in LAYERS and len(step.inputs) == 1 and step.activation is None
