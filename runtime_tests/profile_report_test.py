"""The HTML report of a real profile, opened in headless Chromium."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import fdabnn_deploy
from fdabnn_deploy.conformance import network
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.measure.profile_report import texts
from fdabnn_deploy.measure.profile_report.html import render
from fdabnn_deploy.measure.profiles import judgement
from fdabnn_deploy.measure.profiles.result import Counting, Profile, StaticRow
from fdabnn_deploy.system.programs_testing import CHROMIUM, wanted
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.installed import find_converter

pytestmark = pytest.mark.programs

SIZE = (1100, 2400)


class Dom(HTMLParser):
    """The texts of a page by the tags that they stand in, and its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.counts: dict[str, int] = {}
        self.addresses: list[str] = []
        self._hidden = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self._hidden += tag in {"style", "script"}
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "data"}]

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in {"style", "script"}

    def handle_data(self, data: str) -> None:
        if data.strip() and not self._hidden:
            self.texts.append(" ".join(data.split()))


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    """Measured; every run is quiet, for what the page shows must not depend on the machine's other business."""
    path = tmp_path_factory.mktemp("report") / "net<work>.tflite"
    info = ModelInfo("network", (3, 9, 9))
    find_converter("tflite").convert(network(), info, path, ConvertOptions())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judgement, "NOISE_BOUND", 1e6)
        found = fdabnn_deploy.profile(path, threads=(1, 2), runs=30, baseline=path)
    device = found.devices[0]
    counting = Counting(123_456_789, 1000, 2000, 3000, 4000, 5, 123_456_700, 123_456_800, "qemu 7", "a72")
    static = (StaticRow("bconv_neon", "cortex-a72", 84.5, "bound by the vector pipes"),)
    emulated = dataclasses.replace(
        device, address="qemu-aarch64", measurements=(), counting=counting, static_model=static
    )
    return dataclasses.replace(found, devices=(device, emulated))


@pytest.fixture(scope="module")
def chromium() -> str:
    """The browser; skips where there is none, which CI must not."""
    return wanted(CHROMIUM)


def browse(chromium: str, folder: Path, page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        *(chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
        *("--enable-logging=stderr", "--log-level=0", f"--user-data-dir={folder / 'browser'}"),
        # Nothing may be fetched, and nothing is needed.
        *("--host-resolver-rules=MAP * ~NOTFOUND", f"--window-size={SIZE[0]},{SIZE[1]}"),
        *options,
        page.as_uri(),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=180)


def test_the_page_holds_the_runs_numbers(profile: Profile, chromium: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    fdabnn_deploy.write_profile_html(profile, page)
    done = browse(chromium, tmp_path, page, "--dump-dom")
    assert "CONSOLE" not in done.stderr
    dom = Dom(done.stdout)
    said = "\n".join(dom.texts)
    assert dom.addresses == []
    assert "script" not in dom.counts
    assert profile.model.name == "net<work>.tflite"
    assert profile.model.name in dom.texts
    assert profile.model.sha256 in said
    device = profile.devices[0]
    assert device.facts is not None
    assert f"{device.facts['cpu']}, {device.facts['cores']} cores" in dom.texts
    for measured in device.measurements:
        for timing in (measured.model, measured.baseline):
            assert timing is not None
            assert timing.statistics is not None
            for ns in (timing.statistics.median, timing.statistics.p90, timing.statistics.p99):
                assert texts.duration(ns) in dom.texts
        for layer in measured.model.layers:
            assert layer.name in dom.texts
            assert texts.duration(layer.median) in dom.texts
            assert texts.share(layer.share) in dom.texts
            assert f"{texts.duration(layer.median)}, {texts.share(layer.share)}" in dom.texts
            if layer.binary_rate:
                assert texts.rate(layer.binary_rate) in dom.texts
    layers = [layer for each in device.measurements for layer in each.model.layers]
    peaks = sum(layer.of_ceiling is not None for layer in layers)
    # A bar per layer for its time and against the baseline, the shares of the peak, the numbers of threads; two bands.
    assert peaks > 0
    compared = sum(layer.speedup is not None for layer in layers)
    assert compared == len(layers)
    assert dom.counts["rect"] == len(layers) + compared + peaks + 4 + 2
    assert dom.counts["circle"] == 2 * 30
    # By threads; of each number of them: runs, times, shares of the peak, baseline.
    assert dom.counts["svg"] == 1 + 2 * 4
    assert "123,456,789" in dom.texts
    assert "84.5" in dom.texts
    assert any("no times" in text for text in dom.texts)
    assert any("no measurement" in text for text in dom.texts)


def test_the_page_is_light_and_dark(profile: Profile, chromium: str, tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    from PIL import Image

    page = tmp_path / "report.html"
    fdabnn_deploy.write_profile_html(profile, page)
    grounds = {}
    for name, scheme in (("dark", "0"), ("light", "1")):
        screenshot = tmp_path / f"{name}.png"
        options = (f"--screenshot={screenshot}", f"--blink-settings=preferredColorScheme={scheme}")
        browse(chromium, tmp_path, page, *options)
        with Image.open(screenshot) as image:
            assert image.size == SIZE
            pixels = np.asarray(image.convert("L"))
            assert pixels.std() > 5
            grounds[name] = float(np.median(pixels))
    assert grounds["dark"] < 60
    assert grounds["light"] > 220


def test_the_page_loads_nothing_and_escapes_names(profile: Profile) -> None:
    html = render(profile)
    assert "net&lt;work&gt;.tflite" in html
    assert "net<work>" not in html
    assert re.findall(r"(?:https?:)?//[a-z]", html) == []
    assert re.findall(r"url\(|@import|<script|<link|<img", html) == []
