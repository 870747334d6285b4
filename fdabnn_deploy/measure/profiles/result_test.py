from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from fdabnn_deploy.measure.profile_report.compare_test import LAYERS, timing, write
from fdabnn_deploy.measure.profiles.result import SCHEMA_FILE

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture
def content(tmp_path: Path) -> Any:
    return json.loads(write(tmp_path / "p.json", timing(LAYERS, 0.01), instructions=10).read_text())


@pytest.fixture
def schema() -> Any:
    return json.loads(SCHEMA_FILE.read_text())


def keys(part: Any) -> set[str]:
    """Of all objects in it."""
    if isinstance(part, list):
        return set().union(*map(keys, part))
    if not isinstance(part, dict):
        return set()
    return set(part) | set().union(*map(keys, part.values()))


def test_the_json_follows_the_schema(content: Any, schema: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(content, schema)
    assert set(schema["properties"]) == set(content)
    for part, name in (
        (content["devices"][0], "device"),
        (content["devices"][0]["measurements"][0], "measurement"),
        (content["devices"][0]["measurements"][0]["model"], "timing"),
        (content["devices"][0]["measurements"][0]["model"]["layers"][0], "layer"),
        (content["devices"][0]["counting"], "counting"),
    ):
        assert set(schema["$defs"][name]["properties"]) == set(part)


def test_the_docs_name_every_key(content: Any) -> None:
    text = (DOCS / "profile-json.md").read_text()
    plain = {"name", "bytes", "cores", "machine", "kernel", "flags", "source", "throttled", "bits"}
    missing = [key for key in keys(content) - plain if f"`{key}`" not in text and f"`{key}[]`" not in text]
    assert missing == []


def test_the_schema_refuses_what_lacks_a_key(content: Any, schema: Any) -> None:
    for name in schema["required"]:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({key: value for key, value in content.items() if key != name}, schema)
