from __future__ import annotations

from typing import Any

import pytest

from bench.training import training
from bench.training.training import multiplications, ratios, run, settings


def test_settings_of_one_and_two_processors() -> None:
    assert {(s.ranks, s.threads) for s in settings(1)} == {(1, 1)}
    assert {(s.ranks, s.threads) for s in settings(2)} == {(1, 2), (2, 1)}
    assert len({s.name for s in settings(2)}) == 8


def test_multiplications_of_resnet20() -> None:
    # The stem, 18 binary convolutions by their shapes, and the linear layer; no noise module is counted in evaluation.
    stem, head = 27 * 16 * 1024, 640
    stages = [6 * 144 * 16 * 1024, 144 * 32 * 256 + 5 * 288 * 32 * 256, 288 * 64 * 64 + 5 * 576 * 64 * 64]
    assert multiplications("resnet20") >= stem + head + sum(stages)
    assert multiplications("resnet20") < 1.1 * (stem + head + sum(stages))


def test_ratio_is_best_over_best_in_each_round() -> None:
    def row(form: str, samples: list[float]) -> dict[str, Any]:
        return {"form": form, "samples": samples, "processor_samples": samples}

    rows = [
        row("compiled", [1, 2, 4]),
        row("compiled", [2, 1, 1]),
        row("fused", [4, 4, 4]),
        row("fused", [1, 1, 9]),
    ]
    assert ratios(rows)["samples"] == 2.0


def test_a_setting_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    fused = [setting for setting in settings(1) if setting.form == "fused" and not setting.amp]
    monkeypatch.setattr(training, "settings", lambda cpus: fused)
    (row,) = run("resnet20", 4, rounds=2, steps=1, cpus=1)
    assert row["images_per_second"] > 0
    assert row["share_of_peak"] > 0
