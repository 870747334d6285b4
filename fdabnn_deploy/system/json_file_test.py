from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from fdabnn_deploy.system.json_file import write_json


def test_what_json_does_not_know_becomes_text(tmp_path: Path) -> None:
    path = tmp_path / "made" / "a.json"
    write_json(path, {"a": (math.nan, math.inf, -math.inf, 1.5), "b": {2: None}, "c": Path("x")})
    assert json.loads(path.read_text()) == {
        "a": ["NaN", "Infinity", "-Infinity", 1.5],
        "b": {"2": None},
        "c": "x",
    }


@pytest.mark.parametrize("value", [0.1, 1e-300, True, "\u00fc", 2**60])
def test_values_come_back(tmp_path: Path, value: object) -> None:
    write_json(tmp_path / "a.json", {"value": value})
    assert json.loads((tmp_path / "a.json").read_text()) == {"value": value}
