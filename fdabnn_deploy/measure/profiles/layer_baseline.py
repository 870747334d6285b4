"""The baseline of a model, layer by layer: its full-precision or 8-bit form, or another model.

A built baseline has one convolution or dense layer for every binary layer of the model. The binary layer and the packing of its signs
are compared with that one operator. In TFLite files and with `fp32` each of the two is timed in a file of its own, so that XNNPACK takes
part (`fdabnn_tflite.measure.single_layer_files`). A layer that reads or writes packed signs has no such file; it is compared operator by
operator in the whole models, as all layers of other files are. With another model, layers of the same name are compared, whole.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.measure.baselines.build import build_baseline
from fdabnn_deploy.measure.format_tools import suffixes, tools_for
from fdabnn_deploy.measure.profiles.layer_times import Executed, LayerTime, NotCompared, time_of
from fdabnn_deploy.measure.profiles.operators import Operator
from fdabnn_deploy.system.files import write_whole

BUILT = ("fp32", "int8")


@dataclass(frozen=True)
class Pair:
    """A layer in both files: its name in the model, and the operators that are compared, as indices in each file."""

    layer: str
    model: tuple[int, ...]
    baseline: tuple[int, ...]


@dataclass(frozen=True)
class Alone:
    """A layer of the model and that of the baseline, each in a file of its own."""

    layer: str
    model: Path
    baseline: Path


@dataclass(frozen=True)
class Baseline:
    """A file to compare with.

    Attributes:
        kind: `fp32` or `int8` for a baseline built from the model, `model` for another model.
        path: of the file.
        note: what it is, in a sentence.
        operators: of the file.
        pairs: layers that both have.
        alone: those of them that are measured alone.
    """

    kind: Literal["model", "fp32", "int8"]
    path: Path
    note: str
    operators: tuple[Operator, ...]
    pairs: tuple[Pair, ...]
    alone: tuple[Alone, ...] = ()


def make(text: str, model: Path, model_operators: Sequence[Operator], folder: Path) -> Baseline:
    """Builds a baseline, or opens another model.

    Args:
        text: `fp32`, `int8` or the path of a model.
        model: the file that is profiled.
        model_operators: of it.
        folder: for a built baseline.

    Raises:
        UsageError: no such file, or one for another runtime.
        ModelRefusedError: the file is damaged, or no baseline can be built of the model; the message says why.
        RuntimeMissingError: a package that builds the baseline is not installed.
    """
    if text in BUILT:
        kind = cast("Literal['fp32', 'int8']", text)
        built = build_baseline(kind, model, folder)
        pairs = []
        for layer in built.layers:
            operator = model_operators[layer.model_op]
            packer = () if operator.packer is None else (operator.packer,)
            pairs.append(Pair(operator.layer, (*packer, layer.model_op), (layer.baseline_op,)))
        single = _alone(model, built.path, pairs, folder) if kind == "fp32" else ()
        return Baseline(
            kind, built.path, built.note, tools_for(built.path).operators(built.path), tuple(pairs), single
        )
    path = Path(text)
    if path.suffix.lower() not in suffixes():
        raise UsageError(f"no baseline '{text}': give fp32, int8 or a {' or '.join(suffixes())} file")
    others = tools_for(path).operators(path)
    both = dict.fromkeys(o.layer for o in model_operators if any(o.layer == other.layer for other in others))
    pairs = [Pair(name, _indices(name, model_operators), _indices(name, others)) for name in both]
    return Baseline("model", path, f"the model {path.name}", others, tuple(pairs))


def _alone(model: Path, baseline: Path, pairs: Sequence[Pair], folder: Path) -> tuple[Alone, ...]:
    """Cuts the layers out of files of which a runtime times no single one, but for those that read or write packed signs."""
    cut, suffix = tools_for(model).cut, model.suffix.lower()
    if cut is None:
        return ()
    contents = model.read_bytes(), baseline.read_bytes()
    found = []
    for i, pair in enumerate(pairs):
        paths = folder / f"{i}.layer{suffix}", folder / f"{i}.baseline{suffix}"
        files = [cut(*each) for each in zip(contents, (pair.model, pair.baseline), strict=True)]
        if None in files:
            continue
        for path, content in zip(paths, files, strict=True):
            assert content is not None
            write_whole(path, content)
        found.append(Alone(pair.layer, *paths))
    return tuple(found)


def _indices(layer: str, of: Sequence[Operator]) -> tuple[int, ...]:
    return tuple(i for i, operator in enumerate(of) if operator.layer == layer)


def compared(
    layers: Sequence[LayerTime],
    run: Sequence[Executed],
    other: Sequence[Executed],
    baseline: Baseline,
    *,
    quiet: bool,
) -> tuple[LayerTime, ...]:
    """The table with the baseline's times in the whole models, or why a layer has none.

    Args:
        layers: the model's table.
        run: what was executed of the model.
        other: of the baseline.
        baseline: the pairs.
        quiet: whether the times of both are a result.
    """
    pairs = {pair.layer: pair for pair in baseline.pairs}
    found = []
    for layer in layers:
        pair = pairs.get(layer.name)
        mine = None if pair is None else time_of(run, pair.model)
        theirs = None if pair is None else time_of(other, pair.baseline)
        reason: NotCompared = "no twin" if pair is None else "merged" if not (mine and theirs) else ""
        reason = reason or ("" if quiet else "not quiet")
        if reason:
            found.append(dataclasses.replace(layer, not_compared=reason if layer.multiplies else ""))
        else:
            found.append(
                dataclasses.replace(layer, compared=mine, baseline=theirs, compared_in="the whole models")
            )
    return tuple(found)
