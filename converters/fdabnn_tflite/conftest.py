"""Runs many small graphs on LCE as one file: a conversion takes a second, and TensorFlow never gives back what it took for one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from fdabnn_deploy.conformance.merged import merged
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import Array, FloatArray, Input
from fdabnn_deploy.ir.reference import evaluate_all
from fdabnn_tflite.convert import check_counts
from fdabnn_tflite.finish import finish_file
from fdabnn_tflite.runtime.lce import LceRuntime
from fdabnn_tflite.runtime.tflite_file import TfliteFile, parse_tflite
from fdabnn_tflite.saved_model import build_flatbuffer
from fdabnn_tflite.writer import write_flatbuffer


@dataclass(frozen=True)
class OnLce:
    """Some graphs, with the outputs of LCE and of the reference.

    Attributes:
        writer: "own writer" or "LCE's converter".
        file: all graphs together.
        outputs: per graph what LCE returns.
        tensors: per graph the tensors that the file shows, as LCE computes them.
        reference: per graph all tensors.
    """

    writer: str
    file: TfliteFile
    outputs: dict[str, list[FloatArray]]
    tensors: dict[str, dict[str, FloatArray]]
    reference: dict[str, dict[str, Array]]


@pytest.fixture(
    scope="session", params=["own writer", pytest.param("LCE's converter", marks=pytest.mark.long)]
)
def on_lce(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., OnLce]:
    """`on_lce(graphs, flipped, inputs)`: converts graphs by name as one file, in one orientation, and runs it."""

    def run(
        graphs: Mapping[str, Graph],
        flipped: bool,
        inputs: Mapping[str, Sequence[FloatArray]] | None = None,
    ) -> OnLce:
        rng = np.random.default_rng(0)
        given = dict(inputs or {})
        for key, graph in graphs.items():
            shapes = [node.op.shape for node in graph if isinstance(node.op, Input)]
            given.setdefault(key, [rng.standard_normal((2, *shape), dtype=np.float32) for shape in shapes])
        if request.param == "own writer":
            finished, _ = write_flatbuffer(merged(graphs), flipped, 1, ModelInfo("graphs", (1, 1, 1)))
        else:
            data, emitter, results = build_flatbuffer(merged(graphs), flipped, 1)
            finished = finish_file(data, emitter, ModelInfo("graphs", (1, 1, 1)))
            check_counts(parse_tflite(finished), emitter, results)
        path = Path(tmp_path_factory.mktemp("on_lce"), "graphs.tflite")
        path.write_bytes(finished)
        session = LceRuntime().open(path)
        # All inputs of a file have the same batch, so shorter ones are repeated.
        count = max(len(values[0]) for values in given.values())
        feed = [np.resize(value, (count, *value.shape[1:])) for key in graphs for value in given[key]]
        outputs, tensors = session.run(feed), session.run_all(feed)
        result = OnLce(request.param, parse_tflite(finished), {}, {}, {})
        for key, graph in graphs.items():
            size = len(given[key][0])
            result.outputs[key] = [outputs.pop(0)[:size] for _ in graph.outputs]
            result.tensors[key] = {
                node.name: tensors[f"{key}/{node.name}"][:size]
                for node in graph
                if f"{key}/{node.name}" in tensors
            }
            result.reference[key] = evaluate_all(graph, given[key])
        return result

    return run
