"""Calls the `run()` of one case and prints what came of it as a line of JSON: a process of its own, so that no case meets another."""

from __future__ import annotations

import importlib.util
import json
import sys
import warnings
from pathlib import Path
from typing import Any


def outcome(path: Path) -> dict[str, Any]:
    """The figures of the report, or the error with the exit code that the command line would give it."""
    from fdabnn_deploy.errors import FdabnnError

    spec = importlib.util.spec_from_file_location("case", path)
    assert spec is not None
    assert spec.loader is not None
    case = importlib.util.module_from_spec(spec)
    sys.modules["case"] = case
    try:
        spec.loader.exec_module(case)
        report = case.run()
    except FdabnnError as error:
        return {"exit": error.exit_code, "error": f"{type(error).__name__}: {error}"}
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a mismatch that is told
        return {"exit": 1, "error": f"{type(error).__name__}: {error}"}
    agreement = report.truth.agreement
    return {
        "exit": 0,
        "one_bit": f"{sum(bool(layer.one_bit) for layer in report.coverage)} of "
        f"{sum(bool(layer.expected) for layer in report.coverage)}",
        "kept": agreement.same / agreement.images if agreement.images else 0.0,
        "notes": list(report.notes),
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(f"\n{json.dumps(outcome(Path(sys.argv[1])))}")
