"""The report to look at: one HTML file that loads nothing, for light and dark screens."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.measure.profile_report import charts, texts
from fdabnn_deploy.measure.profiles.judgement import MIN_RUNS, NOISE_BOUND
from fdabnn_deploy.measure.profiles.result import DeviceResult, Measurement, Profile
from fdabnn_deploy.system.files import write_whole

_TEMPLATES = Path(__file__).parent / "templates"


def check() -> ModuleType:
    """The package that fills templates; before something is measured for a report that cannot be written.

    Raises:
        RuntimeMissingError: it is not installed.
    """
    try:
        import jinja2
    except ModuleNotFoundError:
        raise RuntimeMissingError(
            "the HTML report needs jinja2: install it with  pip install 'fdabnn-deploy[profile]'"
        ) from None
    return jinja2


def render(profile: Profile) -> str:
    """The report as HTML.

    Raises:
        RuntimeMissingError: the package that fills templates is not installed.
    """
    jinja2 = check()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        duration=texts.duration, rate=texts.rate, share=texts.share, times=texts.times, count=texts.count
    )
    template = environment.get_template("report.html.j2")
    html: str = template.render(
        profile=profile,
        devices=[_device(device) for device in profile.devices],
        texts=texts,
        width=charts.WIDTH,
        bound=NOISE_BOUND,
        fewest=MIN_RUNS,
    )
    return html


def write_profile_html(profile: Profile, path: Path) -> None:
    """Writes the report; a reader sees the whole file or none.

    Raises:
        NotWrittenError: the file cannot be written.
        RuntimeMissingError: the package that fills templates is not installed.
    """
    write_whole(path, render(profile).encode())


def _device(device: DeviceResult) -> dict[str, Any]:
    return {
        "result": device,
        "facts": texts.facts(device),
        "threads": charts.thread_times(device.measurements),
        "runs": [_run(measured) for measured in device.measurements],
    }


def _run(measured: Measurement) -> dict[str, Any]:
    """One number of threads; charts of layers only where their times are a result."""
    layers = measured.model.layers
    quiet = bool(layers) and measured.model.layers_verdict == "quiet"
    return {
        "measured": measured,
        "samples": charts.runs(measured.model),
        "quiet": quiet,
        "times": charts.layer_times(layers) if quiet else None,
        "peak_shares": charts.peak_shares(layers) if quiet else None,
        "speedups": charts.speedups(layers) if quiet else None,
    }
