from __future__ import annotations

import io
import json
import stat
from pathlib import Path

import pytest
from rich.console import Console

from bench.exports import exports
from bench.exports.exports import compare, show
from bench.exports.one_export import Contender, Export, ExportFailedError, medians, run, stage_seconds
from fdabnn_deploy.errors import RuntimeMissingError

PROGRAM = """#!/usr/bin/env python3
import json, sys
from pathlib import Path
options = dict(zip(sys.argv[2::2], sys.argv[3::2]))
kept = bytearray(b"1") * ({megabytes} * 2**20)
Path(options["--out"], "m.onnx").write_bytes(bytes(7))
stages = [dict(name="verify", seconds=0.25), dict(name="read", seconds=0.5), dict(name="verify", seconds=0.5)]
Path(options["--json"]).write_text(json.dumps(dict(stages=stages)))
print("said")
sys.exit({code})
"""


def contender(folder: Path, name: str, code: int = 0, megabytes: int = 1) -> Contender:
    program = folder / name / "fdabnn-export"
    program.parent.mkdir()
    program.write_text(PROGRAM.format(code=code, megabytes=megabytes))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return Contender(name, program.parent)


def test_an_export_is_measured_as_a_process(tmp_path: Path) -> None:
    small, large = (
        run(contender(tmp_path, f"n{size}", megabytes=size), tmp_path, "random:1") for size in (1, 101)
    )
    assert large.bytes == {".onnx": 7}
    assert large.peak_bytes - small.peak_bytes == pytest.approx(100 * 2**20, rel=0.1)
    assert large.stages == {"verify": 0.75, "read": 0.5}


def test_stages_of_one_name_are_added() -> None:
    stages = [
        {"name": "verify", "seconds": 1.0},
        {"name": "prove", "seconds": 2.0},
        {"name": "verify", "seconds": 4.0},
    ]
    assert stage_seconds(stages) == {"verify": 5.0, "prove": 2.0}


def test_medians_are_taken_of_every_figure() -> None:
    rounds = [Export(value, int(value * 10), {"read": value / 2}, {".onnx": 1}) for value in (3.0, 1.0, 2.0)]
    assert medians(rounds) == Export(2.0, 20, {"read": 1.0}, {".onnx": 1})


def test_a_failed_export_is_not_measured(tmp_path: Path) -> None:
    with pytest.raises(ExportFailedError, match=r"bad ended with exit code 3: said"):
        run(contender(tmp_path, "bad", code=3), tmp_path, "random:1")


def test_contenders_are_compared_round_by_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([9.0, 9.0, 1.0, 4.0, 2.0, 4.0, 3.0, 4.0])
    monkeypatch.setattr(
        exports, "run", lambda *_: Export(next(times), 1_000_000, {"read": 0.5}, {".onnx": 2_000_000})
    )
    result = compare(
        "resnet20", [Contender("checkout", tmp_path), Contender("6f0d2e9", tmp_path)], 3, "random:1"
    )
    assert [row["seconds"] for row in result["rows"]] == [2.0, 4.0]
    assert result["ratios"] == [1.0, 0.5]
    assert json.dumps(result)
    console = Console(file=io.StringIO(), width=160)
    show(console, result)
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "0.50 x" in shown
    assert "0.50 s  25%" in shown


def test_a_contender_that_cannot_export_ends_the_comparison(tmp_path: Path) -> None:
    with pytest.raises(RuntimeMissingError, match="exit code 1"):
        compare("resnet20", [contender(tmp_path, "bad", code=1)], 1, "random:1")
