"""Times whole models: stock interpreters with our delegate, LCE's interpreter in all its modes, ONNX Runtime, in turn."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.figures import Goal
from bench.measure import Array, Contender, Row, best, pinned, ratio, run_interleaved
from bench.model_files import Model, files
from bench.operators import OperatorResult, profile_onnx, time_operators
from bench.peers import lce as peer_lce
from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.measure.timer import looped
from fdabnn_deploy.runtimes.base import Session
from fdabnn_onnx.runtime.onnxruntime import OnnxRuntime, OnnxRuntimeSession
from fdabnn_tflite.runtime.litert import LiteRtRuntime
from fdabnn_tflite.runtime.session import TfliteSession
from fdabnn_tflite.runtime.tensorflow_lite import TfliteRuntime

_GOALS = {"resnet18-float": 3.0, "resnet18": 3.0}
"""How many times LCE's best mode has to be slower."""

_PACKED_GOALS = {"resnet18-float": 3.5, "resnet18": 3.5}
"""How many times ONNX Runtime has to be slower with the standard file than with the packed one."""


@dataclass(frozen=True)
class ModelResult:
    """The result for a model.

    Attributes:
        name: of the model.
        rows: timed in turn on one thread.
        operators: timed alone.
        onnx_profile: microseconds by type of operator, of ONNX Runtime.
        over_lce: LCE's best mode to ours.
        over_onnxruntime: ONNX Runtime to ours.
        packed_over_standard: ONNX Runtime with the standard file to ONNX Runtime with the packed one.
        goals: how fast the model has to be.
        sha256: of the files.
    """

    name: str
    rows: list[Row]
    operators: list[OperatorResult]
    onnx_profile: dict[str, float]
    over_lce: float | None
    over_onnxruntime: float | None
    packed_over_standard: float | None
    goals: list[Goal]
    sha256: dict[str, str]

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "goals": [{**asdict(goal), "met": goal.met} for goal in self.goals]}


def run_model(
    model: Model, cpus: Sequence[int], rounds: int, *, operators: bool, fresh: bool = False
) -> ModelResult:
    """Times one model with one thread.

    Args:
        model: to time.
        cpus: the first of which is used.
        rounds: samples of each contender.
        operators: whether to time the operators too.
        fresh: whether to export the model again.
    """
    tflite, onnx, packed = files(model, fresh=fresh)
    with pinned(cpus[:1]):
        session = LiteRtRuntime().open(tflite)
        noise = np.random.default_rng(0).normal(size=(1, *session.input_shapes[0]))
        image = (np.round(4 * noise) / 4).astype(np.float32)
        reference = OnnxRuntime().open(onnx)
        rows = run_interleaved(_contenders(tflite, packed, session, reference, image), rounds)
        alone = time_operators(session, image, max(rounds // 4, 5)) if operators else []
        profile = profile_onnx(onnx, {reference.input_names[0]: image}) if operators else {}
    ours = best(rows, "ours")
    over = ratio(best(rows, "lce"), ours)
    packed_over = ratio(best(rows, "onnxruntime"), best(rows, "packed"))
    goals = [Goal("over LCE's best mode", _GOALS[model.name], over)] if model.name in _GOALS else []
    if model.name in _PACKED_GOALS:
        goals.append(Goal("ONNX Runtime, packed over standard file", _PACKED_GOALS[model.name], packed_over))
    return ModelResult(
        model.name,
        rows,
        alone,
        profile,
        over,
        ratio(best(rows, "onnxruntime"), ours),
        packed_over,
        goals,
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (tflite, onnx, packed)},
    )


def _contenders(
    tflite: Path, packed: Path, session: TfliteSession, reference: OnnxRuntimeSession, image: FloatArray
) -> list[Contender]:
    expected = reference.run([image])[0]
    found = [
        _contender("LiteRT + delegate", "ours", session, image, expected),
        _contender("TensorFlow Lite + delegate", "tflite", TfliteRuntime().open(tflite), image, expected),
        _contender("ONNX Runtime", "onnxruntime", reference, image, expected),
        _contender("ONNX Runtime, packed", "packed", OnnxRuntime().open(packed), image, expected),
    ]
    prepared = session.native_inputs([image])
    assert isinstance(prepared, list)
    content = session.file.patched(session.file.outputs, batch=1)
    for kernels in ("default", "indirect"):
        for xnnpack in (False, True):
            lce = peer_lce.Session(content, kernels, prepared, xnnpack=xnnpack)
            name = f"LCE {kernels}" + (" + XNNPACK" if xnnpack else "")
            found.append(Contender(name, "lce", looped(lce.run), lce.output, expected))
    return found


def _contender(name: str, group: str, session: Session, image: FloatArray, expected: Array) -> Contender:
    prepared = session.native_inputs([image])
    return Contender(
        *(name, group, looped(lambda: session.run_native(prepared))),
        *(lambda: session.run([image])[0], expected),
    )
