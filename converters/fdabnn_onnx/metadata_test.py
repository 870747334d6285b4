from __future__ import annotations

from fdabnn_deploy.conformance import network
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_onnx.build_model import build_model
from fdabnn_onnx.metadata import read_metadata

INFO = ModelInfo(
    "network",
    (3, 9, 9),
    mean=(0.5, 0.25, 0.125),
    std=(1.0, 2.0, 4.0),
    input_range=(-2.5, 2.0),
    classes=("aeroplane", "Käfer"),
    checkpoint_sha256="ab" * 32,
)


def test_all_keys_arrive_sorted() -> None:
    model = build_model(network(), INFO, 1)
    assert read_metadata(model) == INFO.metadata()
    keys = [entry.key for entry in model.metadata_props]
    assert keys == sorted(keys)
    assert {
        "mean",
        "std",
        "input_range",
        "classes",
        "checkpoint_sha256",
        "sign",
        "fdabnn_deploy_version",
    } == set(keys)


def test_keys_without_a_value_are_absent() -> None:
    model = build_model(network(), ModelInfo("network", (3, 9, 9)), 1)
    assert set(read_metadata(model)) == {"sign", "fdabnn_deploy_version"}
