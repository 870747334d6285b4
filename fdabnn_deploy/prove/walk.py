"""Judges a program step by step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fdabnn_deploy.prove import fusion
from fdabnn_deploy.prove.domain import Comparison, Value, bytes_of_pixels, of_constant, unknown
from fdabnn_deploy.prove.program import Program, Step
from fdabnn_deploy.prove.relations import Relations
from fdabnn_deploy.prove.result import Judged
from fdabnn_deploy.prove.rows import Proof, Row, UnprovedError
from fdabnn_deploy.prove.transfer import lce, move, pointwise, reduction


def prove(program: Program) -> Proof:
    """One row per step; see `Proof`."""
    return _Walk(program).proof()


class _Walk:
    def __init__(self, program: Program) -> None:
        self._program = program
        self._values: dict[str, Value | Comparison | None] = {
            name: bytes_of_pixels(shape) if name in program.pixels else unknown(shape)
            for name, shape in program.inputs.items()
        }
        self._rows: list[Row] = []
        self._failures: list[str] = []
        self.relations = Relations()
        self._readers = Counter(program.outputs)
        for step in program.steps:
            self._readers.update(step.inputs)

    def proof(self) -> Proof:
        for step in self._program.steps:
            self._judge(step)
        if not self._program.outputs:
            self._failures.append("the file: it has no output")
        for name in self._program.outputs:
            if name not in self._values:
                self._failures.append(f"{self._label(name)} (output): no operator computes it")
            value = self._values.get(name)
            if isinstance(value, Value) and (value.flushed or not value.finite):
                self._failures.append(
                    f"{self._label(name)} (output): NaN, infinity or denormal numbers may reach it"
                )
        return Proof(tuple(self._rows), tuple(self._failures))

    def _label(self, name: str) -> str:
        return self._program.labels.get(name, name)

    def _judge(self, step: Step) -> None:
        label = self._label(step.output)
        broken = [name for name in step.inputs if name in self._values and self._values[name] is None]
        try:
            if broken:
                self._values[step.output] = None
                why = f"behind {self._label(broken[0])}, which is not proved"
                self._rows.append(Row(step.op, label, "unproved", None, None, why))
                return
            judged = self._activated(step, _KINDS[step.kind](_Operands(self, step)))
        except UnprovedError as error:
            self._fail(step, str(error))
            return
        except (IndexError, ValueError) as error:
            # The file contradicts itself; what a runtime would do with it is anyone's guess.
            self._fail(step, f"its parameters do not fit its operands ({error})")
            return
        value = judged.value
        if isinstance(value, Value) and value.link is not None and self._readers[step.output] > 1:
            value = replace(value, link=replace(value.link, single=False))
        self._values[step.output] = value
        if len(step.inputs) < 3:
            factor = self.operand(step.inputs[-1]) if step.kind == "mul" else None
            self.relations.follow(step, factor if isinstance(factor, Value) else None)
        self._rows.append(judged.row(step.op, label))

    def _fail(self, step: Step, reason: str) -> None:
        label = self._label(step.output)
        self._values[step.output] = None
        self._rows.append(Row(step.op, label, "unproved", None, None, reason))
        self._failures.append(f"{label} ({step.op}): {reason}")

    def _activated(self, step: Step, judged: Judged) -> Judged:
        if step.activation is None or not isinstance(judged.value, Value):
            return judged
        if isinstance(step.activation, tuple):
            value = pointwise.limit(judged.value, *step.activation)
            kind = judged.kind
        else:
            slope = pointwise.prelu(judged.value, np.array(step.activation, dtype=np.float32))
            assert isinstance(slope.value, Value)
            value, kind = slope.value, judged.kind
        return replace(judged, value=fusion.without_history(value), kind=kind)

    def operand(self, name: str) -> Value | Comparison | None:
        if name in self._values:
            return self._values[name]
        if name not in self._program.constants:
            raise UnprovedError(
                f"it reads {self._label(name)}, which is neither computed nor a float constant"
            )
        return of_constant(self._program.constants[name])


class _Operands:
    """The operands of one step."""

    def __init__(self, walk: _Walk, step: Step) -> None:
        self.step = step
        self.walk = walk

    def raw(self, index: int) -> Value | Comparison | None:
        return self.walk.operand(self.step.inputs[index])

    def __getitem__(self, index: int) -> Value:
        found = self.raw(index)
        if isinstance(found, Comparison):
            raise UnprovedError("it reads truth values")
        assert found is not None
        if found.octets and self.step.kind not in _TAKING_BYTES:
            raise UnprovedError("it computes with bytes, which have other roundings and limits than float32")
        return found

    def all(self) -> list[Value]:
        return [self[i] for i in range(len(self.step.inputs))]


def _linear(x: _Operands) -> Judged:
    residual = x[1] if len(x.step.inputs) > 1 else None
    return reduction.linear(x[0], residual=residual, **x.step.attributes)


def _compare(x: _Operands) -> Judged:
    limit = x[1]
    if limit.constant is None or len(set(limit.constant.reshape(-1).tolist())) != 1:
        raise UnprovedError("it compares with something else than one constant")
    return pointwise.compare(
        x.step.inputs[0], float(limit.constant.reshape(-1)[0]), x.step.attributes["relation"]
    )


def _select(x: _Operands) -> Judged:
    comparison = x.raw(0)
    if not isinstance(comparison, Comparison):
        raise UnprovedError("it chooses by something that is not a proven comparison")
    compared = x.walk.operand(comparison.tensor)
    assert isinstance(compared, Value)
    names = (x.step.inputs[1], x.step.inputs[2])
    return pointwise.select(comparison, compared, names, x[1], x[2])


def _subtract(x: _Operands) -> Judged:
    return pointwise.subtract(x[0], x[1], x.walk.relations.difference(*x.step.inputs))


def _moving(rule: Callable[..., Judged]) -> Callable[[_Operands], Judged]:
    return lambda x: rule(x[0], **x.step.attributes)


def _unknown(x: _Operands) -> Judged:
    raise UnprovedError(x.step.attributes["reason"])


_TAKING_BYTES = frozenset({"cast", *move.MOVERS})

_KINDS: dict[str, Callable[[_Operands], Judged]] = {
    "linear": _linear,
    "dense": lambda x: reduction.dense(x[0], **x.step.attributes),
    "bconv": lambda x: lce.bconv(x[0], **x.step.attributes),
    "cast": lambda x: move.cast(x[0]),
    "quantize": lambda x: lce.quantize(x[0]),
    "add": lambda x: pointwise.add(x[0], x[1]),
    "sub": _subtract,
    "mul": lambda x: pointwise.multiply(x[0], x[1]),
    "max": lambda x: pointwise.extreme(x[0], x[1], largest_of=True),
    "min": lambda x: pointwise.extreme(x[0], x[1], largest_of=False),
    "clip": lambda x: pointwise.clip(x[0], **x.step.attributes),
    "relu": lambda x: pointwise.relu(x[0]),
    "neg": lambda x: pointwise.negate(x[0]),
    "round": lambda x: pointwise.round_half_even(x[0]),
    "prelu": lambda x: pointwise.prelu(x[0], **x.step.attributes),
    "compare": _compare,
    "select": _select,
    "sum": lambda x: reduction.reduce(x[0], **x.step.attributes, mean=False),
    "mean": lambda x: reduction.reduce(x[0], **x.step.attributes, mean=True),
    "average": lambda x: reduction.average(x[0], **x.step.attributes),
    "maximum": lambda x: reduction.largest_of_windows(x[0], **x.step.attributes),
    "concat": lambda x: move.concat(x.all(), **x.step.attributes),
    "unknown": _unknown,
    **{kind: _moving(rule) for kind, rule in move.MOVERS.items()},
}
