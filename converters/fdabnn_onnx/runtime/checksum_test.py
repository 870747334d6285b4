from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxsim
import pytest
from onnx import version_converter

from fdabnn_deploy.conformance import network
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.targets.converter import ConvertOptions, Kernels
from fdabnn_deploy.targets.installed import find_converter
from fdabnn_onnx.runtime.checksum import KEY, seal, status, status_of_file
from fdabnn_onnx.runtime.onnx_file import DamagedError
from fdabnn_onnx.runtime.onnxruntime import OnnxRuntime

pytestmark = pytest.mark.runtimes

INFO = ModelInfo("network", (3, 9, 9), mean=(0.5, 0.25, 0.125), std=(1, 1, 1), classes=("a", "ü"))


@pytest.fixture(scope="module", params=["standard", "packed"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    kernels: Kernels = request.param
    path = tmp_path_factory.mktemp(kernels) / "network.onnx"
    find_converter("onnx").convert(network(), INFO, path, ConvertOptions(kernels=kernels))
    return path.read_bytes()


def test_an_exported_file_fits(exported: bytes) -> None:
    assert status(exported) == "fits"
    assert seal(onnx_without(exported)) == seal(exported) == exported


def onnx_without(content: bytes) -> bytes:
    model = onnx.load_model_from_string(content)
    entries = [entry for entry in model.metadata_props if entry.key != KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(entries)
    return bytes(model.SerializeToString(deterministic=True))


def test_a_changed_file_gets_a_checksum_of_its_own(exported: bytes) -> None:
    changed = exported.replace(b"[0.5, 0.25, 0.125]", b"[0.5, 0.25, 0.126]")
    assert (status(changed), status(seal(changed))) == ("changed", "fits")
    onnx.checker.check_model(seal(changed))


def test_an_older_file_has_none(exported: bytes) -> None:
    assert status(onnx_without(exported)) == "none"


def test_metadata_that_a_tool_adds_change_nothing(exported: bytes) -> None:
    model = onnx.load_model_from_string(exported)
    model.metadata_props.add(key="author", value="somebody")
    model.producer_name, model.doc_string = "another tool", "what it says"
    assert status(model.SerializeToString()) == "fits"


@pytest.mark.parametrize("key", ["mean", "classes", "sign"])
def test_metadata_of_ours_count(exported: bytes, key: str) -> None:
    model = onnx.load_model_from_string(exported)
    entry = next(entry for entry in model.metadata_props if entry.key == key)
    entry.value = json.dumps([0.5, 0.25, 0.126])
    assert status(model.SerializeToString()) == "changed"
    model.metadata_props.remove(entry)
    assert status(model.SerializeToString()) == "changed"


def test_every_damaged_byte_that_still_reads_is_seen(exported: bytes, tmp_path: Path) -> None:
    """Flips of bits all over the file: it is changed, or no message any more, or what changed is neither computed nor of ours."""
    generator = np.random.default_rng(0)
    outside = {b"fdabnn-deploy"}
    seen = 0
    for place in generator.integers(0, len(exported), 300):
        damaged = bytearray(exported)
        damaged[place] ^= 1 << int(generator.integers(8))
        around = exported[max(0, int(place) - 20) : int(place) + 20]
        try:
            found = status(bytes(damaged))
        except DamagedError:
            seen += 1
            continue
        seen += found == "changed"
        assert found == "changed" or any(word in around for word in outside) or KEY.encode() in around
    assert seen >= 295


def test_what_tools_rewrite_still_opens(exported: bytes, tmp_path: Path) -> None:
    model = onnx.load_model_from_string(exported)
    if any(opset.domain == "fdabnn" for opset in model.opset_import):
        pytest.skip("no tool rewrites operators that it does not know")
    forms = {
        "version": version_converter.convert_version(model, 19),
        "simplified": onnxsim.simplify(model)[0],
    }
    for name, form in forms.items():
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(form.SerializeToString())
        assert status(path.read_bytes()) in {"changed", "none"}
        OnnxRuntime().open(path)


def test_the_status_of_a_file(exported: bytes, tmp_path: Path) -> None:
    contents = {
        "fits": exported,
        "changed": exported.replace(b"[0.5, 0.25, 0.125]", b"[0.5, 0.25, 0.126]"),
        "": b"no model",
    }
    path = tmp_path / "a.onnx"
    for found, content in contents.items():
        path.write_bytes(content)
        assert status_of_file(path, {}) == found
