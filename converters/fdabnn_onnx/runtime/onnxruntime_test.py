from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from fdabnn_deploy.conformance import network, network_inputs
from fdabnn_deploy.errors import ModelRefusedError, RuntimeMissingError, UsageError
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.ir.reference import evaluate_all
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.installed import find_converter
from fdabnn_onnx.runtime.checksum import KEY
from fdabnn_onnx.runtime.onnxruntime import OPTIMIZATIONS, OnnxRuntime, OnnxRuntimeSession

pytestmark = pytest.mark.runtimes

INFO = ModelInfo("network", (3, 9, 9), mean=(0.5, 0.25, 0.125), classes=("a", "ü"))
BATCHES: tuple[int | None, ...] = (1, 3, None)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[int | None, Path]:
    folder = tmp_path_factory.mktemp("onnx")
    paths = {batch: folder / f"network-{batch}.onnx" for batch in BATCHES}
    for batch, path in paths.items():
        find_converter("onnx").convert(network(), INFO, path, ConvertOptions(batch))
    return paths


def close(got: FloatArray, expected: FloatArray) -> bool:
    """Float sums are rounded in another order than in the reference."""
    return got.shape == expected.shape and bool(np.abs(got - expected).max() <= 1e-6 * np.abs(expected).max())


def save(path: Path, dims: list[int | str | None], element: int = TensorProto.FLOAT) -> Path:
    value = helper.make_tensor_value_info("x", element, dims)
    output = helper.make_tensor_value_info("y", element, dims)
    graph = helper.make_graph([helper.make_node("Abs", ["x"], ["y"])], "g", [value], [output])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_any_number_of_images_whatever_the_files_batch(
    files: dict[int | None, Path], batch: int | None, count: int
) -> None:
    session = OnnxRuntime().open(files[batch])
    inputs = network_inputs(count)
    expected = evaluate_all(network(), inputs)
    assert session.batch == batch
    assert session.input_shapes == ((3, 9, 9), (4,))
    probabilities, largest = session.run(inputs)
    assert close(probabilities, expected["probabilities"])
    assert close(largest, expected["largest"])


@pytest.mark.parametrize("batch", BATCHES)
def test_run_all_gives_every_tensor_of_the_graph(files: dict[int | None, Path], batch: int | None) -> None:
    inputs = network_inputs(4)
    expected = evaluate_all(network(), inputs)
    session = OnnxRuntime().open(files[batch])
    values = session.run_all(inputs)
    assert set(expected) <= set(values)
    for name, value in expected.items():
        assert close(values[name], value), name
    # The second call uses the copy of the first.
    assert np.array_equal(session.run_all(inputs)["largest"], values["largest"])


def test_inputs_need_not_be_contiguous(files: dict[int | None, Path]) -> None:
    session = OnnxRuntime().open(files[None])
    image, bias = network_inputs(6)
    strided = session.run([image[::2, :, ::-1], bias[::2]])
    plain = session.run([np.ascontiguousarray(image[::2, :, ::-1]), np.ascontiguousarray(bias[::2])])
    assert all(np.array_equal(a, b) for a, b in zip(strided, plain, strict=True))


@pytest.mark.parametrize("batch", BATCHES)
def test_native_runs(files: dict[int | None, Path], batch: int | None) -> None:
    session = OnnxRuntime().open(files[batch])
    session.run_native(session.native_inputs(network_inputs(1)))
    with pytest.raises(UsageError, match="one image"):
        session.native_inputs(network_inputs(2))


def test_wrong_inputs_are_refused(files: dict[int | None, Path]) -> None:
    session = OnnxRuntime().open(files[1])
    image, bias = network_inputs(2)
    for run in (session.run, session.run_all):
        with pytest.raises(UsageError, match=r"float32 \[N, 3, 9, 9\]"):
            run([image[:, :, :8], bias])


def test_threads_and_optimisation_reach_onnx_runtime(files: dict[int | None, Path]) -> None:
    for level in OPTIMIZATIONS:
        session = OnnxRuntime(level).open(files[1], threads=2)
        options = session._session.get_session_options()
        assert options.intra_op_num_threads == 2
        assert options.graph_optimization_level == getattr(
            onnxruntime.GraphOptimizationLevel, OPTIMIZATIONS[level]
        )
    with pytest.raises(UsageError, match="unknown optimisation level 'most': known: disabled"):
        OnnxRuntime("most")


