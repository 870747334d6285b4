from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import plot, report
from bench.figures import Goal, figures, goals
from bench.layer_bench import LayerResult
from bench.layers import BenchLayer
from bench.measure import Row, Timing
from bench.peers import ours
from fdabnn_deploy.cli.console import make_console

pytestmark = pytest.mark.runtimes

LAYER = BenchLayer(28, 128)


def row(name: str, group: str, median: float | None, **detail: Any) -> Row:
    timed = None if median is None else Timing(median, median - 1, median + 1, median - 2, 5, 3)
    return Row(name, group, timed, "" if timed else "3 of 4 values differ", detail)


@pytest.fixture
def result() -> LayerResult:
    kernel = {"macs": LAYER.macs, "level": "avx512", "threads": 1}
    rows = [
        row(ours.CLOCK, "clock", 0.5, cycles=1000),
        row(ours.NAIVE, "ceiling", 0.01, macs=6144),
        row(ours.name("float", "avx512"), "ours", 200, output="float", **kernel),
        row(ours.name("packed", "avx512"), "ours", 190, output="packed", **kernel),
        row("LCE indirect, float", "lce", 3000),
        row("some fp32", "fp32", 5000),
        row("better fp32", "fp32", 4000),
        row("unequal int8", "int8", None),
    ]
    found = figures(LAYER, "avx512", rows)
    return LayerResult(LAYER, "avx512", rows, [], found, goals(LAYER, "avx512", found))


@pytest.fixture
def record(result: LayerResult) -> dict[str, Any]:
    environment = {"cpu": "A processor", "level": "avx512"}
    return report.record("layers", environment, {"rounds": 5}, {"quiet": True}, [result.record()])


def test_the_record_keeps_everything(record: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "new" / "layers.json"
    report.write(path, record)
    read = json.loads(path.read_text(encoding="utf-8"))
    assert read == record
    assert [file.name for file in path.parent.iterdir()] == ["layers.json"]
    (layer,) = read["results"]
    assert layer["name"] == "28x28x128"
    assert layer["macs"] == LAYER.macs
    timed = {row["name"]: row["timing"] for row in layer["rows"]}
    assert timed["better fp32"] == {
        "median": 4000,
        "p10": 3999,
        "p90": 4001,
        "best": 3998,
        "rounds": 5,
        "calls": 3,
    }
    assert timed["unequal int8"] is None
    assert layer["figures"]["over_fp32"] == 20
    assert layer["figures"]["over_int8"] is None
    met = {goal["what"]: goal["met"] for goal in layer["goals"]}
    assert met["over the best fp32 convolution"] is True
    assert met["over the best int8 convolution"] is None


def test_a_record_that_json_lacks_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        report.write(tmp_path / "x.json", {"value": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_disturbance() -> None:
    found = report.disturbance({"ticks": 100, "stolen": 10}, {"ticks": 300, "stolen": 30}, load=1.0, cpus=2)
    assert found == {"stolen_share": 0.1, "load_per_cpu_before": 0.5, "quiet": False}
    same = {"ticks": 100, "stolen": 10}
    assert report.disturbance(same, same, load=0.5, cpus=2)["quiet"] is True


def test_the_tables_show_figures_peers_and_what_was_not_timed(
    result: LayerResult, capsys: pytest.CaptureFixture[str]
) -> None:
    console = make_console()
    report.print_layers(console, [result])
    report.print_untimed(console, [(LAYER.name, result.rows)])
    report.print_goals(console, [("28x28x128", Goal("a figure", 2, 3.0)), ("", Goal("another", 2, None))])
    text = capsys.readouterr().out
    assert "200.0" in text
    assert "15.0x" in text
    assert "20.0x" in text
    assert "better fp32" in text
    assert "some fp32" not in text
    assert "3 of 4 values differ" in text
    assert ">= 2" in text


def test_bars_are_those_of_the_best(record: dict[str, Any]) -> None:
    found = plot.bars(record["results"], "avx512")
    assert found == {"lce": [3000], "fp32": [4000], "int8": [None], "ours": [200]}


def test_the_same_record_gives_the_same_plot(record: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    for name in ("a.svg", "b.svg"):
        plot.plot_layers(record, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "28x28x128" in (tmp_path / "a.svg").read_text(encoding="utf-8")
