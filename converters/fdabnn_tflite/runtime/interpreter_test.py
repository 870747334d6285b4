from __future__ import annotations

import importlib
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fdabnn_deploy import native
from fdabnn_deploy.conformance import network, network_inputs
from fdabnn_deploy.errors import ModelRefusedError, RuntimeMissingError, UsageError
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.reference import evaluate_all
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.installed import find_converter
from fdabnn_tflite.runtime import litert, tensorflow_lite
from fdabnn_tflite.runtime.interpreter import SETTINGS, InterpreterRuntime, Setting
from fdabnn_tflite.runtime.litert import LiteRtRuntime
from fdabnn_tflite.runtime.tensorflow_lite import TfliteRuntime

pytestmark = pytest.mark.runtimes

RUNTIMES: tuple[InterpreterRuntime, ...] = (LiteRtRuntime(), TfliteRuntime())
BATCHES = (None, 1, 3)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[int | None, Path]:
    folder = tmp_path_factory.mktemp("tflite")
    paths = {batch: folder / f"network-{batch}.tflite" for batch in BATCHES}
    for batch, path in paths.items():
        find_converter("tflite").convert(
            network(), ModelInfo("network", (3, 9, 9), mean=(0.5, 0.25, 0.125)), path, ConvertOptions(batch)
        )
    return paths


@pytest.fixture(params=RUNTIMES, ids=lambda runtime: runtime.name)
def runtime(request: pytest.FixtureRequest) -> InterpreterRuntime:
    found: InterpreterRuntime = request.param
    return found


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("count", [1, 4])
def test_any_number_of_images_whatever_the_files_batch(
    runtime: InterpreterRuntime, files: dict[int | None, Path], batch: int | None, count: int
) -> None:
    session = runtime.open(files[batch])
    assert session.input_shapes == ((3, 9, 9), (4,))
    expected = evaluate_all(network(), network_inputs(count))
    for name, value in zip(network().outputs, session.run(network_inputs(count)), strict=True):
        assert np.allclose(value, expected[name], rtol=0, atol=1e-5)


def test_all_tensors_in_the_graphs_convention(
    runtime: InterpreterRuntime, files: dict[int | None, Path]
) -> None:
    inputs = network_inputs(2)
    expected, tensors = evaluate_all(network(), inputs), runtime.open(files[3]).run_all(inputs)
    assert {"image", "sign1", "sign2", "sign3", "conv1", *network().outputs} <= set(tensors) <= set(expected)
    for name, value in tensors.items():
        assert value.shape == expected[name].shape, name
        assert np.allclose(value, expected[name], rtol=0, atol=1e-5), name


def test_every_setting_runs(runtime: InterpreterRuntime, files: dict[int | None, Path]) -> None:
    inputs = network_inputs(5)
    expected = evaluate_all(network(), inputs)
    seen = []
    for label, session in runtime.settings(files[None]):
        seen.append(label)
        for name, value in zip(network().outputs, session.run(inputs), strict=True):
            assert np.allclose(value, expected[name], rtol=0, atol=1e-5), label
    assert seen == [str(setting) for setting in SETTINGS]
    assert {"XNNPACK, 1 thread", "XNNPACK, 2 threads, batch 4", "built-in, 1 thread, batch 4"} < set(seen)


def test_native_runs(runtime: InterpreterRuntime, files: dict[int | None, Path]) -> None:
    session = runtime.open(files[3])
    prepared: Any = session.native_inputs(network_inputs(1))
    assert [value.shape for value in prepared] == [(3, 9, 9, 3), (3, 4)]
    session.run_native(prepared)


def test_wrong_usage(runtime: InterpreterRuntime, files: dict[int | None, Path]) -> None:
    image, bias = network_inputs(2)
    with pytest.raises(UsageError, match=r"float32 \[N, 3, 9, 9\]"):
        runtime.open(files[1]).run([image[:, :, :8], bias])
    for setting in (Setting(threads=0), Setting(batch=0)):
        with pytest.raises(UsageError, match="numbers from 1 on"):
            runtime.open(files[1], setting=setting)
    with pytest.raises(UsageError, match="there is no file"):
        runtime.open(files[1].with_name("nothing.tflite"))


def test_a_setting_that_the_interpreter_refuses_names_the_reason(
    runtime: InterpreterRuntime, files: dict[int | None, Path]
) -> None:
    level = "neon" if platform.machine() == "x86_64" else "avx2"
    with pytest.raises(ModelRefusedError, match=rf"does not take this file: .*not '{level}'"):
        runtime.open(files[1], setting=Setting(level=level))


def test_metadata_and_version(runtime: InterpreterRuntime, files: dict[int | None, Path]) -> None:
    assert runtime.metadata(files[1])["mean"] == "[0.5, 0.25, 0.125]"
    assert runtime.version()[0].isdigit()


@pytest.mark.parametrize(
    ("module", "runtime", "reason"),
    [
        (litert, LiteRtRuntime(), "pip install ai-edge-litert"),
        (tensorflow_lite, TfliteRuntime(), r"pip install 'fdabnn-deploy\[export,lce\]'"),
    ],
)
def test_a_missing_package_is_named(
    module: Any,
    runtime: InterpreterRuntime,
    reason: str,
    files: dict[int | None, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(module, "package_version", missing)
    with pytest.raises(RuntimeMissingError, match=reason):
        runtime.version()
    names = {"ai_edge_litert.interpreter", "tensorflow"}
    real = importlib.import_module

    def absent(name: str) -> Any:
        if name in names:
            raise ModuleNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(RuntimeMissingError, match=reason):
        runtime.open(files[1])


def test_a_missing_library_is_named(
    files: dict[int | None, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "_FOLDER", tmp_path)
    with pytest.raises(RuntimeMissingError, match=r"libfdabnn_delegate\.so is missing"):
        LiteRtRuntime().open(files[1])


def test_litert_needs_neither_tensorflow_nor_lce_and_says_nothing(files: dict[int | None, Path]) -> None:
    program = f"""
import sys
from pathlib import Path
import numpy as np
from fdabnn_deploy.runtimes import registry
sys.modules["larq_compute_engine"] = sys.modules["tensorflow"] = sys.modules["torch"] = None
path = Path({str(files[1])!r})
session = registry.for_file(path).open(path)
session.run_all([np.zeros((1, *shape), np.float32) for shape in session.input_shapes])
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")
