"""The figures of a record as an image."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_GROUPS = {
    "lce": ("Larq Compute Engine, best mode", "#b0413e"),
    "fp32": ("best fp32 convolution", "#e0a030"),
    "int8": ("best int8 convolution", "#5b8c5a"),
    "ours": ("ours, float output", "#2f5d8a"),
}


def bars(results: Sequence[Mapping[str, Any]], level: str) -> dict[str, list[float | None]]:
    """For each group of the plot the lowest median of each layer, in microseconds; ours is the kernel with float output."""
    found: dict[str, list[float | None]] = {group: [] for group in _GROUPS}
    for result in results:
        for group, values in found.items():
            medians = [
                row["timing"]["median"]
                for row in result["rows"]
                if row["group"] == group
                and row["timing"] is not None
                and (group != "ours" or (row["detail"]["output"], row["detail"]["level"]) == ("float", level))
            ]
            values.append(min(medians, default=None))
    return found


def plot_layers(record: Mapping[str, Any], path: Path) -> None:
    """Times beside those of the peers, and shares of the peak; an SVG that is the same for the same record."""
    results, environment = record["results"], record["environment"]
    names = [result["name"] for result in results]
    figure, (times, shares) = _figure(2, height=9.0)
    found = bars(results, environment["level"])
    width = 0.8 / len(found)
    for i, (group, values) in enumerate(found.items()):
        label, colour = _GROUPS[group]
        places = [k + (i - 1.5) * width for k, value in enumerate(values) if value is not None]
        drawn = times.bar(places, [value for value in values if value is not None], width, label=label)
        for bar in drawn:
            bar.set_color(colour)
    times.set_yscale("log")
    times.set_ylabel("microseconds, one thread")
    times.set_title(f"Binary convolutions on {environment['cpu']}, {environment['level']}")
    for i, (key, label, colour) in enumerate(
        (("float_share", "float output", "#2f5d8a"), ("packed_share", "packed output", "#8ab0d0"))
    ):
        values = [100 * (result["figures"][key] or 0) for result in results]
        shares.bar([k + (i - 0.5) * 0.35 for k in range(len(names))], values, 0.35, label=label, color=colour)
    shares.axhline(100, color="black", linewidth=0.8)
    shares.set_ylabel("% of xor + popcount + add from registers")
    for axes in (times, shares):
        axes.set_xticks(range(len(names)), names, rotation=20, ha="right")
        axes.legend(fontsize=8)
    _save(figure, path)


def plot_models(record: Mapping[str, Any], path: Path) -> None:
    """Whole models: the median of every contender."""
    results, environment = record["results"], record["environment"]
    figure, panels = _figure(len(results), height=3.2 * len(results))
    for axes, result in zip(panels, results, strict=True):
        rows = [row for row in result["rows"] if row["timing"] is not None]
        names = [row["name"] for row in rows]
        colours = [_GROUPS.get(row["group"], ("", "#909090"))[1] for row in rows]
        axes.barh(names, [row["timing"]["median"] / 1e3 for row in rows], color=colours)
        axes.invert_yaxis()
        axes.set_xlabel("milliseconds, one thread")
        axes.set_title(f"{result['name']} on {environment['cpu']}")
    _save(figure, path)


def _figure(panels: int, height: float) -> tuple[Any, list[Any]]:
    import matplotlib as mpl

    # Text stays text, and nothing of the file depends on when or how often it was made.
    mpl.rcParams.update({"svg.hashsalt": "fdabnn", "svg.fonttype": "none"})
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, height), layout="constrained")
    return figure, list(figure.subplots(panels, 1, squeeze=False)[:, 0])


def _save(figure: Any, path: Path) -> None:
    aside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        figure.savefig(aside, format="svg", metadata={"Date": None})
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
