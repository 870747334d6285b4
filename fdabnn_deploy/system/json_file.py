"""Writing JSON files: whole or not at all, and without the NaN that JSON does not know."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from fdabnn_deploy.system.files import write_whole


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes JSON aside in the same folder and renames it; missing folders are made.

    Raises:
        NotWrittenError: the file cannot be written.
    """
    text = json.dumps(json_value(content), indent=2, allow_nan=False) + "\n"
    write_whole(path, text.encode())


def json_value(value: Any) -> Any:
    """JSON has no NaN and no infinities: they become the strings "NaN", "Infinity" and "-Infinity"."""
    if isinstance(value, dict):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
