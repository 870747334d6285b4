"""The tables of `fdabnn-profile`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from fdabnn_deploy.cli.console import print_table
from fdabnn_deploy.measure.profile_report import texts
from fdabnn_deploy.measure.profile_report.compare import Change
from fdabnn_deploy.measure.profiles.result import DeviceResult, Measurement, Profile, Timing

SHOWN_SHARE = 0.01
"""Layers below this share are summed up, unless they have multiply-adds."""


def print_profile(console: Console, profile: Profile) -> None:
    """Prints a profile: times of all devices in one table, what they depend on, and the layers of each device."""
    console.print(Text(texts.file(profile.model), "bold"), soft_wrap=True)
    if texts.change(profile.model):
        _note(console, texts.change(profile.model))
    if profile.baseline is not None:
        baseline = f"baseline {texts.file(profile.baseline)}: {profile.baseline.note}"
        console.print(Text(baseline), soft_wrap=True)
        if texts.change(profile.baseline):
            _note(console, f"the baseline is {texts.change(profile.baseline)}")
    _print_times(console, profile)
    for device in profile.devices:
        if device.failure is not None:
            _note(console, device.failure.text, "red")
        elif device.facts is not None:
            print_table(console, f"Device {device.address}", ("", ""), texts.facts(device))
    for device in profile.devices:
        if device.measurements:
            _print_layers(console, device, profile)
        if device.counting is not None:
            _print_counts(console, device)
        for note in device.notes:
            _note(console, f"{device.address}: {note}")


def _print_times(console: Console, profile: Profile) -> None:
    rows: list[list[str | Text]] = []
    for device in profile.devices:
        if device.failure is not None:
            rows.append([device.address, "", "", Text("failed", "red"), "", "", "", "", ""])
        for measured in device.measurements:
            rows.append(_times(device, measured.threads, "model", measured.model, measured.speedup))
            if measured.baseline is not None:
                rows.append(_times(device, measured.threads, "baseline", measured.baseline, None))
    if not rows:
        return
    against = ["against baseline"] if profile.baseline is not None else [""]
    columns = ["device", "threads", "", "median", "p90", "p99", "min", "spread", *against]
    if profile.baseline is None:
        rows = [[*row[:2], "", *row[3:]] for row in rows]
    title = f"Time of one run, {profile.settings.runs} runs after {profile.settings.warmup}"
    print_table(console, title, columns, rows, right=(1, 3, 4, 5, 6, 7, 8))
    for device in profile.devices:
        for measured in device.measurements:
            for what, timing in (("", measured.model), ("baseline, ", measured.baseline)):
                if timing is None:
                    continue
                said, threads = texts.no_result(timing), texts.threads(measured.threads)
                for reason in timing.reasons:
                    _note(console, f"{device.address}, {what}{threads}: {said}: {reason}")


def _times(
    device: DeviceResult, threads: int, what: str, timing: Timing, speedup: float | None
) -> list[str | Text]:
    found = timing.statistics
    spread = texts.share(timing.spread)
    head: list[str | Text] = [device.address, str(threads), what]
    if found is None:
        return [*head, Text(timing.verdict, "yellow"), "", "", "", spread, ""]
    figures = [texts.duration(ns) for ns in (found.median, found.p90, found.p99, found.min)]
    return [*head, Text(figures[0], "bold"), *figures[1:], spread, texts.times(speedup) if speedup else ""]


def _print_layers(console: Console, device: DeviceResult, profile: Profile) -> None:
    measured = device.measurements[0]
    layers = measured.model.layers
    if not layers:
        return
    quiet = measured.model.layers_verdict == "quiet"
    rows: list[list[str]] = []
    small = [
        layer for layer in layers if layer.share < SHOWN_SHARE and not layer.binary_macs + layer.float_macs
    ]
    for layer in layers:
        if layer in small:
            continue
        macs = f"{texts.count(layer.binary_macs)} 1-bit" if layer.binary_macs else ""
        macs = macs or (texts.count(layer.float_macs) if layer.float_macs else "")
        figures = ["", "", "", ""]
        if quiet:
            figures = [
                texts.duration(layer.median),
                texts.rate(layer.binary_rate) if layer.binary_rate else "",
                texts.share(layer.of_ceiling) if layer.of_ceiling else "",
                texts.times(layer.speedup) if layer.speedup else "",
            ]
        rows.append([layer.name, texts.share(layer.share), *figures, macs, ", ".join(layer.types)])
    if small:
        total = sum(layer.share for layer in small)
        time = texts.duration(sum(layer.median for layer in small)) if quiet else ""
        rows.append([f"{len(small)} smaller ones", texts.share(total), time, "", "", "", "", ""])
    heads = ["time", "1-bit MAC/s", "of peak", "against baseline"] if quiet else ["", "", "", ""]
    if not any(layer.speedup for layer in layers):
        heads[3] = ""
    elif profile.baseline is not None and profile.baseline.kind == "model":
        heads[3] = "against baseline"
    columns = ["layer", "share", *heads, "MACs", "operators"]
    title = f"Layers on {device.address}, {texts.threads(measured.threads)}, {texts.op_by_op(profile)}"
    if not quiet:
        title += f": {measured.model.layers_verdict}, shares only"
    print_table(console, title, columns, rows, right=(1, 2, 3, 4, 5, 6))
    if quiet and measured.ceiling is not None:
        _plain(console, _peak(measured))
    if texts.not_compared(profile, layers):
        _note(console, texts.not_compared(profile, layers))
    if quiet:
        for text in (texts.how_compared(profile, layers), texts.on_float_operators(profile)):
            if text:
                _plain(console, text)


def _peak(measured: Measurement) -> str:
    assert measured.ceiling is not None
    text = f"peak: {texts.rate(measured.ceiling)} 1-bit multiply-adds per core (xor, count, add from registers), measured there"
    return text if measured.threads == 1 else f"{text}; times {measured.threads} threads"


def _print_counts(console: Console, device: DeviceResult) -> None:
    found = device.counting
    assert found is not None
    title = f"Executed instructions on {device.address}, one run: no times ({found.emulator}, {found.cpu})"
    rows = [
        ("all", f"{found.instructions:,}", f"{found.smallest:,} to {found.largest:,} in {found.runs} runs"),
        ("vector", f"{found.vector:,}", ""),
        ("loads", f"{found.loads:,}", ""),
        ("stores", f"{found.stores:,}", ""),
        ("branches", f"{found.branches:,}", ""),
    ]
    print_table(console, title, ("", "", ""), rows, right=(1,))
    if device.static_model:
        static = [(row.kernel, row.cpu, f"{row.macs_per_cycle:.1f}", row.note) for row in device.static_model]
        columns = ("inner loop", "processor", "1-bit MAC/cycle", "")
        print_table(
            console, "Inner loops in a static model (llvm-mca): no measurement", columns, static, right=(2,)
        )


def print_changes(console: Console, changes: Sequence[Change], settings: Sequence[str]) -> None:
    """Prints what a comparison found: what changed, how much did not, and which settings are not the same."""
    styles = {"slower": "bold red", "faster": "green", "not compared": "yellow"}
    rows: list[list[str | Text]] = []
    for change in changes:
        if change.outcome == "same":
            continue
        ratio = "" if change.ratio is None else f"{change.ratio - 1:+.1%}".replace("%", " %")
        figures = [_figure(change, value) for value in (change.old, change.new, change.noise or None)]
        outcome = Text(change.outcome, styles.get(change.outcome, ""))
        rows.append(
            [change.device, str(change.threads), change.what, *figures, ratio, outcome, change.reason]
        )
    if rows:
        columns = ("device", "threads", "layer", "old", "new", "noise", "change", "", "")
        print_table(console, "Beyond noise", columns, rows, right=(1, 3, 4, 5, 6))
    same = sum(change.outcome == "same" for change in changes)
    _plain(console, f"{same} of {len(changes)} figures are the same within noise")
    for text in settings:
        _note(console, text)


def _figure(change: Change, value: float | None) -> str:
    if value is None:
        return ""
    return texts.duration(value) if change.unit == "ns" else f"{value:,.0f}"


def _plain(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, "dim"), soft_wrap=True)


def _note(console: Console, text: str, style: str = "yellow") -> None:
    console.print()
    console.print(Text(f"note: {text}", style), soft_wrap=True)
