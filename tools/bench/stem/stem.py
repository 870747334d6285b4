"""`python tools/bench stem`: the exact first layer of ResNet-18, from pixels, against the best float32 one, in turn.

The layer (7x7, stride 2, 3 to 64 channels, 224x224, padded with zeros of the normalised image) is exported in a small network and cut off
behind its output, so that it is what users run. Everybody gets the same uint8 image; conversion, normalisation and borders count. Ours is
the TFLite file on LiteRT with the delegate; float32 is `--numerics float` on ONNX Runtime and on LiteRT with XNNPACK, whose best counts.
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench.cc import cache_folder
from bench.measure import Array, Contender, Row, best, named, pinned, ratio, run_interleaved
from fdabnn_deploy.cli.console import print_table
from fdabnn_deploy.measure.timer import looped
from fdabnn_deploy.native import delegate_path

SIZE = (3, 224, 224)
FILTERS = (64, 7, 7, 3)
OUTPUT = (1, 112, 112, 64)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
THREE, ONE = "ours, three slices", "ours, one slice"
ASKED = {THREE: 1.2, ONE: 2.5}
"""Times the speed of the best float32 form, on a processor with 8-bit dot products."""

_BITS = 8


@dataclass(frozen=True)
class Files:
    """The layer as exact TFLite files, and in float32."""

    three: bytes
    one: bytes
    float_tflite: bytes
    float_onnx: bytes


def files(fresh: bool) -> Files:
    """The files of the layer with drawn weights, exported where they do not lie ready."""
    folder = cache_folder() / "stem"
    exact, floats = folder / "exact" / "stem.tflite", folder / "float" / "stem.tflite"
    if fresh or not (exact.is_file() and floats.is_file()):
        shutil.rmtree(folder, ignore_errors=True)
        _export(exact.parent, "tflite", {})
        _export(floats.parent, "all", {"numerics": "float"})
    content = first_layer(exact.read_bytes())
    onnx = floats.with_suffix(".onnx").read_bytes()
    return Files(content, one_slice(content), first_layer(floats.read_bytes()), first_layer_of_onnx(onnx))


def _export(folder: Path, targets: str, options: dict[str, Any]) -> None:
    import torch

    import fdabnn_deploy

    torch.manual_seed(0)
    outputs, kernel, _, inputs = FILTERS
    layer = torch.nn.Conv2d(inputs, outputs, kernel, 2, kernel // 2, bias=False)
    pool = torch.nn.AdaptiveAvgPool2d(1)
    network = torch.nn.Sequential(layer, torch.nn.BatchNorm2d(outputs), pool, torch.nn.Flatten()).eval()
    settings: dict[str, Any] = {"samples": "random:2", "name": "stem", "input_format": "pixels", **options}
    reading: dict[str, Any] = {"mean": MEAN, "std": STD}
    example = torch.zeros(1, *SIZE)
    fdabnn_deploy.export(
        network, example, targets=targets, out=folder, allow_float="*", **settings, **reading
    )


def first_layer(content: bytes) -> bytes:
    """A TFLite file up to the last convolution, or subtraction of what is at its borders, of the layer's shape."""
    schema, model = _unpacked(content)
    codes = (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.SUB)
    graph = model.subgraphs[0]
    maps = [
        place
        for place, operator in enumerate(graph.operators)
        if tuple(graph.tensors[operator.outputs[0]].shape) == OUTPUT
        and model.operatorCodes[operator.opcodeIndex].builtinCode in codes
    ]
    graph.operators = graph.operators[: maps[-1] + 1]
    graph.outputs = [graph.operators[-1].outputs[0]]
    model.signatureDefs = []
    return _packed(model, len(content))


def first_layer_of_onnx(content: bytes) -> bytes:
    """Likewise of an ONNX file."""
    import onnx

    inferred = onnx.shape_inference.infer_shapes(onnx.load_from_string(content))
    one, height, width, channels = OUTPUT
    shapes = {
        value.name: tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)
        for value in inferred.graph.value_info
    }
    maps = [
        name
        for node in inferred.graph.node
        for name in node.output
        if shapes.get(name) == (one, channels, height, width)
    ]
    extractor = onnx.utils.Extractor(inferred)
    cut: bytes = extractor.extract_model([inferred.graph.input[0].name], [maps[-1]]).SerializeToString()
    return cut


def one_slice(content: bytes) -> bytes:
    """The exact file with weights of 8 bits only: the finer filter is zeros, the other one rounded."""
    schema, model = _unpacked(content)
    buffers = [
        model.buffers[tensor.buffer]
        for tensor in model.subgraphs[0].tensors
        if tuple(tensor.shape) == FILTERS and tensor.type == schema.TensorType.FLOAT32
    ]
    filters = [_floats(buffer).reshape(FILTERS) for buffer in buffers]
    coarse = max(range(len(filters)), key=lambda place: float(np.abs(filters[place]).max()))
    for place, (buffer, values) in enumerate(zip(buffers, filters, strict=True)):
        kept = eight_bits(values) if place == coarse else np.zeros_like(values)
        buffer.data = np.frombuffer(kept.tobytes(), np.uint8)
    return _packed(model, len(content))


