from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

import pytest

from fdabnn_deploy.errors import RuntimeMissingError, UsageError
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.system import plugins
from fdabnn_deploy.targets import installed
from fdabnn_deploy.targets.target import RuntimeEntry, Target

ONE = Target(
    name="one",
    title="One",
    suffix=".one",
    writer="no_such_package:WRITER",
    runtimes=(RuntimeEntry("runs-one", "Runs one", "no_such_package:Runtime"),),
    checksum="no_such_package:checksum",
    install="pip install one",
)


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Beside the targets that are there, those of a package `other_targets`."""
    module = ModuleType("other_targets")
    contents: dict[str, object] = {
        "one": ONE,
        "same_suffix": replace(ONE, name="same_suffix", runtimes=(RuntimeEntry("b", "B", "b:B"),)),
        "same_runtime": replace(ONE, name="same_runtime", suffix=".two"),
        "another_name": replace(ONE, name="yet_another", suffix=".three"),
        "converter": object(),
    }
    for name, value in contents.items():
        setattr(module, name, value)
    monkeypatch.setitem(sys.modules, "other_targets", module)
    entries = [EntryPoint(name, f"other_targets:{name}", installed.GROUP) for name in (*contents, "gone")]
    known = entry_points
    monkeypatch.setattr(plugins, "entry_points", lambda group: [*known(group=group), *entries])
    installed._load_all.cache_clear()
    yield
    installed._load_all.cache_clear()


@pytest.mark.usefixtures("others")
def test_what_cannot_be_used_is_left_out_and_said() -> None:
    assert [target.name for target in installed.registered()] == ["onnx", "tflite", "one"]
    wrong = {
        "same_suffix": "targets 'same_suffix' and 'one' both claim .one: uninstall one of them",
        "same_runtime": "targets 'same_runtime' and 'one' both claim runs-one: uninstall one of them",
        "another_name": "target 'another_name' calls itself 'yet_another'",
        "converter": "target 'converter' is registered as object, not as fdabnn_deploy.targets.target.Target",
        "gone": "target 'gone' is registered as other_targets:gone, which is not there: install its package again",
    }
    assert set(installed.unusable()) == set(wrong)
    for name, text in wrong.items():
        assert installed.unusable()[name].startswith(text)
        with pytest.raises(UsageError) as raised:
            installed.find_target(name)
        assert str(raised.value) == installed.unusable()[name]
    with pytest.raises(
        UsageError, match=r"known: \.onnx, \.tflite, \.one; target 'another_name' calls itself"
    ):
        registry.for_file(Path("a.four"))


@pytest.mark.usefixtures("others")
def test_what_a_registration_names_is_imported_when_it_is_asked_for() -> None:
    target = installed.find_target("one")
    assert registry.titles()["runs-one"] == "Runs one"
    remedy = "needs the package 'no_such_package': install it with  pip install one$"
    with pytest.raises(RuntimeMissingError, match=f"^target 'one' {remedy}"):
        target.converter()
    with pytest.raises(RuntimeMissingError, match=f"^runtime 'runs-one' {remedy}"):
        registry.for_file(Path("a.one"))


def test_a_registration_that_makes_no_sense_is_a_bug_of_its_package() -> None:
    with pytest.raises(ValueError, match=r"its suffix is 'onnx', not one such as '\.onnx'"):
        replace(ONE, suffix="onnx")
    with pytest.raises(ValueError, match="exactly one of its runtimes is the default"):
        replace(ONE, runtimes=())
