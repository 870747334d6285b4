"""The times of a model's layers: what the runner timed, joined with what the file says of its operators.

A runtime may run several operators of the file as one, or bring in some of its own. A layer's time of one run is the sum of what was
executed for it in that run; its median is that of these sums. Shares are of the sum of all medians.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fdabnn_deploy.measure.profiles.operators import Operator
from fdabnn_deploy.measure.statistics import median, quantiles, ratio

INSERTED = "(by the runtime)"
"""The layer of what a runtime brings in by itself, such as changes of layout."""
_MULTIPLYING = ("Conv", "Gemm", "MatMul")
"""Parts of the names of ONNX Runtime's operators with multiply-adds."""
ComparedIn = Literal["", "files of their own", "the whole models"]
NotCompared = Literal["", "no twin", "merged", "not quiet"]


@dataclass(frozen=True)
class Executed:
    """An operator as the runtime executed it.

    Attributes:
        type: as the runtime calls it.
        operators: indices of the file's operators that it stands for; none where the runtime brought it in.
        samples: ns of each run.
    """

    type: str
    operators: tuple[int, ...]
    samples: tuple[int, ...]


@dataclass(frozen=True)
class LayerTime:
    """A row of the table; times in ns.

    Attributes:
        name: of the layer.
        types: of its executed operators, each once.
        executed: how many there are.
        binary_macs: its 1-bit multiply-adds for one image.
        float_macs: its others.
        samples: of each run, all operators together.
        median: of them.
        p10: a tenth of the runs was faster.
        p90: a tenth was slower.
        share: of the sum of all layers' medians.
        binary_rate: 1-bit multiply-adds per second while the operators ran that do them, None where there are none.
        of_ceiling: this as a share of what the core reaches at most, times the threads; None where that was not measured.
        compared: what is compared with the baseline: the median of a binary layer's convolution and the packing of its signs, of the whole
            layer where the baseline is another model; None without a baseline, or where it has no such layer, or a run was not quiet.
        baseline: the median of the same layer there.
        compared_in: where both were timed: each alone in a file of its own, or operator by operator in the whole models; empty where
            nothing was compared.
        not_compared: why a layer that has multiply-adds has no figure against the baseline: the baseline has no such layer, the runtime
            merged it into another, or runs were not quiet; empty where there is one.
    """

    name: str
    types: tuple[str, ...]
    executed: int
    binary_macs: int
    float_macs: int
    samples: tuple[int, ...]
    median: float
    p10: float
    p90: float
    share: float
    binary_rate: float | None
    of_ceiling: float | None
    compared: float | None = None
    baseline: float | None = None
    compared_in: ComparedIn = ""
    not_compared: NotCompared = ""

    @property
    def multiplies(self) -> bool:
        """Whether it has multiply-adds."""
        return self.binary_macs + self.float_macs > 0

    @property
    def speedup(self) -> float | None:
        """How many times as fast as the baseline's it is."""
        return ratio(self.baseline or None, self.compared)


def executed(ops: Sequence[dict[str, Any]], operators: Sequence[Operator]) -> tuple[Executed, ...]:
    """Finds the file's operators for what the runner timed (`ops` of its JSON)."""
    names: dict[str, int] = {}
    for i, operator in enumerate(operators):
        names.setdefault(operator.name, i)
        if operator.node:
            names[operator.node] = i
    return tuple(
        Executed(str(op["type"]), _operators_of(op, operators, names), tuple(int(ns) for ns in op["samples"]))
        for op in ops
    )


def _operators_of(
    op: dict[str, Any], operators: Sequence[Operator], names: Mapping[str, int]
) -> tuple[int, ...]:
    """The file's operators: by their indices where several were merged, else by name, else by index.

    ONNX Runtime counts its own operators behind those of the file, and calls a convolution with what it merged into it by the last of
    these.
    """
    indices = [
        i for i in op.get("nodes") or [op.get("node")] if isinstance(i, int) and 0 <= i < len(operators)
    ]
    if len(indices) > 1:
        return tuple(indices)
    named = [_by_name(str(op.get(key)), names) for key in ("name", "node")]
    found = next((i for i in (*named, *indices) if i is not None), None)
    if found is None:
        return ()
    chain = [found]
    while any(word in str(op["type"]) for word in _MULTIPLYING) and not operators[chain[-1]].macs:
        behind = operators[chain[-1]].reads
        if not behind:
            return (found,)
        chain.append(behind[0])
    return tuple(reversed(chain))


def _by_name(text: str, names: Mapping[str, int]) -> int | None:
    """ONNX Runtime's optimiser lengthens names: `conv_nchwc`, `fused conv`. The longest name of the file that is part of it counts."""
    if text in names:
        return names[text]
    parts = [name for name in names if name and text.startswith((name, f"fused {name}"))]
    return names[max(parts, key=len)] if parts else None


def table(
    run: Sequence[Executed], operators: Sequence[Operator], peak: float | None, threads: int
) -> tuple[LayerTime, ...]:
    """The layers in the order in which they run.

    Args:
        run: what was executed.
        operators: of the file.
        peak: binary multiply-adds per second of one core, None where it was not measured.
        threads: that took part.
    """
    rows: dict[str, list[Executed]] = {}
    for op in run:
        rows.setdefault(_layer_of(op, operators), []).append(op)
    medians = {name: median(_sum(ops)) for name, ops in rows.items()}
    total = sum(medians.values()) or 1.0
    layers = []
    for name, ops in rows.items():
        samples = _sum(ops)
        p10, p90 = quantiles(samples, (0.1, 0.9))
        macs = {kind: sum(_macs(op, operators, binary=kind) for op in ops) for kind in (True, False)}
        rate = None
        if macs[True]:
            time = median(_sum([op for op in ops if _macs(op, operators, binary=True)]))
            rate = macs[True] / (time * 1e-9) if time else None
        layers.append(
            LayerTime(
                name,
                tuple(dict.fromkeys(op.type for op in ops)),
                len(ops),
                macs[True],
                macs[False],
                tuple(int(ns) for ns in samples),
                medians[name],
                p10,
                p90,
                medians[name] / total,
                rate,
                rate / (peak * threads) if rate and peak else None,
            )
        )
    return tuple(layers)


def _layer_of(op: Executed, operators: Sequence[Operator]) -> str:
    """That of its first operator with multiply-adds, else of its last: what went before was merged into it."""
    if not op.operators:
        return INSERTED
    members = [operators[i] for i in op.operators]
    return next((member.layer for member in members if member.macs), members[-1].layer)


def _macs(op: Executed, operators: Sequence[Operator], *, binary: bool) -> int:
    return sum(operators[i].macs for i in op.operators if operators[i].binary is binary)


def _sum(ops: Sequence[Executed]) -> Any:
    """Of the operators, run by run: [runs]."""
    count = min((len(op.samples) for op in ops), default=0)
    return np.sum([op.samples[:count] for op in ops], axis=0, dtype=np.float64) if count else np.zeros(1)


def time_of(run: Sequence[Executed], indices: Sequence[int]) -> float | None:
    """The median of what was executed for some of the file's operators, None where that is nothing."""
    wanted = set(indices)
    ops = [op for op in run if wanted & set(op.operators)]
    return median(_sum(ops)) if ops else None
