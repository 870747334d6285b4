from __future__ import annotations

import os

import pytest

from bench.command import run

pytestmark = pytest.mark.runtimes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["layers", "--only", "5x5x5"], "no layer is called 5x5x5: known are 56x56x64"),
        (
            ["models", "--only", "resnet19"],
            "no model is called resnet19: known are resnet18-float, resnet18, resnet20",
        ),
        (["layers", "--cpu", "99999"], "no processor 99999"),
        (["layers", "--rounds", "1"], "1 is not in the range"),
        (["everything"], "everything"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = os.sched_getaffinity(0)
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert os.sched_getaffinity(0) == before


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    assert "layers" in text
    assert "models" in text
