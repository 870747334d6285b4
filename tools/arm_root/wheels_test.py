from __future__ import annotations

from pathlib import Path

import pytest

from arm_root import wheels
from fdabnn_deploy.errors import RuntimeMissingError


def test_the_tags_follow_the_c_library() -> None:
    tags = wheels.platforms("2.36-9+deb12u13")
    assert tags[0] == "manylinux_2_36_aarch64"
    assert tags[-2:] == ["manylinux_2_17_aarch64", "manylinux2014_aarch64"]
    assert len(tags) == 21
    with pytest.raises(RuntimeMissingError, match="not glibc 2"):
        wheels.platforms("1.2.5")


def test_the_base_package_needs_no_framework() -> None:
    names = {name.partition(">")[0] for name in wheels.base_requirements()}
    assert {"ai-edge-litert", "numpy", "onnxruntime"} <= names
    assert not {"torch", "tensorflow", "onnx"} & names


def test_an_index_without_the_wheels_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(
        RuntimeMissingError, match=r"no wheels for aarch64 and Python 3\.11: .*click.*; check"
    ):
        wheels.install(["click"], tmp_path / "site", "3.11", "2.36", tmp_path)
