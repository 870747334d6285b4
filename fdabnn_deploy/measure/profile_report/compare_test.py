from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from fdabnn_deploy.cli import profile as cli
from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.measure.profile_report.compare import WHOLE, compare_profiles, other_settings
from fdabnn_deploy.measure.profiles.judgement import judge
from fdabnn_deploy.measure.profiles.layer_times import Executed, table
from fdabnn_deploy.measure.profiles.operators import Operator
from fdabnn_deploy.measure.profiles.result import (
    Counting,
    DeviceResult,
    Measurement,
    ModelFile,
    Profile,
    Settings,
    Timing,
)
from fdabnn_deploy.measure.statistics import summarise

SETTINGS = Settings((1,), 41, 1, "0", True)
LAYERS = {"a": 20_000, "b": 50_000, "c": 1_000}


def samples(ns: int, spread: float = 0.02) -> tuple[int, ...]:
    """41 times around a median; the quartiles are `spread` times it apart."""
    return tuple(round(ns * (1 + spread * (i - 20) / 20)) for i in range(41))


def timing(layers: dict[str, int], spread: float, throttled: str = "0x0") -> Timing:
    operators = [Operator(name, name, "Conv", name, macs=1, binary=True) for name in layers]
    ran = [Executed("Conv", (i,), samples(ns, spread)) for i, ns in enumerate(layers.values())]
    whole = samples(sum(layers.values()), spread)
    state = {"throttled": {"flags": throttled, "source": "raspberrypi"}}
    found = judge(whole, state, state)
    statistics = summarise(whole)
    return Timing(
        verdict=found.verdict,
        reasons=found.reasons,
        statistics=statistics if found.verdict == "quiet" else None,
        spread=statistics.spread,
        samples=whole,
        attempts=1,
        state={"before": state, "after": state},
        peak_bytes=None,
        layers_verdict=found.verdict,
        layers=table(ran, operators, 1e12, 1),
    )


def write(
    path: Path,
    model: Timing | None,
    cpu: str = "Cortex-A76",
    instructions: int | None = None,
    *,
    core: str = "cortex-a72",
    settings: Settings = SETTINGS,
    runtime: dict[str, str] | None = None,
) -> Path:
    counting = None
    if instructions is not None:
        counting = Counting(instructions, 1, 1, 1, 1, 3, instructions, instructions, "qemu", core)
    facts = {"cpu": cpu, "cores": 4, "machine": "aarch64", "bits": 64, "kernel": "Linux 6.6"}
    measured = () if model is None else (Measurement(1, (0,), 1e12, model, None),)
    device = DeviceResult("ssh://pi@pi5", facts, runtime or {}, None, measured, counting)
    file = ModelFile("net.tflite", "0" * 64, 1, "model", "", 3, 0)
    Profile("2026-01-01", file, None, settings, (device,)).write_json(path)
    return path


def outcomes(old: Path, new: Path) -> dict[str, str]:
    return {change.what: change.outcome for change in compare_profiles(old, new)}


def test_a_slow_layer_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = write(tmp_path / "old.json", timing(LAYERS, 0.02))
    new = write(tmp_path / "new.json", timing({**LAYERS, "b": 60_000}, 0.02))
    assert outcomes(old, new) == {WHOLE: "slower", "a": "same", "b": "slower", "c": "same"}
    assert cli.main(["--compare", str(old), str(new)]) == 5
    found = capsys.readouterr()
    assert found.err == f"fdabnn-profile: slower than in {old}: {WHOLE}, b\n"
    assert "+20.0 %" in found.out
    assert cli.main(["--compare", str(new), str(old)]) == 0
    assert "faster" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("b", "spread", "outcome"),
    [
        (53_900, 0.001, "same"),  # 7.8 %
        (54_100, 0.001, "slower"),  # 8.2 %
        (55_000, 0.10, "same"),  # 10 % where the quartiles of both are 10 % apart
        (58_000, 0.10, "slower"),
    ],
)
def test_the_rule(tmp_path: Path, b: int, spread: float, outcome: str) -> None:
    old = write(tmp_path / "old.json", timing(LAYERS, spread))
    new = write(tmp_path / "new.json", timing({**LAYERS, "b": b}, spread))
    assert outcomes(old, new)["b"] == outcome
    # 50 000 of 71 000: the whole is compared by a share of its own.
    if spread == 0.001:
        assert outcomes(old, new)[WHOLE] == "slower"


def test_what_a_timer_can_be_off_is_no_change(tmp_path: Path) -> None:
    old = write(tmp_path / "old.json", timing({**LAYERS, "c": 1_000}, 0.001))
    assert outcomes(old, write(tmp_path / "a.json", timing({**LAYERS, "c": 1_190}, 0.001)))["c"] == "same"
    assert outcomes(old, write(tmp_path / "b.json", timing({**LAYERS, "c": 1_210}, 0.001)))["c"] == "slower"


def test_noisy_and_throttled_runs(tmp_path: Path) -> None:
    quiet = write(tmp_path / "quiet.json", timing(LAYERS, 0.01))
    noisy = write(tmp_path / "noisy.json", timing({**LAYERS, "b": 500_000}, 0.2))
    assert outcomes(quiet, noisy) == {WHOLE: "not compared", "a": "same", "b": "slower", "c": "same"}
    hot = write(tmp_path / "hot.json", timing({**LAYERS, "b": 500_000}, 0.01, throttled="0x4"))
    with pytest.raises(UsageError, match="cannot be compared: the processor was throttled in the new run"):
        compare_profiles(quiet, hot)