def _unpacked(content: bytes) -> tuple[Any, Any]:
    schema = importlib.import_module("ai_edge_litert.schema_py_generated")
    return schema, schema.ModelT.InitFromPackedBuf(content, 0)


def _packed(model: Any, size: int) -> bytes:
    builder = importlib.import_module("flatbuffers").Builder(size)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _floats(buffer: Any) -> Array:
    return np.frombuffer(np.asarray(buffer.data, np.uint8).tobytes(), np.float32)


def eight_bits(filters: Array) -> Array:
    """Filters rounded to signed integers of 8 bits times a power of two per output channel."""
    largest = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    units = np.exp2(np.ceil(np.log2(np.maximum(largest, 2.0**-60) / (2 ** (_BITS - 1) - 1))))
    rounded: Array = (np.round(filters / units) * units).astype(np.float32)
    return rounded


def _litert(
    content: bytes, image: Array, delegate: Path | None
) -> tuple[Callable[[], None], Callable[[], Array]]:
    """A run of a TFLite file on one thread, and its output."""
    from ai_edge_litert.interpreter import Interpreter, load_delegate

    from fdabnn_tflite.runtime.native_stderr import native_stderr

    delegates = [] if delegate is None else [load_delegate(str(delegate))]
    with native_stderr():
        interpreter = Interpreter(model_content=content, experimental_delegates=delegates, num_threads=1)
        interpreter.allocate_tensors()
    place, output = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def run() -> None:
        interpreter.set_tensor(place, image)
        interpreter.invoke()

    return run, lambda: interpreter.get_tensor(output)


def _onnxruntime(content: bytes, image: Array) -> Callable[[], None]:
    """A run of an ONNX file on one thread, into memory that is there."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    binding, output = session.io_binding(), session.get_outputs()[0]
    values = onnxruntime.OrtValue.ortvalue_from_numpy(image)
    result = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(output.shape, np.float32))
    binding.bind_ortvalue_input(session.get_inputs()[0].name, values)
    binding.bind_ortvalue_output(output.name, result)
    return lambda: session.run_with_iobinding(binding)


def contenders(made: Files, image: Array) -> list[Contender]:
    """Ours, which have to give the bits that LiteRT's own operators give for the same file, and the float32 forms.

    Args:
        made: the files.
        image: uint8 [1, 3, 224, 224].
    """
    pixels = np.ascontiguousarray(image.transpose(0, 2, 3, 1))
    found = []
    for name, content in ((THREE, made.three), (ONE, made.one)):
        stock, expected = _litert(content, pixels, None)
        stock()
        run, output = _litert(content, pixels, Path(delegate_path()))
        found.append(Contender(name, "ours", looped(run), output, expected()))
    found.append(Contender("ONNX Runtime", "fp32", looped(_onnxruntime(made.float_onnx, image))))
    found.append(Contender("XNNPACK", "fp32", looped(_litert(made.float_tflite, pixels, None)[0])))
    return found


def compare(rounds: int, cpus: Sequence[int], fresh: bool) -> list[Row]:
    """Times all forms of the layer in turn."""
    from fdabnn_deploy.data.images import synthetic

    with pinned(cpus[:1]):
        return run_interleaved(contenders(files(fresh), synthetic(1, SIZE)), rounds)


def table(rows: Sequence[Row]) -> list[list[str]]:
    """A line per form: milliseconds, times the speed of the best float32 form, and what is asked of it."""
    fastest = best(rows, "fp32")
    lines = []
    for row in rows:
        speed = ratio(fastest, named(rows, row.name))
        time = row.reason if row.timing is None else f"{row.timing.median / 1000:.2f} ms"
        asked = f"{ASKED[row.name]:.1f} x" if row.name in ASKED else ""
        lines.append([row.name, time, "" if speed is None else f"{speed:.2f} x", asked])
    return lines


@click.command("stem")
@click.option("--rounds", default=40, show_default=True, type=click.IntRange(2), help="samples of each")
@click.option("--fresh", is_flag=True, help="export again, for a changed exporter")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="folder of stem.json")
def command(rounds: int, fresh: bool, out: Path | None) -> None:
    """The first layer of ResNet-18 alone, exact from pixels and in float32: time of one image on one thread."""
    import os

    from bench import environment, report
    from fdabnn_deploy.cli.console import make_console

    console = make_console()
    cpus = sorted(os.sched_getaffinity(0), reverse=True)
    before, facts = environment.busy(), environment.describe(cpus)
    rows = compare(rounds, cpus, fresh)
    columns = ["7x7, stride 2, 224x224x3 to 112x112x64", "one image", "to the best float32", "asked"]
    print_table(console, f"the stem, level {facts['level']}", columns, table(rows), right=(1, 2, 3))
    disturbed = report.disturbance(before, environment.busy(), facts["load"][0], facts["cpu_count"] or 1)
    console.print(f"  {disturbed['stolen_share']:.1%} of the time went to other machines", style="dim")
    if out is not None:
        results = [asdict(row) for row in rows]
        report.write(out / "stem.json", report.record("stem", facts, {"rounds": rounds}, disturbed, results))
        console.print(f"\n  {out / 'stem.json'}", soft_wrap=True)
