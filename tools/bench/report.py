"""The record of a run as JSON, and what is shown of it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from bench.figures import Goal, micros
from bench.layer_bench import LayerResult
from bench.measure import Row, best, ratio
from bench.model_bench import ModelResult
from bench.operators import OperatorResult
from fdabnn_deploy.cli.console import mark, print_table

SCHEMA = 1
QUIET_LOAD = 0.3
"""Load average, per processor, up to which a machine counts as quiet."""

MISSING = "-"


def record(
    kind: str,
    environment: Mapping[str, Any],
    settings: Mapping[str, Any],
    disturbance: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The whole of a run.

    Args:
        kind: layers or models.
        environment: of `environment.describe`.
        settings: of the run.
        disturbance: how much of the time others had.
        results: of each layer or model.
    """
    return {
        "schema": SCHEMA,
        "kind": kind,
        "unit": "microseconds per call; median, p10, p90 and best over rounds",
        "environment": dict(environment),
        "settings": dict(settings),
        "disturbance": dict(disturbance),
        "results": [dict(result) for result in results],
    }


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Writes JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        aside.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def disturbance(
    before: Mapping[str, int], after: Mapping[str, int], load: float, cpus: int
) -> dict[str, Any]:
    """How quiet the machine was, from `environment.busy` before and after and the load before."""
    ticks = after["ticks"] - before["ticks"]
    return {
        "stolen_share": (after["stolen"] - before["stolen"]) / ticks if ticks else 0.0,
        "load_per_cpu_before": load / cpus,
        "quiet": load / cpus <= QUIET_LOAD,
    }


def number(value: float | None, form: str = ".1f", unit: str = "") -> str:
    """A figure for a table, a dash where there is none."""
    return MISSING if value is None else f"{value:{form}}{unit}"


def print_layers(console: Console, results: Sequence[LayerResult]) -> None:
    """Our kernels against the peak, and against the peers."""
    print_table(
        console,
        "Our kernels: microseconds and shares of the peak (xor + popcount + add from registers)",
        [
            *("layer", "peak", "float out", "share", "calm", "packed out", "share", "calm", "MAC/cycle"),
            *("AVX2 MAC/cycle", "signs", "to a copy", "2 threads"),
        ],
        [
            [
                *(result.layer.name, number(result.figures.naive_us)),
                *(_micros(result, "float"), number(_percent(result.figures.float_share), ".0f", " %")),
                number(_percent(result.figures.float_share_calm), ".0f", " %"),
                *(_micros(result, "packed"), number(_percent(result.figures.packed_share), ".0f", " %")),
                number(_percent(result.figures.packed_share_calm), ".0f", " %"),
                number(result.figures.mac_per_cycle, ".0f"),
                number(result.figures.avx2_mac_per_cycle, ".0f"),
                number(_named(result.rows, "packing"), ".2f"),
                number(result.figures.packing_to_copy, ".2f", "x"),
                number(result.figures.threads, ".2f", "x"),
            ]
            for result in results
        ],
        right=range(1, 13),
    )
    if not any(best(result.rows, group) for result in results for group in ("lce", "fp32", "int8")):
        return
    print_table(
        console,
        "Peers: the best mode of each, microseconds, and how many times ours with float output is faster",
        ["layer", "LCE", "", "with signs", "packed", "fp32", "", "which", "int8", "", "which"],
        [
            [
                result.layer.name,
                *(number(_named(result.rows, "lce"), ".0f"), number(result.figures.over_lce, ".1f", "x")),
                number(result.figures.over_lce_with_packing, ".1f", "x"),
                number(result.figures.over_lce_packed, ".1f", "x"),
                *(number(_named(result.rows, "fp32"), ".0f"), number(result.figures.over_fp32, ".1f", "x")),
                _which(result.rows, "fp32"),
                *(number(_named(result.rows, "int8"), ".0f"), number(result.figures.over_int8, ".1f", "x")),
                _which(result.rows, "int8"),
            ]
            for result in results
        ],
        right=(1, 2, 3, 4, 5, 6, 8, 9),
    )


def print_models(console: Console, results: Sequence[ModelResult]) -> None:
    """Whole models, and their operators where they were timed."""
    for result in results:
        ours = best(result.rows, "ours")
        print_table(
            console,
            f"{result.name}: milliseconds, one thread",
            ["runtime", "median", "p10", "p90", "to ours"],
            [
                [
                    row.name,
                    *(number(row.timing.median / 1e3, ".3f"), number(row.timing.p10 / 1e3, ".3f")),
                    *(number(row.timing.p90 / 1e3, ".3f"), number(ratio(row, ours), ".2f", "x")),
                ]
                for row in result.rows
                if row.timing is not None
            ],
            right=range(1, 5),
        )
        if result.operators:
            _print_operators(console, result)


def _print_operators(console: Console, result: ModelResult) -> None:
    ordered = sorted(
        result.operators, key=lambda operator: -operator.count * (_named(operator.rows, "ours") or 0)
    )
    print_table(
        console,
        f"{result.name}: operators alone on LiteRT, and on LCE's interpreter in its best mode, microseconds",
        ["operator", "count", "ours", "all", "LCE", "all", "ratio"],
        [
            [
                *(operator.name, str(operator.count)),
                *(number(value) for value in _one_and_all(operator, "ours")),
                *(number(value) for value in _one_and_all(operator, "lce")),
                number(ratio(best(operator.rows, "lce"), best(operator.rows, "ours")), ".1f", "x"),
            ]
            for operator in ordered
        ],
        right=range(1, 7),
    )
    print_table(
        console,
        f"{result.name}: ONNX Runtime's profile, microseconds",
        ["operator", "all"],
        [[name, number(value)] for name, value in result.onnx_profile.items()],
        right=(1,),
    )


def _one_and_all(operator: OperatorResult, group: str) -> tuple[float | None, float | None]:
    one = _named(operator.rows, group)
    return one, None if one is None else operator.count * one


def print_untimed(console: Console, results: Sequence[tuple[str, Sequence[Row]]]) -> None:
    """The contenders left out, with reasons."""
    rows = [[name, row.name, row.reason] for name, found in results for row in found if row.timing is None]
    if rows:
        print_table(
            console, "Not timed, because the output is not equal", ["", "contender", "difference"], rows
        )


def print_goals(console: Console, goals: Sequence[tuple[str, Goal]]) -> None:
    """Every bound with what was found."""
    rows: list[list[str | Text]] = [
        [
            Text(MISSING) if goal.met is None else mark(goal.met),
            name,
            goal.what + (" (stretch)" if goal.stretch else ""),
            f"{'<=' if goal.at_most else '>='} {goal.bound:g}",
            number(goal.value, ".2f"),
        ]
        for name, goal in goals
    ]
    if rows:
        print_table(console, "Goals", ["", "", "figure", "bound", "found"], rows, right=(4,))


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _micros(result: LayerResult, output: str) -> str:
    found = [
        row
        for row in result.rows
        if row.group == "ours" and (row.detail["output"], row.detail["level"]) == (output, result.level)
    ]
    return number(micros(found[0]) if found else None)


def _named(rows: Sequence[Row], group: str) -> float | None:
    return micros(best(rows, group))


def _which(rows: Sequence[Row], group: str) -> str:
    row = best(rows, group)
    return MISSING if row is None else row.name
