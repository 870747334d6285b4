from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fdabnn_deploy.conformance import network, network_inputs
from fdabnn_deploy.errors import ModelRefusedError, RuntimeMissingError, UsageError
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import BinaryConv2d, Input, Sign
from fdabnn_deploy.ir.reference import evaluate_all
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.installed import find_converter
from fdabnn_tflite.runtime.lce import LceRuntime
from fdabnn_tflite.runtime.tensors import TENSORS_KEY
from fdabnn_tflite.runtime.tflite_file import DIGEST_KEY

pytestmark = pytest.mark.runtimes


def rewritten(path: Path, target: Path, old: bytes, new: bytes) -> Path:
    """A copy with some bytes replaced by as many others, and without its checksum."""
    assert len(old) == len(new)
    data = path.read_bytes()
    assert old in data
    target.write_bytes(data.replace(old, new).replace(DIGEST_KEY.encode(), b"x" * len(DIGEST_KEY)))
    return target


@pytest.fixture(scope="module")
def session(tflite_path: Path) -> Any:
    return LceRuntime().open(tflite_path)


def test_it_is_a_runtime() -> None:
    assert LceRuntime().name == "lce"
    assert LceRuntime().suffixes == (".tflite",)
    assert LceRuntime().version() == "0.16.0"


def test_batches_in_the_graphs_convention(session: Any) -> None:
    graph, inputs = network(), network_inputs(3)
    reference = evaluate_all(graph, inputs)
    assert session.input_shapes == ((3, 9, 9), (4,))
    outputs = session.run(inputs)
    assert [output.shape for output in outputs] == [(3, 5), (3, 4)]
    for name, output in zip(graph.outputs, outputs, strict=True):
        assert np.allclose(output, reference[name], rtol=0, atol=1e-5)


def test_all_tensors_in_the_graphs_convention(session: Any) -> None:
    graph, inputs = network(), network_inputs(2)
    reference, tensors = evaluate_all(graph, inputs), session.run_all(inputs)
    assert set(tensors) <= set(reference)
    assert set(tensors) >= {
        "image",
        "bias",
        "sign1",
        "sign2",
        "sign3",
        "conv1",
        "act2",
        "joined",
        *graph.outputs,
    }
    for name, value in tensors.items():
        assert value.shape == reference[name].shape, name
        assert np.allclose(value, reference[name], rtol=0, atol=1e-5), name
    for output, name in zip(session.run(inputs), graph.outputs, strict=True):
        assert np.array_equal(output, tensors[name])


@pytest.mark.parametrize("kernels", ["default", "indirect"])
@pytest.mark.parametrize("threads", [1, 2])
def test_kernels_and_threads_give_equal_bits(
    tflite_path: Path, session: Any, kernels: Any, threads: int
) -> None:
    inputs = network_inputs(2)
    other = LceRuntime().open(tflite_path, threads, kernels)
    for a, b in zip(session.run(inputs), other.run(inputs), strict=True):
        assert np.array_equal(a, b)


def test_native_runs(session: Any) -> None:
    inputs = network_inputs(2)
    prepared = session.native_inputs(inputs)
    session.run_native(prepared)
    assert [value.shape for value in prepared] == [(1, 9, 9, 3), (1, 4)]


def test_wrong_inputs_are_usage_errors(session: Any, tflite_path: Path) -> None:
    image, bias = network_inputs(2)
    for wrong in ([image], [image, bias[:1]], [image[:, :, :8], bias], [image[:0], bias[:0]]):
        with pytest.raises(UsageError):
            session.run(wrong)
    with pytest.raises(UsageError, match=r"unknown LCE kernels 'quick'.*indirect"):
        LceRuntime().open(tflite_path, kernels="quick")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="there is no file"):
        LceRuntime().open(tflite_path.with_name("nothing.tflite"))


def test_a_file_of_any_batch_size_runs(tmp_path: Path, session: Any) -> None:
    info = ModelInfo("network", (3, 9, 9))
    artifact = find_converter("tflite").convert(
        network(), info, tmp_path / "five.tflite", ConvertOptions(batch=5)
    )
    inputs = network_inputs(2)
    for a, b in zip(session.run(inputs), LceRuntime().open(artifact.path).run(inputs), strict=True):
        assert np.array_equal(a, b)


def test_a_file_of_another_tool_runs_as_far_as_it_can_be_understood(
    tflite_path: Path, tmp_path: Path, session: Any
) -> None:
    path = rewritten(tflite_path, tmp_path / "foreign.tflite", TENSORS_KEY.encode(), b"x" * len(TENSORS_KEY))
    foreign = LceRuntime().open(path)
    inputs = network_inputs(2)
    assert foreign.input_shapes == session.input_shapes
    for a, b in zip(session.run(inputs), foreign.run(inputs), strict=True):
        assert np.array_equal(a, b)
    assert set(foreign.run_all(inputs)) == {"image", "bias", *network().outputs}


def test_a_tensor_map_that_does_not_fit_is_refused(tflite_path: Path, tmp_path: Path) -> None:
    for old, new, message in (
        (b'"shape":[3,9,9]', b'"shape":[9,9,3]', "does not fit"),
        (b'"name":"image","tensor":0', b'"name":"image","tensor":1', "does not fit"),
        (b'{"flipped":', b'{"flippet":', "damaged"),
    ):
        path = rewritten(tflite_path, tmp_path / "map.tflite", old, new)
        with pytest.raises(ModelRefusedError, match=message):
            LceRuntime().open(path)


