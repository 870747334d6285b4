"""Exported files on stock LiteRT with the delegate and on stock ONNX Runtime for ARM: the bits that this machine computes."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from fdabnn_deploy.data.cifar10 import find_test_batch
from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.runtimes.emulator import qemu_aarch64
from fdabnn_deploy.runtimes.emulator.arm_root import Guest
from fdabnn_deploy.runtimes.emulator.qemu_aarch64 import QemuRuntime
from fdabnn_deploy.testing import assert_bit_exact
from fdabnn_onnx.runtime.onnxruntime import OPTIMIZATIONS
from fdabnn_tflite.runtime.interpreter import SETTINGS
from instruction_counts import model_files

pytestmark = pytest.mark.programs

Files = tuple[Path, Path, Path]
FEW, MANY = 8, 64


@pytest.fixture(scope="module")
def resnet20(arm_guest: Guest, resnet20_files: model_files.Files) -> Files:
    """The shipped ResNet-20: ONNX, TFLite, ONNX with packed binary layers."""
    return resnet20_files[:3]


@pytest.fixture(scope="module")
def vgg(arm_guest: Guest, vgg_small_files: model_files.Files) -> Files:
    """A VGG-small with random weights, likewise."""
    return vgg_small_files[:3]


def check(a: Path, b: Path, data_dir: Path, count: int) -> None:
    folder = data_dir if find_test_batch(data_dir) is not None else "random"
    result = assert_bit_exact(a, b, f"{folder}:{count}", runtimes=["qemu-aarch64"])
    rows = [row for row in result.runtimes if row.runtime == "qemu-aarch64"]
    assert [(row.path, row.against) for row in rows] == [
        (str(a), "onnxruntime"),
        (str(b), "onnxruntime" if b.suffix == ".onnx" else "litert"),
    ]
    for row in rows:
        assert row.judged
        assert row.comparison is not None
        assert (row.comparison.differing, row.comparison.values) == (0, 10 * count)
        assert "LiteRT 2." in row.version


def test_resnet20(resnet20: Files, data_dir: Path) -> None:
    check(*resnet20[:2], data_dir, FEW)


def test_resnet20_packed(resnet20: Files, data_dir: Path) -> None:
    check(resnet20[2], resnet20[1], data_dir, FEW)


def test_vgg_small(vgg: Files, data_dir: Path) -> None:
    check(*vgg[:2], data_dir, FEW)


@pytest.mark.long
def test_resnet20_on_many_images(resnet20: Files, data_dir: Path) -> None:
    check(*resnet20[:2], data_dir, MANY)


@pytest.mark.long
def test_vgg_small_on_many_images(vgg: Files, data_dir: Path) -> None:
    check(*vgg[:2], data_dir, MANY)
    check(vgg[2], vgg[1], data_dir, MANY)


@pytest.mark.long
@pytest.mark.parametrize("position", [0, 1], ids=["onnx", "tflite"])
def test_every_setting_computes_the_same_bits(resnet20: Files, position: int) -> None:
    path = resnet20[position]
    images = np.random.default_rng(1).normal(size=(5, 3, 32, 32)).astype(np.float32)
    (expected,) = registry.for_file(path).open(path).run([images])
    seen = []
    for setting, session in QemuRuntime().settings(path):
        seen.append(setting)
        np.testing.assert_array_equal(session.run([images])[0], expected, err_msg=setting)
    # Not every file takes another batch size than its own.
    expected_count = 2 * len(OPTIMIZATIONS) if position == 0 else sum(s.batch is None for s in SETTINGS)
    assert len(seen) >= expected_count


@pytest.mark.parametrize("position", [0, 1], ids=["onnx", "tflite"])
def test_every_inner_tensor_is_equal(resnet20: Files, position: int) -> None:
    path = resnet20[position]
    images = np.random.default_rng(2).normal(size=(1, 3, 32, 32)).astype(np.float32)
    session = QemuRuntime().open(path)
    assert session.input_shapes == ((3, 32, 32),)
    found = session.run_all([images])
    expected = registry.for_file(path).open(path).run_all([images])
    assert list(found) == list(expected)
    assert len(found) > 50
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name].view(np.uint32), values.view(np.uint32), err_msg=name)


def test_sessions_share_a_process_that_ends_with_the_last(resnet20: Files) -> None:
    first, second = (QemuRuntime().open(path) for path in resnet20[:2])
    assert first._process is second._process
    process = first._process._process
    folder = first._process._folder.path
    assert folder.is_dir()
    del first
    gc.collect()
    assert process.poll() is None
    assert second.run([np.zeros((3, 3, 32, 32), np.float32)])[0].shape == (3, 10)
    del second
    gc.collect()
    assert process.returncode == 0
    assert not folder.exists()


def test_what_goes_wrong_there_is_said_here(resnet20: Files, tmp_path: Path) -> None:
    runtime = QemuRuntime()
    session = runtime.open(resnet20[1])
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(resnet20[1].read_bytes()[:5000])
    with pytest.raises(ModelRefusedError, match=r"damaged\.tflite is damaged or not a TFLite file"):
        runtime.open(damaged)
    with pytest.raises(UsageError, match=r"there is no file .*missing\.tflite"):
        runtime.open(tmp_path / "missing.tflite")
    with pytest.raises(UsageError, match="cannot run with XNNPACK, 0 thread: give numbers"):
        runtime.open(resnet20[1], threads=0)
    with pytest.raises(UsageError, match=r"input 0 of the model is float32 \[N, 3, 32, 32\]"):
        session.run([np.zeros((1, 3, 9, 9), np.float32)])
    with pytest.raises(UsageError, match="say nothing about a device"):
        session.native_inputs([np.zeros((1, 3, 32, 32), np.float32)])
    with pytest.raises(RuntimeError, match="KeyError: 99"):
        session._process.ask("close", session=99)
    # It lives on after all that, and one that is killed is an error, not silence; the next session gets a new one.
    assert session.run([np.zeros((1, 3, 32, 32), np.float32)])[0].shape == (1, 10)
    session._process._process.kill()
    with pytest.raises(RuntimeError, match="ended with status -9 on 'run'"):
        session.run([np.zeros((1, 3, 32, 32), np.float32)])
    assert runtime.open(resnet20[1])._process is not session._process


def test_bits_behind_a_filter_s_last_channel_are_refused(arm_guest: Guest, tmp_path: Path) -> None:
    """As on x86: NEON would count them or not."""
    path = tmp_path / "model.onnx"
    words = np.random.default_rng(0).integers(0, 2**16, (8, 3, 3, 1)).astype(np.int32)
    for bits, refused in ((0, False), (1 << 20, True)):
        filters = words.copy()
        filters[3, 1, 1, 0] |= bits
        graph = onnx.helper.make_graph(
            [
                onnx.helper.make_node("PackSigns", ["x"], ["s"], domain="fdabnn"),
                onnx.helper.make_node("BinaryConv", ["s", "w"], ["y"], domain="fdabnn", channels=16),
            ],
            "g",
            [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 16, 5, 5])],
            [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 8, 3, 3])],
            [onnx.numpy_helper.from_array(filters, "w")],
        )
        opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("fdabnn", 1)]
        onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
        if refused:
            with pytest.raises(ModelRefusedError, match="its filter has bits behind its last channel"):
                QemuRuntime().open(path)
        else:
            QemuRuntime().open(path)


def test_the_command_line_shows_it(resnet20: Files) -> None:
    arguments = [*map(str, resnet20[:2]), "--runtime", "qemu-aarch64", "--inputs", "random:2"]
    done = subprocess.run(
        [sys.executable, "-m", "fdabnn_deploy.cli.parity", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line for line in done.stdout.splitlines() if "qemu-aarch64" in line and "0 of 20" in line]
    assert len(rows) == 2
    assert "the same bits" in done.stdout


def test_metadata_needs_no_emulator(resnet20: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    for path in resnet20:
        metadata = QemuRuntime().metadata(path)
        assert metadata["checkpoint_sha256"]
        assert metadata == registry.for_file(path).metadata(path)


def test_nothing_is_left_running(resnet20: Files) -> None:
    gc.collect()
    assert list(qemu_aarch64._PROCESSES.values()) == []
