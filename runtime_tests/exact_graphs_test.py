"""Exact graphs of random networks give the same bits in the reference, PyTorch, ONNX Runtime, LCE, LiteRT, TensorFlow Lite.

Every network runs on four normal images and on four that hold zeros of both signs, denormals, numbers at and beyond the limits,
infinities and NaN. PyTorch runs batches of 4 and of 1, on 1 and 2 threads; ONNX Runtime does at every level of optimisation, on the file
as written, as onnx-simplifier leaves it, and packed; LCE takes one image at a time, with its default and its indirect kernels, on 1 and
2 threads; LiteRT and TensorFlow Lite run with our delegate, with and without XNNPACK, on 1 and 2 threads, with batches of 1 and of 4.
Only the sign of a zero at an output may differ, and that is counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import onnxsim
import pytest

from fdabnn_deploy.conformance.hostile import NORM_KINDS, hostile_inputs, normal_inputs
from fdabnn_deploy.conformance.merged import merged
from fdabnn_deploy.conformance.random_graph import random_graph
from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.exact.make_exact import make_exact
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import FloatArray, Op
from fdabnn_deploy.ir.reference import evaluate
from fdabnn_deploy.runtimes.base import Session
from fdabnn_deploy.runtimes.torch_graph import TorchGraphSession
from fdabnn_deploy.targets.converter import Via
from fdabnn_onnx.build_model import build_model
from fdabnn_onnx.packed import build_packed
from fdabnn_onnx.runtime.onnxruntime import OPTIMIZATIONS, OnnxRuntime
from fdabnn_onnx.verify import check_model
from fdabnn_tflite.convert import check_counts
from fdabnn_tflite.finish import finish_file
from fdabnn_tflite.runtime.lce import Kernels, LceRuntime
from fdabnn_tflite.runtime.litert import LiteRtRuntime
from fdabnn_tflite.runtime.tensorflow_lite import TfliteRuntime
from fdabnn_tflite.runtime.tflite_file import parse_tflite
from fdabnn_tflite.saved_model import build_flatbuffer
from fdabnn_tflite.tensor_layout import choose_flipped
from fdabnn_tflite.writer import write_flatbuffer

TOGETHER = 50
"""Networks per file: a conversion takes seconds, and TensorFlow never gives back the memory it took for one."""

SAMPLES = 8
"""Normal images that limits are chosen from."""

BATCHES = (slice(0, 4), slice(4, 8), slice(1, 2), slice(2, 3), slice(4, 5))
"""Of the eight images, four by four and alone."""


@dataclass(frozen=True)
class Network:
    """An exact network, also with its exact layers as one operator each, its inputs [8, ...] and what the reference makes of them."""

    seed: int
    graph: Graph
    composed: Graph
    inputs: list[FloatArray]
    expected: list[FloatArray]


@dataclass
class Tally:
    """Counts of the networks so far.

    Attributes:
        drawn: networks.
        refused: networks by reason.
        occurs: networks by the kinds of operators and of batch norms in them.
        values: compared, by runtime.
        zeros: values that differ in the sign of a zero, by runtime.
        different: where bits differ, one line each.
    """

    drawn: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    occurs: Counter[str] = field(default_factory=Counter)
    values: Counter[str] = field(default_factory=Counter)
    zeros: Counter[str] = field(default_factory=Counter)
    different: list[str] = field(default_factory=list)

    def draw(self, seed: int) -> Network | None:
        """An exact network, or None where it is refused."""
        rng = np.random.default_rng(seed)
        network = random_graph(rng)
        kinds = {node.op.kind for node in network.graph}
        self.drawn += 1
        try:
            exact = make_exact(network.graph, normal_inputs(network.graph, rng, SAMPLES))
        except ModelRefusedError as error:
            self.refused[re.sub(r"\S*\d\S*", "...", str(error))[:110]] += 1
            self.occurs.update(kinds | set(network.tags))
            return None
        graph = exact.graph
        self.occurs.update(kinds | {node.op.kind for node in graph} | set(network.tags))
        inputs = [
            np.concatenate(parts)
            for parts in zip(hostile_inputs(graph, rng), normal_inputs(graph, rng, 4), strict=True)
        ]
        # Nothing in an exact graph overflows, is invalid or denormal, whatever comes in.
        with np.errstate(all="raise"):
            return Network(seed, graph, exact.composed, inputs, evaluate(graph, inputs))

    def compare(
        self,
        runtime: str,
        where: str,
        networks: Sequence[Network],
        session: Session,
        batches: Sequence[slice],
    ) -> None:
        """Runs a session whose inputs and outputs are those of the networks, one after the other."""
        for batch in batches:
            results = iter(session.run([x[batch] for network in networks for x in network.inputs]))
            for network in networks:
                for name, whole in zip(network.graph.outputs, network.expected, strict=True):
                    expected, result = whole[batch], next(results)
                    assert result.shape == expected.shape
                    other = result.view(np.uint32) != expected.view(np.uint32)
                    zeros = other & (result == 0) & (expected == 0)
                    self.values[runtime] += expected.size
                    self.zeros[runtime] += int(zeros.sum())
                    wrong = int(other.sum() - zeros.sum())
                    if wrong:
                        self.different.append(
                            f"seed {network.seed}, {where}, images {batch.start} to {batch.stop - 1}, {name}: "
                            f"{wrong} of {expected.size} values"
                        )


def on_pytorch(tally: Tally, networks: Sequence[Network]) -> None:
    for network, threads in product(networks, (1, 2)):
        session = TorchGraphSession(network.graph, threads)
        tally.compare("PyTorch", f"PyTorch, {threads} threads", [network], session, BATCHES)


def on_onnx_runtime(tally: Tally, networks: Sequence[Network], folder: Path) -> None:
    graph = merged({f"seed{network.seed}": network.graph for network in networks})
    content = build_model(graph, ModelInfo("networks", (1, 1, 1)), batch=None).SerializeToString(
        deterministic=True
    )
    model = onnx.load_model_from_string(content)
    check_model(model, graph, batch=None)
    simplified, _ = onnxsim.simplify(model)
    composed = merged({f"seed{network.seed}": network.composed for network in networks})
    packed = build_packed(composed, ModelInfo("networks", (1, 1, 1)), batch=None)
    forms = {"as written": model, "simplified": simplified, "packed": packed}
    for name, file in forms.items():
        path = folder / f"{name}.onnx"
        path.write_bytes(file.SerializeToString(deterministic=True))
        for level, threads in product(OPTIMIZATIONS, (1, 2)):
            session = OnnxRuntime(level).open(path, threads)
            where = f"ONNX Runtime {name}, optimisation {level}, {threads} threads"
            tally.compare("ONNX Runtime", where, networks, session, BATCHES)


def tflite_file(graph: Graph, flipped: bool, via: Via) -> bytes:
    if via == "own":
        return write_flatbuffer(graph, flipped, None, ModelInfo("networks", (1, 1, 1)))[0]
    data, emitter, results = build_flatbuffer(graph, flipped, None)
    finished = finish_file(data, emitter, ModelInfo("networks", (1, 1, 1)), resizable=True)
    check_counts(parse_tflite(finished), emitter, results)
    return finished


def on_tflite(tally: Tally, networks: Sequence[Network], folder: Path, via: Via = "own") -> None:
    for flipped in (False, True):
        chosen = [network for network in networks if choose_flipped(network.graph) == flipped]
        if not chosen:
            continue
        graph = merged({f"seed{network.seed}": network.graph for network in chosen})
        path = folder / f"flipped {flipped}.tflite"
        path.write_bytes(tflite_file(graph, flipped, via))
        for kernels, threads in product(get_args(Kernels), (1, 2)):
            if kernels != "reference":
                session = LceRuntime().open(path, threads, kernels)
                where = f"LCE, {kernels} kernels, {threads} threads"
                tally.compare("LCE", where, chosen, session, [slice(0, 8)])
        for runtime in (LiteRtRuntime(), TfliteRuntime()):
            for setting, stock in runtime.settings(path):
                name = runtime.interpreter_name
                tally.compare(name, f"{name}, {setting}", chosen, stock, [slice(0, 8)])


def run_all(seeds: Sequence[int], folder: Path, writers: Sequence[Via]) -> Tally:
    tally = Tally()
    for start in range(0, len(seeds), TOGETHER):
        drawn = [tally.draw(seed) for seed in seeds[start : start + TOGETHER]]
        networks = [network for network in drawn if network is not None]
        on_pytorch(tally, networks)
        on_onnx_runtime(tally, networks, folder)
        for via in writers:
            on_tflite(tally, networks, folder, via)
    return tally


def report(tally: Tally) -> Iterator[str]:
    exported = tally.drawn - tally.refused.total()
    yield f"{exported} of {tally.drawn} networks exported; refused: {dict(tally.refused) or 'none'}"
    for runtime, count in tally.values.items():
        yield f"{runtime}: {count} values compared, {tally.zeros[runtime]} differ in the sign of a zero"
    yield f"{len(tally.different)} comparisons with differing bits"
    yield "networks by operator: " + ", ".join(f"{k} {n}" for k, n in sorted(tally.occurs.items()))


def judge(tally: Tally, least: int) -> None:
    """Every kind of operator and norm occurs at least so often, and all the promises hold."""
    assert tally.different == []
    assert tally.refused.total() <= 0.05 * tally.drawn, tally.refused
    # Images of random graphs are floats: `pixels_test.py` runs networks of bytes.
    kinds = [kind.__name__ for kind in ops.DEPLOYED - {ops.CentredPixels}]
    assert {kind: tally.occurs[kind] for kind in (*kinds, *NORM_KINDS) if tally.occurs[kind] < least} == {}
    assert set(tally.values) == {"PyTorch", "ONNX Runtime", "LCE", "LiteRT", "TensorFlow Lite"}


def check(seeds: range, least: int, folder: Path, capsys: Any, writers: Sequence[Via] = ("own",)) -> None:
    tally = run_all(seeds, folder, writers)
    with capsys.disabled():
        print("", *report(tally), sep="\n")
    judge(tally, least)


def _behind_binary_layer(activation: Op | None, padding: int, padding_value: int) -> Graph:
    rng = np.random.default_rng(0)
    weight = rng.choice([-1, 1], (8, 4, 3, 3)).astype(np.int8)
    conv = ops.BinaryConv2d(weight, padding=(padding, padding), padding_value=padding_value)
    nodes = [Node("x", ops.Input((4, 6, 6))), Node("sign", ops.Sign(), ("x",)), Node("conv", conv, ("sign",))]
    if activation is not None:
        nodes.append(Node("activation", activation, ("conv",)))
    nodes.append(Node("affine", ops.Affine(rng.normal(size=8), rng.normal(size=8)), (nodes[-1].name,)))
    return Graph(nodes, ["affine"])


def test_activations_that_converters_fold_into_binary_layers(tmp_path: Path) -> None:
    """LCE computes ReLU and Hardtanh within its convolution and then takes scale and offset in, too; slopes of 1 vanish."""
    ones = [ops.PRelu(np.ones(shape, dtype=np.float32)) for shape in ((), (8,))]
    activations = (
        None,
        ops.Relu(),
        ops.Clamp(-1.0, 1.0),
        ops.Clamp(0.0, 1.0),
        ops.Clamp(0.0, 6.0),
        ops.Clamp(-36.0, 36.0),
        *ones,
    )
    rng = np.random.default_rng(1)
    networks = []
    for i, (activation, pads) in enumerate(product(activations, ((0, 0), (1, 0), (1, 1)))):
        graph = _behind_binary_layer(activation, *pads)
        made = make_exact(graph, normal_inputs(graph, rng, SAMPLES))
        exact = made.graph
        inputs = [np.concatenate([*hostile_inputs(exact, rng), *normal_inputs(exact, rng, 4)])]
        networks.append(Network(i, exact, made.composed, inputs, evaluate(exact, inputs)))
    tally = Tally()
    on_onnx_runtime(tally, networks, tmp_path)
    on_tflite(tally, networks, tmp_path)
    assert tally.different == []


@pytest.mark.parametrize("kernel", [(1, 5), (5, 1), (1, 3), (1, 1)])
@pytest.mark.parametrize("size", [(6, 9), (7, 8), (9, 6)])
def test_strides_that_leave_out_the_last_row(
    kernel: tuple[int, int], size: tuple[int, int], tmp_path: Path
) -> None:
    """XNNPACK in TensorFlow 2.21 computes another convolution where SAME has nothing to pad (findings/)."""
    rng = np.random.default_rng(0)
    conv = ops.Conv2d(
        rng.normal(size=(8, 1, *kernel)).astype(np.float32), None, (2, 2), (kernel[0] // 2, kernel[1] // 2)
    )
    graph = Graph([Node("x", ops.Input((1, *size))), Node("conv", conv, ("x",))], ["conv"])
    made = make_exact(graph, normal_inputs(graph, rng, SAMPLES))
    exact = made.graph
    inputs = [np.concatenate([*hostile_inputs(exact, rng), *normal_inputs(exact, rng, 4)])]
    tally = Tally()
    networks = [Network(0, exact, made.composed, inputs, evaluate(exact, inputs))]
    on_onnx_runtime(tally, networks, tmp_path)
    on_tflite(tally, networks, tmp_path)
    assert tally.different == []


@pytest.mark.parametrize("seed", [601, 1839], ids=["a tensor reshaped and read", "two rows of three"])
def test_networks_that_once_differed(seed: int, tmp_path: Path) -> None:
    """A reshape's memory is the tensor's own, and what is computed behind it took its place; a stride left out the last row."""
    tally = Tally()
    network = tally.draw(seed)
    assert network is not None
    on_tflite(tally, [network], tmp_path)
    assert tally.different == []


def test_100_networks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(range(100), 1, tmp_path, capsys)


@pytest.mark.long
def test_100_networks_through_lces_converter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`both_writers_test.py` runs files of this converter in every `make test`, under fewer settings."""
    check(range(100), 1, tmp_path, capsys, ("lce",))


@pytest.mark.long
def test_seeds_whose_reshape_and_slice_shared_a_constant(tmp_path: Path) -> None:
    """In one file of LCE's converter the shape of a reshape in 872 was the steps of a slice in 883."""
    tally = Tally()
    networks = [network for network in map(tally.draw, range(850, 900)) if network is not None]
    on_tflite(tally, networks, tmp_path, "lce")
    assert tally.different == []


@pytest.mark.long
@pytest.mark.parametrize("first", range(0, 2000, 200))
def test_2000_networks(first: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In parts, so that a run can be cut and goes on where it was."""
    check(range(first, first + 200), 2, tmp_path, capsys)