def test_layers_that_come_and_go(tmp_path: Path) -> None:
    old = write(tmp_path / "old.json", timing({"a": 1000, "b": 1000}, 0.01))
    new = write(tmp_path / "new.json", timing({"a": 1000, "d": 1000}, 0.01))
    assert outcomes(old, new) == {WHOLE: "same", "a": "same", "b": "gone", "d": "new"}


def test_counts_have_a_bound_of_their_own(tmp_path: Path) -> None:
    old = write(tmp_path / "old.json", None, instructions=1_000_000)
    more = write(tmp_path / "more.json", None, instructions=1_021_000)
    assert outcomes(old, write(tmp_path / "same.json", None, instructions=1_019_000)) == {WHOLE: "same"}
    (change,) = compare_profiles(old, more)
    assert (change.outcome, change.unit) == ("slower", "instructions")


def test_another_processor_is_refused(tmp_path: Path) -> None:
    old = write(tmp_path / "old.json", timing(LAYERS, 0.01))
    new = write(tmp_path / "new.json", timing(LAYERS, 0.01), cpu="Cortex-A72")
    with pytest.raises(UsageError, match="was Cortex-A76 and is now Cortex-A72"):
        compare_profiles(old, new)


def test_counts_of_another_emulated_processor_are_refused(tmp_path: Path) -> None:
    old = write(tmp_path / "old.json", None, instructions=1_000_000)
    new = write(tmp_path / "new.json", None, instructions=1_000_000, core="neoverse-n1")
    with pytest.raises(UsageError, match=r"showed cortex-a72 and now shows neoverse-n1 \(QEMU_CPU\)"):
        compare_profiles(old, new)


def test_counts_belong_to_a_number_of_threads(tmp_path: Path) -> None:
    two, four = (dataclasses.replace(SETTINGS, threads=(threads, 1)) for threads in (2, 4))
    old = write(tmp_path / "old.json", None, instructions=1_000_000, settings=two)
    (change,) = compare_profiles(old, old)
    assert change.threads == 2
    new = write(tmp_path / "new.json", None, instructions=1_000_000, settings=four)
    with pytest.raises(UsageError, match=r"\(2 threads\) and .* \(4 threads\)"):
        compare_profiles(old, new)


def test_other_settings_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    was, now = {"version": "2.2.0", "kernels": "neon"}, {"version": "2.3.0", "kernels": "dotprod"}
    old = write(tmp_path / "old.json", timing(LAYERS, 0.01), runtime=was)
    settings = dataclasses.replace(SETTINGS, cpus="", xnnpack=False, runs=50)
    new = write(tmp_path / "new.json", timing(LAYERS, 0.01), runtime=now, settings=settings)
    assert other_settings(old, old) == ()
    assert other_settings(old, new) == (
        "--cpus was 0 and is now none",
        "--xnnpack was on and is now off",
        "ssh://pi@pi5: the level of the kernels was neon and is now dotprod",
        "ssh://pi@pi5: the runtime's version was 2.2.0 and is now 2.3.0",
    )
    assert cli.main(["--compare", str(old), str(new)]) == 0
    said = capsys.readouterr().out
    assert all(f"note: {text}" in said for text in other_settings(old, new))


def test_few_runs_are_not_compared(tmp_path: Path) -> None:
    old = write(tmp_path / "old.json", timing(LAYERS, 0.01))
    few = timing(LAYERS, 0.01)
    new = write(tmp_path / "new.json", dataclasses.replace(few, samples=few.samples[:9]))
    with pytest.raises(UsageError, match="too few runs in the new profile: set --runs to 10 or more"):
        compare_profiles(old, new)


def test_nothing_in_common_is_refused(tmp_path: Path) -> None:
    old = write(tmp_path / "old.json", timing(LAYERS, 0.01))
    new = write(tmp_path / "new.json", None)
    with pytest.raises(UsageError, match=r"they hold ssh://pi@pi5 \(1 thread\) and none"):
        compare_profiles(old, new)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    good = write(tmp_path / "good.json", timing(LAYERS, 0.01))
    content = json.loads(good.read_text())

    def damaged(change: Any) -> bytes:
        copied = copy.deepcopy(content)
        change(copied)
        return json.dumps(copied).encode()

    def drop_samples(one: Any) -> None:
        del one["devices"][0]["measurements"][0]["model"]["layers"][1]["samples"]

    def no_samples(one: Any) -> None:
        one["devices"][0]["measurements"][0]["model"]["samples"] = []

    bad = [
        b"",
        b"{",
        b"[]",
        b"[" * 100_000,
        b"\xff",
        b'{"schema": "fdabnn-profile"}',
        good.read_bytes()[:-100],
        damaged(lambda one: one.update(version=2)),
        damaged(lambda one: one.update(devices=None)),
        damaged(drop_samples),
        damaged(no_samples),
    ]
    for i, data in enumerate(bad):
        path = tmp_path / f"bad{i}.json"
        path.write_bytes(data)
        with pytest.raises(ModelRefusedError, match=f"bad{i}.json"):
            compare_profiles(good, path)
    with pytest.raises(UsageError, match="there is no file"):
        compare_profiles(good, tmp_path / "none.json")
    with pytest.raises(UsageError, match="may never end"):
        compare_profiles(good, Path("/dev/zero"))
    assert cli.main(["net.tflite", "--compare", str(good), str(good)]) == 2