def test_what_the_interpreter_does_not_take_is_refused_with_its_reason(tmp_path: Path) -> None:
    weight = np.ones((2, 5, 3, 3), dtype=np.int8)
    nodes = [
        Node("x", Input((5, 6, 6))),
        Node("s", Sign(), ("x",)),
        Node("y", BinaryConv2d(weight, padding=(1, 1)), ("s",)),
    ]
    artifact = find_converter("tflite").convert(
        Graph(nodes, ["y"]), ModelInfo("odd", (5, 6, 6)), tmp_path / "odd.tflite", ConvertOptions()
    )
    with pytest.raises(ModelRefusedError, match=r"does not take this file.*even number of input channels"):
        LceRuntime().open(artifact.path, kernels="reference")


def test_metadata_needs_neither_tensorflow_nor_lce(tflite_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from fdabnn_tflite.runtime.lce import LceRuntime
sys.modules["larq_compute_engine"] = None
metadata = LceRuntime().metadata(Path({str(tflite_path)!r}))
assert metadata["mean"] == "[0.5, 0.25, 0.125]" and metadata["sign"], metadata
assert metadata["classes"].encode().decode("unicode_escape") == '["ä", "b"]', metadata
assert "tensorflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.usefixtures("lce")
def test_running_needs_no_tensorflow(tflite_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
import numpy as np
from fdabnn_tflite.runtime.lce import LceRuntime
session = LceRuntime().open(Path({str(tflite_path)!r}))
session.run_all([np.zeros((1, *shape), np.float32) for shape in session.input_shapes])
assert "tensorflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_missing_package_is_named(tflite_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("larq_compute_engine")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeMissingError, match="larq-compute-engine"):
        LceRuntime().open(tflite_path)


@pytest.mark.usefixtures("lce")
def test_numpy_2_is_told(tflite_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("larq_compute_engine")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(np, "__version__", "2.4.6")
    with pytest.raises(RuntimeMissingError, match="numpy<2"):
        LceRuntime().open(tflite_path)
    # An export that does not ask for LCE goes on without it.
    with pytest.raises(RuntimeMissingError, match="numpy<2"):
        LceRuntime().version()


def test_more_axes_than_a_kernel_takes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph([Node("x", Input((2, 2, 2))), Node("y", Sign(), ("x",))], ["y"])
    path = tmp_path / "axes.tflite"
    find_converter("tflite").convert(graph, ModelInfo("axes", (2, 2, 2)), path, ConvertOptions())
    x = np.random.default_rng(0).normal(size=(1, 2, 2, 2)).astype(np.float32)
    np.testing.assert_array_equal(LceRuntime().open(path).run([x])[0], np.where(x < 0, -1, 1))
    monkeypatch.setattr("fdabnn_tflite.runtime.lce._MOST_AXES", {"LESS": 3})
    with pytest.raises(ModelRefusedError, match=r"LESS of y/less has 4 axes, its kernel at most 3"):
        LceRuntime().open(path)


DAMAGES = """
import sys
from pathlib import Path
import numpy as np
from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_tflite.runtime.lce import LceRuntime

whole, work = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])
refused = ran = 0
for seed in range(int(sys.argv[3])):
    rng = np.random.default_rng(seed)
    data = bytearray(whole)
    if seed % 3 == 0:
        data = data[: rng.integers(len(data))]
    elif seed % 3 == 1:
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    else:
        for place in rng.integers(0, len(data), int(rng.integers(2, 20))):
            data[place] = rng.integers(256)
    work.write_bytes(data)
    print(f"seed {seed}", flush=True)
    try:
        session = LceRuntime().open(work)
        session.run_all([np.zeros((1, *shape), np.float32) for shape in session.input_shapes])
        ran += 1
    except ModelRefusedError:
        refused += 1
print(f"{refused} refused, {ran} ran")
"""


@pytest.mark.usefixtures("lce")
@pytest.mark.parametrize("checksum", [True, False])
def test_damage_never_ends_the_process(tflite_path: Path, tmp_path: Path, checksum: bool) -> None:
    """In a process of its own, so that a crash is seen. Without a checksum, as in files of other tools, some damage is harmless."""
    whole = tflite_path
    if not checksum:
        key = DIGEST_KEY.encode()
        whole = tmp_path / "unsigned.tflite"
        whole.write_bytes(tflite_path.read_bytes().replace(key, b"x" * len(key)))
    run = subprocess.run(
        [sys.executable, "-c", DAMAGES, str(whole), str(tmp_path / "damaged.tflite"), "300"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, (run.stdout[-20:], run.stderr[-2000:])
    # The interpreter itself says, too, which operator fails while it runs.
    assert all(line.startswith("ERROR: ") for line in run.stderr.splitlines()), run.stderr
    refused, ran = (int(word) for word in run.stdout.splitlines()[-1].split() if word.isdigit())
    assert refused + ran == 300
    assert ran == 0 if checksum else 100 < refused < 300
