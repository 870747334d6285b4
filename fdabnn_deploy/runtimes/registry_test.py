from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.runtimes import registry


@pytest.mark.parametrize("name", registry.names())
def test_every_runtime_carries_its_name_and_opens_its_suffixes(name: str) -> None:
    runtime = registry.get(name)
    assert runtime.name == name
    assert runtime.suffixes
    for suffix in runtime.suffixes:
        for path in (Path(f"model{suffix}"), Path(f"MODEL{suffix.upper()}")):
            assert suffix in registry.for_file(path).suffixes


def test_both_targets_have_a_runtime() -> None:
    assert registry.for_file(Path("a/model.onnx")).name == "onnxruntime"
    assert registry.for_file(Path("a/model.tflite")).name == "litert"
    assert registry.further(Path("a/model.onnx")) == []
    assert registry.further(Path("a/MODEL.TFLITE")) == ["lce"]


def test_an_unknown_suffix_names_the_known_ones() -> None:
    with pytest.raises(
        UsageError, match=r"model\.pt: no runtime opens files that end in '\.pt': known: \.onnx, \.tflite$"
    ):
        registry.for_file(Path("model.pt"))


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'onnxruntime'"):
        registry.get("onxruntime")


def test_looking_one_up_loads_no_framework() -> None:
    program = (
        "import sys; from pathlib import Path; from fdabnn_deploy.runtimes import registry;"
        "registry.for_file(Path('a.onnx')); registry.further(Path('a.tflite'));"
        "[registry.get(name) for name in registry.names()];"
        "assert not {'ai_edge_litert', 'onnxruntime', 'tensorflow', 'torch', 'onnx'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
