"""Changes that make a network inexact: the prover names each, and runtimes or the reference really differ, or it is said why they do not.

Each mutation breaks one thing in a network that is proved exact, in the graph or in the finished file. Its witness is a batch of inputs on
which ONNX Runtime at some level, PyTorch on the graph, LCE, and the NumPy reference do not all give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from fdabnn_deploy.errors import FdabnnError
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Editor, Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import FloatArray, Op
from fdabnn_deploy.ir.reference import evaluate
from fdabnn_deploy.prove import Proof, prove_forms
from fdabnn_deploy.prove.walk import prove
from fdabnn_deploy.runtimes.torch_graph import TorchGraphSession
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_onnx.build_model import build_model
from fdabnn_onnx.prove.onnx import read_forms, read_onnx
from fdabnn_onnx.runtime.onnxruntime import OPTIMIZATIONS, OnnxRuntimeSession
from fdabnn_tflite.convert import CONVERTER as TFLITE
from fdabnn_tflite.prove import tflite as tflite_reader
from fdabnn_tflite.runtime.lce import LceRuntime
from fdabnn_tflite.runtime.tflite_file import digest, digest_place

INFO = ModelInfo("mutant", (3, 14, 14))
CHANNELS = 16


def gridded(rng: np.random.Generator, shape: tuple[int, ...], largest: float, exponent: int) -> FloatArray:
    units = np.round(rng.uniform(-largest, largest, size=shape) * 2**exponent)
    return np.asarray(units / 2**exponent, dtype=np.float32)


def floats(*shape: int, seed: int = 3) -> FloatArray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def signs(rng: np.random.Generator, *shape: int) -> np.ndarray[Any, np.dtype[np.int8]]:
    return rng.choice(np.array([-1, 1], dtype=np.int8), size=shape)


def affine(scale: Any, offset: Any) -> ops.Affine:
    return ops.Affine(np.asarray(scale, dtype=np.float64), np.asarray(offset, dtype=np.float64))


@cache
def exact_network() -> Graph:
    """Every form that exact networks use: the guard, a stem, a residual, split weights, thresholds, a barrier, a mean and a classifier."""
    rng = np.random.default_rng(0)
    c = CHANNELS
    nodes = [
        Node("x", ops.Input((3, 14, 14))),
        Node("guard", ops.Saturate(-3.0, 3.0), ("x",)),
        Node("grid", ops.RoundToGrid(8), ("guard",)),
        Node("stem", ops.Conv2d(gridded(rng, (c, 3, 3, 3), 1, 9), gridded(rng, (c,), 1, 17), stride=(2, 2), padding=(1, 1)), ("grid",)),
        Node("act", ops.PRelu(floats(c) * np.float32(64)), ("stem",)),
        Node("sign1", ops.Sign(), ("act",)),
        Node("conv1", ops.BinaryConv2d(signs(rng, c, c, 3, 3), padding=(1, 1)), ("sign1",)),
        Node("norm1", affine(gridded(rng, (c,), 0.1, 14), gridded(rng, (c,), 1, 14)), ("conv1",)),
        Node("residual", ops.Sub(), ("act", "norm1")),
        Node("limit", ops.Clamp(-4.0, 4.0), ("residual",)),
        Node("limited", ops.RoundToGrid(10), ("limit",)),
        Node("down", ops.Conv2d(np.concatenate([gridded(rng, (c, c, 1, 1), 1, 7), gridded(rng, (c, c, 1, 1), 2**-8, 15)])), ("limited",)),
        Node("coarse", ops.Slice(((0, c, 1), (0, 7, 1), (0, 7, 1))), ("down",)),
        Node("fine", ops.Slice(((c, 2 * c, 1), (0, 7, 1), (0, 7, 1))), ("down",)),
        Node("both", ops.Add(), ("coarse", "fine")),
        Node("sign2", ops.Sign(), ("both",)),
        Node("conv2", ops.BinaryConv2d(signs(rng, c, c, 3, 3)), ("sign2",)),
        Node("threshold", affine(np.ones(c), np.full(c, 0.5)), ("conv2",)),
        Node("sign3", ops.Sign(), ("threshold",)),
        Node("conv3", ops.BinaryConv2d(signs(rng, c, c, 3, 3)), ("sign3",)),
        Node("held", ops.PRelu(floats(c, seed=4)), ("conv3",)),
        Node("norm3", affine(floats(c, seed=5), floats(c, seed=6)), ("held",)),
        Node("limit3", ops.Clamp(-64.0, 64.0), ("norm3",)),
        Node("limited3", ops.RoundToGrid(8), ("limit3",)),
        Node("total", ops.GlobalSum(), ("limited3",)),
        Node("mean", affine(np.full(c, 1 / 9), np.zeros(c)), ("total",)),
        Node("limit4", ops.Clamp(-64.0, 64.0), ("mean",)),
        Node("limited4", ops.RoundToGrid(6), ("limit4",)),
        Node("classifier", ops.Linear(gridded(rng, (10, c), 1, 7), gridded(rng, (10,), 1, 13)), ("limited4",)),
    ]  # fmt: skip
    return Graph(nodes, ["classifier", "residual", "both", "norm3", "mean"])


def images(scale: float = 2.0, count: int = 24) -> FloatArray:
    return (floats(count, 3, 14, 14, seed=9) * np.float32(scale)).astype(np.float32)


Edit = Callable[[Editor], None]


def changed(*edits: Edit, graph: Graph | None = None, outputs: Sequence[str] | None = None) -> Graph:
    editor = Editor(graph or exact_network())
    for edit in edits:
        edit(editor)
    result = editor.finish()
    return result if outputs is None else Graph(list(result), outputs)


def use(name: str, op: Op, *inputs: str) -> Edit:
    return lambda editor: editor.set(name, op, inputs or editor[name].inputs)


def drop(name: str) -> Edit:
    return lambda editor: editor.redirect(name, editor[name].inputs[0])


def insert(name: str, op: Op, source: str, reader: str) -> Edit:
    def edit(editor: Editor) -> None:
        editor.add(Node(name, op, (source,)), near=reader)
        node = editor[reader]
        editor.set(reader, node.op, [name if i == source else i for i in node.inputs])

    return edit


def tweak(name: str, **parameters: Callable[[Any], Any]) -> Edit:
    """Replaces parameters of an operator by functions of them."""

    def edit(editor: Editor) -> None:
        op = editor[name].op
        values = {key: change(getattr(op, key)) for key, change in parameters.items()}
        editor.set(name, replace(op, **values), editor[name].inputs)

    return edit


@dataclass(frozen=True)
class Mutation:
    """A change of the graph, the tensor the prover has to name, and inputs that show a difference, or why none does."""

    name: str
    graph: Callable[[], Graph]
    culprit: str
    inputs: Callable[[], FloatArray] = images
    lce: bool = False
    no_witness: str = ""


def one_more_bit(values: FloatArray) -> FloatArray:
    return np.where(values == 0, values, np.nextafter(values, np.float32(np.inf)))


def float_conv(editor: Editor) -> None:
    conv, norm = editor["conv1"].op, editor["norm1"].op
    assert isinstance(conv, ops.BinaryConv2d)
    assert isinstance(norm, ops.Affine)
    scale = floats(CHANNELS, seed=11)[:, None, None, None] * np.float32(0.1)
    editor.set("norm1", ops.Conv2d(conv.weight * scale, norm.offset32, padding=(1, 1)), ["sign1"])


def merged_split(editor: Editor) -> None:
    down = editor["down"].op
    assert isinstance(down, ops.Conv2d)
    editor.set("both", ops.Conv2d(down.weight[:CHANNELS] + down.weight[CHANNELS:]), ["limited"])


def chained(editor: Editor) -> None:
    editor.add(Node("again", affine(np.ones(CHANNELS), floats(CHANNELS, seed=12)), ("norm3",)), near="limit3")
    editor.set("limit3", editor["limit3"].op, ["again"])


def append_softmax(editor: Editor) -> None:
    editor.add(Node("scores", ops.Softmax(), ("classifier",)), near="classifier")
    editor.redirect("classifier", "scores")
    editor.set("scores", ops.Softmax(), ["classifier"])


ONES = np.ones(CHANNELS)
GRAPH_MUTATIONS = [
    Mutation("weight off its grid", lambda: changed(tweak("stem", weight=one_more_bit)), "stem"),
    Mutation("all weights as trained", lambda: changed(use("stem", ops.Conv2d(floats(CHANNELS, 3, 3, 3), None, (2, 2), (1, 1)))), "stem"),
    Mutation("bias with one more bit", lambda: changed(tweak("stem", bias=one_more_bit)), "stem", lce=True),
    Mutation("round removed", lambda: changed(drop("limited")), "down"),
    Mutation("round widened", lambda: changed(use("limited", ops.RoundToGrid(18))), "down"),
    Mutation("input round removed", lambda: changed(drop("grid")), "stem"),
    Mutation("clamp removed", lambda: changed(drop("limit")), "down", lambda: images(30.0)),
    Mutation("clamp widened", lambda: changed(use("limit", ops.Clamp(-512.0, 512.0))), "down", lambda: images(30.0)),
    Mutation("input guard removed", lambda: changed(drop("guard")), "grid", lambda: images(1e6)),
    Mutation("input guard as minimum and maximum", lambda: changed(use("guard", ops.Clamp(-3.0, 3.0))), "guard",
             lambda: images() * np.where(images(count=24) > 3, np.float32(np.nan), np.float32(1)), lce=True),
    Mutation("affine fused away into float weights", lambda: changed(float_conv), "norm1"),
    Mutation("scale off its grid", lambda: changed(tweak("norm1", scale=lambda s: s * 1.1)), "norm1"),
    Mutation("offset off its grid", lambda: changed(tweak("norm1", offset=lambda o: o + 1e-7)), "norm1", lce=True),
    Mutation("residual added to a convolution", lambda: changed(use("residual", ops.Add())), "residual",
             no_witness="on x86 ONNX Runtime adds the other operand after the sum; on aarch64 it accumulates into it"),
    Mutation("mean over 49", lambda: changed(use("mean", ops.GlobalAvgPool(), "limited"), use("norm3", affine(ONES, ONES), "held")), "mean",
             no_witness="ONNX Runtime, PyTorch and LCE divide by 49; LiteRT's XNNPACK multiplies by the rounded 1/49"),
    Mutation("average over 3x3", lambda: changed(use("norm3", ops.AvgPool2d((3, 3), (1, 1)), "limited")), "norm3",
             no_witness="as above, for 1/9"),
    Mutation("factor behind a float convolution",
             lambda: changed(insert("factor", affine(floats(CHANNELS), np.zeros(CHANNELS)), "stem", "act")), "factor"),
    Mutation("split parts merged", lambda: changed(merged_split), "both"),
    Mutation("activation between convolution and affine removed", lambda: changed(drop("held")), "norm3"),
    Mutation("activation that changes nothing", lambda: changed(use("held", ops.PRelu(np.ones((), dtype=np.float32)))), "norm3", lce=True),
    Mutation("two constant addends in a row", lambda: changed(chained, outputs=["limit3"]), "again", lce=True),
    Mutation("denormal slope", lambda: changed(tweak("act", slope=lambda s: np.full_like(s, 1e-40))), "act", lce=True),
    Mutation("denormal products", lambda: changed(tweak("norm3", scale=lambda s: s * 1e-38, offset=np.zeros_like)), "norm3", lce=True),
    Mutation("overflow", lambda: changed(tweak("norm3", scale=lambda s: s * 1e37)), "norm3",
             no_witness="IEEE arithmetic overflows to infinity everywhere; behind it stand infinity - infinity and NaN, which do differ"),
    Mutation("softmax appended", lambda: changed(append_softmax), "scores"),
]  # fmt: skip


def bits_differ(a: FloatArray, b: FloatArray) -> int:
    """Differing bit patterns; zeros of either sign and NaNs of any payload count as equal."""
    equal = (a.view(np.uint32) == b.view(np.uint32)) | (a == b) | (np.isnan(a) & np.isnan(b))
    return int(np.count_nonzero(~equal))


def runs(
    graph: Graph, content: bytes, inputs: FloatArray, tflite: Path | None
) -> dict[str, list[FloatArray]]:
    with np.errstate(all="ignore"):
        results = {"reference": [np.asarray(y, dtype=np.float32) for y in evaluate(graph, [inputs])]}
    results["torch"] = TorchGraphSession(graph).run([inputs])
    for level in OPTIMIZATIONS:
        results[level] = OnnxRuntimeSession(content, "mutant.onnx", 1, level).run([inputs])
    if tflite is not None:
        results["lce"] = LceRuntime().open(tflite).run([inputs])
    return results


def differing(results: dict[str, list[FloatArray]]) -> dict[str, int]:
    truth = results["reference"]
    counts = {
        name: sum(bits_differ(a, b) for a, b in zip(truth, values, strict=True))
        for name, values in results.items()
    }
    return {name: count for name, count in counts.items() if count}


def onnx_bytes(graph: Graph) -> bytes:
    return bytes(build_model(graph, INFO, None).SerializeToString())


def tflite_file(graph: Graph, folder: Path) -> Path:
    path = folder / "mutant.tflite"
    TFLITE.convert(graph, INFO, path, ConvertOptions(via="lce"))
    return path


def names(proof: Proof, tensor: str) -> bool:
    """Whether a failure names the tensor or a part of its operator."""
    return any(failure.startswith((f"{tensor} ", f"{tensor}/")) for failure in proof.failures)


def check_witness(name: str, found: dict[str, int], reason: str) -> None:
    if reason:
        assert not found, f"{name} has a witness after all: {found}"
    else:
        assert found, f"{name}: all runtimes agree on these inputs"


def test_the_network_is_exact(tmp_path: Path) -> None:
    graph = exact_network()
    content, file = onnx_bytes(graph), tflite_file(graph, tmp_path)
    proofs = {
        **prove_forms(read_forms(content)),
        "tflite": prove(tflite_reader.read_tflite(file.read_bytes())),
    }
    assert {level: proof.failures for level, proof in proofs.items()} == dict.fromkeys(proofs, ())
    kinds = {row.kind for proof in proofs.values() for row in proof.rows}
    assert kinds == {"exact integer", "exact sum", "pointwise", "moves values", "sign"}
    inputs = np.concatenate([images(), images(30.0), np.full((1, 3, 14, 14), np.nan, dtype=np.float32)])
    assert differing(runs(graph, content, inputs, file)) == {}


@pytest.mark.parametrize("mutation", GRAPH_MUTATIONS, ids=lambda mutation: mutation.name)
def test_mutations_of_the_graph(mutation: Mutation, tmp_path: Path) -> None:
    graph = mutation.graph()
    content = onnx_bytes(graph)
    file = tflite_file(graph, tmp_path) if mutation.lce else None
    proofs = [prove(tflite_reader.read_tflite(file.read_bytes()))] if file is not None else []
    proofs += prove_forms(read_forms(content)).values()
    caught = [failure for proof in proofs for failure in proof.failures]
    assert any(names(proof, mutation.culprit) for proof in proofs), caught
    found = differing(runs(graph, content, mutation.inputs(), file))
    check_witness(mutation.name, found, mutation.no_witness)


OnnxEdit = Callable[[onnx.ModelProto], None]


def node_of(model: onnx.ModelProto, output: str) -> Any:
    return next(node for node in model.graph.node if node.output[0] == output)


def constant_of(model: onnx.ModelProto, name: str) -> Any:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def by_division(model: onnx.ModelProto) -> None:
    mean, scale = node_of(model, "mean"), constant_of(model, "mean/scale")
    mean.op_type = "Div"
    scale.CopyFrom(numpy_helper.from_array(np.full((CHANNELS,), 9, dtype=np.float32), "mean/scale"))


def unknown_operator(model: onnx.ModelProto) -> None:
    node = node_of(model, "held")
    node.CopyFrom(helper.make_node("HardSwish", ["conv3"], ["held"], name="held"))


def other_sign(model: onnx.ModelProto) -> None:
    node_of(model, "sign3/negative").op_type = "Greater"
    where = node_of(model, "sign3")
    where.input[1], where.input[2] = where.input[2], where.input[1]
    offset = constant_of(model, "threshold/offset")
    offset.CopyFrom(numpy_helper.from_array(np.zeros((CHANNELS, 1, 1), dtype=np.float32), offset.name))


def nan_constant(model: onnx.ModelProto) -> None:
    offset = constant_of(model, "norm3/offset")
    values = numpy_helper.to_array(offset).copy()
    values[0] = np.nan
    offset.CopyFrom(numpy_helper.from_array(values, offset.name))


def batch_norm(model: onnx.ModelProto) -> None:
    parameters = {
        "bn/scale": floats(CHANNELS, seed=21),
        "bn/bias": floats(CHANNELS, seed=22),
        "bn/mean": floats(CHANNELS, seed=23),
        "bn/var": np.abs(floats(CHANNELS, seed=24)) + np.float32(0.1),
    }
    model.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in parameters.items())
    node_of(model, "norm3").CopyFrom(
        helper.make_node("BatchNormalization", ["conv3", *parameters], ["norm3"], name="norm3")
    )


def round_towards_zero(model: onnx.ModelProto) -> None:
    node_of(model, "limited/rounded").op_type = "Floor"


ONNX_MUTATIONS = [
    ("division instead of a product", by_division, "mean"),
    ("an operator the prover does not know", unknown_operator, "held"),
    ("a sign spelled as x > 0", other_sign, "sign3"),
    ("a constant that is NaN", nan_constant, "norm3"),
    ("a batch norm", batch_norm, "norm3"),
    ("another rounding", round_towards_zero, "limited"),
]


@pytest.mark.parametrize(("name", "edit", "culprit"), ONNX_MUTATIONS, ids=[m[0] for m in ONNX_MUTATIONS])
def test_mutations_of_an_onnx_file(name: str, edit: OnnxEdit, culprit: str) -> None:
    """The witness is the network the file was made from."""
    graph = exact_network()
    model = build_model(graph, INFO, None)
    edit(model)
    content = model.SerializeToString()
    assert names(prove(read_onnx(content)), culprit), prove(read_onnx(content)).failures
    truth = [np.asarray(y, dtype=np.float32) for y in evaluate(graph, [images()])]
    results = {
        level: OnnxRuntimeSession(content, "mutant.onnx", 1, level).run([images()])
        for level in ("disabled", "all")
    }
    check_witness(name, differing({"reference": truth, **results}), "")


def replaced(content: bytes, old: bytes, new: bytes) -> bytes:
    """A TFLite file with a constant exchanged and its checksum renewed."""
    assert content.count(old) == 1
    changed_bytes = bytearray(content.replace(old, new))
    place = digest_place(bytes(changed_bytes))
    assert place is not None
    changed_bytes[place : place + 64] = digest(bytes(changed_bytes), place)
    return bytes(changed_bytes)


def check_tflite(content: bytes, culprit: str, folder: Path) -> None:
    proof = prove(tflite_reader.read_tflite(content))
    assert names(proof, culprit), proof.failures
    path = folder / "mutant.tflite"
    path.write_bytes(content)
    truth = [np.asarray(y, dtype=np.float32) for y in evaluate(exact_network(), [images()])]
    assert differing({"reference": truth, "lce": LceRuntime().open(path).run([images()])})


def test_mutations_of_a_tflite_file(tmp_path: Path) -> None:
    """One conversion for all; the witness is the network the file was made from."""
    graph = exact_network()
    content = tflite_file(graph, tmp_path).read_bytes()
    norm, conv = graph["norm1"].op, graph["conv2"].op
    assert isinstance(norm, ops.Affine)
    assert isinstance(conv, ops.BinaryConv2d)
    multiplier = norm.scale32.tobytes()
    check_tflite(replaced(content, multiplier, one_more_bit(norm.scale32).tobytes()), "norm1", tmp_path)
    check_tflite(replaced(content, multiplier, (norm.scale32 * np.float32(1.1)).tobytes()), "norm1", tmp_path)
    bits = (conv.weight.transpose(0, 2, 3, 1) < 0).astype(np.uint32)
    words = (bits << np.arange(CHANNELS, dtype=np.uint32)).sum(axis=3).astype("<u4")
    unused = words.copy()
    unused[0, 0, 0] |= np.uint32(1 << 31)
    check_tflite(replaced(content, words.tobytes(), unused.tobytes()), "sign3", tmp_path)


def test_wrong_but_exact(tmp_path: Path) -> None:
    """Exactness cannot see these: the file computes the same bits everywhere, but not those of the network. Parity catches them."""
    graph = exact_network()
    truth = [np.asarray(y, dtype=np.float32) for y in evaluate(graph, [images()])]
    wrong = {
        "threshold moved": changed(use("threshold", affine(ONES, ONES * 2.5))),
        "threshold at an integer": changed(use("threshold", affine(ONES, ONES * 2))),
        "padded by +1, not 0": changed(tweak("conv1", padding_value=lambda value: 1 - value)),
    }
    for name, other in wrong.items():
        content = onnx_bytes(other)
        assert prove(read_onnx(content)).failures == (), name
        result = OnnxRuntimeSession(content, "mutant.onnx", 1, "all").run([images()])
        assert differing({"reference": truth, "other": result}), name
    rows = {row.tensor: row.why for row in prove(read_onnx(onnx_bytes(graph))).rows}
    assert "-0.0 cannot arrive" in rows["sign3"]


def test_refused_bytes() -> None:
    with pytest.raises(FdabnnError):
        prove_forms(read_forms(b"no model"))
