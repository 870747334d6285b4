"""A TFLite file for the tests of what reads such files."""

from __future__ import annotations

from pathlib import Path

import pytest

from fdabnn_deploy.conformance import network
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.installed import find_converter


@pytest.fixture(scope="session")
def tflite_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of `fdabnn_deploy.conformance.network()`: all operators, two inputs, two outputs."""
    path = tmp_path_factory.mktemp("runtimes") / "network.tflite"
    info = ModelInfo("network", (3, 9, 9), mean=(0.5, 0.25, 0.125), classes=("ä", "b"))
    find_converter("tflite").convert(network(), info, path, ConvertOptions())
    return path
