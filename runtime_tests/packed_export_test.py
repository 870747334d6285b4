"""Packed ONNX exports as users make and run them: the README's lines, every layer, and damaged files."""

from __future__ import annotations

import contextlib
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

import fdabnn_deploy
from fdabnn_deploy.cli.parity import main as parity
from fdabnn_deploy.data.images import synthetic
from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.pipeline.report import Report
from fdabnn_deploy.testing import assert_bit_exact
from fdabnn_onnx.runtime.onnxruntime import OnnxRuntime

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def reports(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    """A ResNet-20 exported with both kinds of kernels."""
    out = tmp_path_factory.mktemp("packed")
    return {
        kernels: fdabnn_deploy.export(
            checkpoint,
            targets="onnx",
            out=out,
            name=kernels,
            samples="random:20",
            kernels=kernels,
        )
        for kernels in ("standard", "packed")
    }


def path_of(reports: dict[str, Report], kernels: str) -> Path:
    return Path(reports[kernels].artifacts[0].path)


def test_the_export_is_verified_and_proved(reports: dict[str, Report]) -> None:
    report = reports["packed"]
    assert report.failures == ()
    assert report.artifacts[0].op_counts["BinaryConv (1-bit)"] == 18
    settings = {(row.form, row.setting) for row in report.parity if row.target == "onnx"}
    assert {
        ("", ""),
        ("", "all optimisations, 2 threads"),
        ("batch 4", "all optimisations, 1 thread"),
    } <= settings
    assert len(report.proofs) == 4


def test_packed_files_are_small(reports: dict[str, Report]) -> None:
    """A binary weight is a bit there and a byte in the standard file, where it would be four as a float."""
    packed, standard = (path_of(reports, kernels).stat().st_size for kernels in ("packed", "standard"))
    initializers = onnx.load(path_of(reports, "standard")).graph.initializer
    integers = sum(math.prod(each.dims) for each in initializers if each.data_type == onnx.TensorProto.INT8)
    # Metadata and operators are the same in both: of so small a network, a third of the packed file.
    assert packed * 4.5 < standard
    assert packed * 10 < standard + 3 * integers


def test_both_files_give_equal_bits(reports: dict[str, Report]) -> None:
    images = (synthetic(64, (3, 32, 32), seed=5).astype(np.float32) - 128) / 64
    assert_bit_exact(path_of(reports, "packed"), path_of(reports, "standard"), images)


def test_layers_are_compared_by_name(reports: dict[str, Report], capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(path_of(reports, kernels)) for kernels in ("packed", "standard")]
    assert parity([*files, "--inputs", "random:4", "--per-layer"]) == 0
    assert re.search(r"all \d\d tensors that both have are equal", capsys.readouterr().out)


def test_the_readme_runs_as_it_is_written(reports: dict[str, Report], tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (program,) = (block for block in blocks if "register_custom_ops_library" in block)
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "packed.onnx").write_bytes(path_of(reports, "packed").read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    zeros = OnnxRuntime().open(path_of(reports, "standard")).run([np.zeros((1, 3, 32, 32), np.float32)])[0]
    assert done.stdout.strip() == str(zeros)


def test_packed_kernels_need_an_onnx_target(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="packed kernels are a choice for ONNX files"):
        fdabnn_deploy.export(checkpoint, targets="tflite", out=tmp_path, kernels="packed")


@pytest.mark.parametrize("attribute", ["channels", "pads", "strides", "dilations", "group", "pad_value"])
@pytest.mark.parametrize("value", [-1, 0, 2, 1 << 24, 1 << 40])
def test_damaged_attributes_end_with_an_error(
    reports: dict[str, Report], attribute: str, value: int, tmp_path: Path
) -> None:
    """Or with a result, as any other file may give; never with the end of the process."""
    model = onnx.load(path_of(reports, "packed"))
    node = [node for node in model.graph.node if node.op_type == "BinaryConv"][3]
    for entry in node.attribute:
        if entry.name == attribute:
            if entry.ints:
                entry.ints[0] = value
            else:
                entry.i = value
    path = tmp_path / "damaged.onnx"
    path.write_bytes(model.SerializeToString())
    with contextlib.suppress(ModelRefusedError):
        OnnxRuntime().open(path).run([np.zeros((1, 3, 32, 32), np.float32)])


def test_bytes_of_a_file_that_change_end_with_an_error_or_a_result(
    reports: dict[str, Report], tmp_path: Path
) -> None:
    """In a process of their own: the end of it would be ONNX Runtime's or ours."""
    program = """
import sys
import numpy as np
from pathlib import Path
from fdabnn_deploy.errors import FdabnnError
from fdabnn_onnx.runtime.onnxruntime import OnnxRuntime
from fdabnn_deploy.testing import assert_bit_exact

content, path = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])
generator = np.random.default_rng(0)
for _ in range(150):
    damaged = bytearray(content)
    for place in generator.integers(0, len(content), 3):
        damaged[place] = generator.integers(256)
    path.write_bytes(bytes(damaged))
    try:
        OnnxRuntime().open(path).run([np.zeros((1, 3, 32, 32), np.float32)])
    except FdabnnError:
        pass
print("alive")
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(path_of(reports, "packed")), str(tmp_path / "damaged.onnx")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip().endswith("alive"), done.stderr[-2000:]