def metadata_of(path: Path) -> dict[str, str]:
    """Without the checksum, which is no part of the contract."""
    return {key: value for key, value in OnnxRuntime().metadata(path).items() if key != KEY}


def test_metadata_and_version(files: dict[int | None, Path]) -> None:
    assert metadata_of(files[1]) == INFO.metadata()
    assert OnnxRuntime().version() == onnxruntime.__version__


def test_a_device_without_the_onnx_package(
    files: dict[int | None, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    session = OnnxRuntime().open(files[1])
    assert set(evaluate_all(network(), network_inputs(1))) <= set(session.run_all(network_inputs(1)))
    assert metadata_of(files[1]) == INFO.metadata()


def test_without_onnx_runtime_the_remedy_is_named(
    files: dict[int | None, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for call in (OnnxRuntime().version, lambda: OnnxRuntime().open(files[1])):
        with pytest.raises(RuntimeMissingError, match="pip install onnxruntime"):
            call()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for call in (OnnxRuntime().open, OnnxRuntime().metadata):
        with pytest.raises(UsageError, match=r"there is no file .*none\.onnx"):
            call(tmp_path / "none.onnx")


@pytest.mark.parametrize("content", [b"", b"text", b"\x80\x02}q\x00.", b"PK\x03\x04" + b"\0" * 60])
def test_another_kind_of_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(
        ModelRefusedError, match=r"model\.onnx is damaged or not an ONNX model .*export it again"
    ):
        OnnxRuntime().open(path)


@pytest.mark.parametrize("dims", [["N", 3, "H", "W"], ["N", 3, None], []])
def test_free_dimensions_are_refused(tmp_path: Path, dims: list[int | str | None]) -> None:
    with pytest.raises(ModelRefusedError, match="float32 and uint8 with fixed dimensions behind the batch"):
        OnnxRuntime().open(save(tmp_path / "free.onnx", dims))


def test_other_types_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefusedError, match=r"tensor\(double\)"):
        OnnxRuntime().open(save(tmp_path / "double.onnx", [1, 3], TensorProto.DOUBLE))


def survives(content: bytes, inputs: tuple[FloatArray, FloatArray]) -> bool:
    """Whether damaged content still runs; anything but a refusal is an error of this test."""
    try:
        OnnxRuntimeSession(content, "damaged").run(inputs)
    except (ModelRefusedError, UsageError):
        return False
    return True


def test_no_truncation_crashes_or_passes(files: dict[int | None, Path]) -> None:
    content = files[1].read_bytes()
    inputs = network_inputs(1)
    # Metadata stands at the end, its first key two bytes behind the entry's start.
    model_size = content.index(b"\x0a\x07classes") - 2
    assert survives(content[:model_size], inputs)
    sizes = {*range(0, model_size, 97), *range(model_size - 40, model_size)}
    assert not [size for size in sizes if survives(content[:size], inputs)]


@pytest.mark.parametrize("seed", range(8))
def test_no_damage_crashes(
    files: dict[int | None, Path], seed: int, capfd: pytest.CaptureFixture[str]
) -> None:
    content = files[1].read_bytes()
    inputs = network_inputs(1)
    rng = np.random.default_rng(seed)
    outcomes = set()
    for _ in range(25):
        damaged = bytearray(content)
        for _ in range(int(rng.integers(1, 4))):
            damaged[int(rng.integers(len(content)))] = int(rng.integers(256))
        outcomes.add(survives(bytes(damaged), inputs))
    assert outcomes == {False, True}
    assert capfd.readouterr() == ("", "")


def test_settings_check_a_file_once(files: dict[int | None, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[int] = []
    monkeypatch.setattr(onnx.checker, "check_model", lambda *_, **__: checked.append(1))
    assert len(list(OnnxRuntime().settings(files[1]))) == 2 * len(OPTIMIZATIONS)
    assert checked == [1]


def test_settings_of_a_damaged_file_are_refused(files: dict[int | None, Path], tmp_path: Path) -> None:
    path = tmp_path / "damaged.onnx"
    path.write_bytes(files[1].read_bytes()[:-20])
    with pytest.raises(ModelRefusedError):
        next(iter(OnnxRuntime().settings(path)))
