"""A model operator by operator.

No TFLite interpreter tells Python what an operator takes. So each operator is put into a file of its own, gets the values that it gets
in the model, and is timed alone: with the interpreter around it, and for LCE with the copies of its Python interface. ONNX Runtime has a
profiler.
"""

from __future__ import annotations

import importlib
import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from bench.measure import Array, Contender, Row, run_interleaved
from bench.peers import lce as peer_lce
from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.measure.timer import looped
from fdabnn_deploy.native import delegate_path
from fdabnn_tflite.runtime.litert import LiteRtRuntime
from fdabnn_tflite.runtime.native_stderr import native_stderr
from fdabnn_tflite.runtime.session import TfliteSession
from fdabnn_tflite.runtime.tflite_file import OperatorInfo, TfliteFile

_PROFILED_RUNS = 20


@dataclass(frozen=True)
class OperatorResult:
    """Operators of the same kind and shapes.

    Attributes:
        name: of the operator, with the shape of its output.
        count: how many the model has.
        rows: one of them, in our interpreter and in LCE's.
    """

    name: str
    count: int
    rows: list[Row]


class _Alone:
    """A file on LiteRT with the delegate."""

    def __init__(self, model: bytes, inputs: Sequence[Array]) -> None:
        package = LiteRtRuntime().package()
        with native_stderr():
            delegate = package.load_delegate(delegate_path())
            self._interpreter = package.interpreter(
                model_content=model, num_threads=1, experimental_delegates=[delegate]
            )
            self._interpreter.allocate_tensors()
        for place, values in zip(self._interpreter.get_input_details(), inputs, strict=True):
            self._interpreter.set_tensor(place["index"], values)
        self._output = self._interpreter.get_output_details()[0]["index"]
        self.run = self._interpreter.invoke

    def output(self) -> Array:
        values: Array = self._interpreter.get_tensor(self._output)
        return values


def one_operator_file(data: bytes, index: int) -> bytes:
    """A file with only the operator of this index, whose inputs that are no constants are the file's inputs."""
    schema = importlib.import_module("ai_edge_litert.schema_py_generated")
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    graph = model.subgraphs[0]
    operator = graph.operators[index]
    constants = {
        i for i in operator.inputs if i >= 0 and model.buffers[graph.tensors[i].buffer].data is not None
    }
    graph.operators = [operator]
    graph.inputs = [i for i in dict.fromkeys(operator.inputs) if i >= 0 and i not in constants]
    graph.outputs = list(operator.outputs)
    kept = {graph.tensors[i].buffer for i in constants}
    for number, buffer in enumerate(model.buffers):
        if number not in kept:
            buffer.data = None
    model.subgraphs, model.metadata, model.signatureDefs = [graph], [], []
    builder = importlib.import_module("flatbuffers").Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def kinds(file: TfliteFile) -> dict[str, list[int]]:
    """The indices of the operators by name and shapes: `LceBconv2d 1x56x56x2 -> 1x56x56x64`."""
    found: dict[str, list[int]] = {}
    for index, operator in enumerate(file.operators):
        found.setdefault(_kind(file, operator), []).append(index)
    return found


def _inputs(file: TfliteFile, operator: OperatorInfo) -> list[int]:
    """The tensors it reads that are no constants, once each."""
    return [i for i in dict.fromkeys(operator.inputs) if i >= 0 and not file.tensors[i].constant]


def _kind(file: TfliteFile, operator: OperatorInfo) -> str:
    constants = [i for i in operator.inputs if i >= 0 and file.tensors[i].constant]
    shown = [_shape(file, i) for i in _inputs(file, operator)]
    if operator.name in {"CONV_2D", "LceBconv2d", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"} and constants:
        shown.append("by " + _shape(file, constants[0]))
    return f"{operator.name} {' '.join(shown)} -> {_shape(file, operator.outputs[0])}"


def _shape(file: TfliteFile, tensor: int) -> str:
    return "x".join(map(str, file.tensors[tensor].shape)) or "scalar"


def time_operators(session: TfliteSession, image: FloatArray, rounds: int) -> list[OperatorResult]:
    """Times one operator of every kind on LiteRT with our delegate and on LCE's interpreter.

    Args:
        session: the model on a stock interpreter, for the values that its operators get.
        image: the model's input.
        rounds: samples of each.
    """
    file, found = session.file, kinds(session.file)
    firsts = {name: file.operators[indices[0]] for name, indices in found.items()}
    wanted = {name: _inputs(file, operator) for name, operator in firsts.items()}
    inner = [
        i for i in dict.fromkeys(i for tensors in wanted.values() for i in tensors) if i not in file.inputs
    ]
    prepared = session.native_inputs([image])
    assert isinstance(prepared, list)
    stored: dict[int, Array] = dict(zip(file.inputs, prepared, strict=True))
    stored.update(zip(inner, session.run_stored(inner, [image]), strict=True))
    results = []
    for name, indices in found.items():
        model, inputs = one_operator_file(file.data, indices[0]), [stored[i] for i in wanted[name]]
        ours = _Alone(model, inputs)
        ours.run()
        expected = np.array(ours.output())
        contenders = [Contender("LiteRT + delegate", "ours", looped(ours.run), ours.output, expected)]
        for kernels, xnnpack in (("indirect", False), ("indirect", True)):
            lce = peer_lce.Session(model, kernels, inputs, xnnpack=xnnpack)
            label = f"LCE {kernels}" + (" + XNNPACK" if xnnpack else "")
            contenders.append(Contender(label, "lce", looped(lce.run), lce.output, expected))
        results.append(OperatorResult(name, len(indices), run_interleaved(contenders, rounds)))
    return results


def profile_onnx(path: Path, inputs: dict[str, Array]) -> dict[str, float]:
    """Microseconds of a run that ONNX Runtime's profiler says each type of operator takes, largest first."""
    with tempfile.TemporaryDirectory(prefix="fdabnn-bench-") as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder, "profile"))
        session = onnxruntime.InferenceSession(path.read_bytes(), options, ["CPUExecutionProvider"])
        for _ in range(_PROFILED_RUNS):
            session.run(None, inputs)
        events: list[dict[str, Any]] = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return operator_sums(events, _PROFILED_RUNS)


def operator_sums(events: Sequence[dict[str, Any]], runs: int) -> dict[str, float]:
    """Sums the kernel times of a profile by type of operator, per run."""
    sums: dict[str, float] = defaultdict(float)
    for event in events:
        if event.get("cat") == "Node" and str(event["name"]).endswith("_kernel_time"):
            sums[event["args"]["op_name"]] += event["dur"] / runs
    return dict(sorted(sums.items(), key=lambda item: -item[1]))
