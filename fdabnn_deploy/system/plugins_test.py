from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from fdabnn_deploy.errors import RuntimeMissingError, UsageError
from fdabnn_deploy.system import plugins
from fdabnn_deploy.targets.converter import Converter
from fdabnn_deploy.targets.installed import GROUP, find_converter, targets


@pytest.mark.runtimes
def test_the_installed_converters_are_found_and_are_converters() -> None:
    assert targets() == ["onnx", "tflite"]
    assert isinstance(find_converter("onnx"), Converter)


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown target 'onx': did you mean 'onnx'\? known: onnx, tflite"):
        find_converter("onx")


def test_nothing_is_suggested_where_nothing_is_near() -> None:
    with pytest.raises(UsageError, match=r"^unknown target 'coreml': known: onnx, tflite$"):
        find_converter("coreml")
    with pytest.raises(UsageError, match="known: none"):
        plugins.load("fdabnn_deploy.nothing", "a", "thing")


def test_a_missing_package_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("lost", "no_such_package.converter:CONVERTER", GROUP)
    monkeypatch.setattr(plugins, "entry_points", lambda group: [entry])
    with pytest.raises(
        RuntimeMissingError, match="target 'lost' needs the package 'no_such_package': install it"
    ):
        plugins.load(GROUP, "lost", "target")
