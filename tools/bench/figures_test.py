from __future__ import annotations

from dataclasses import replace

import pytest

from bench.figures import Figures, Goal, figures, goals, two_threads_pay
from bench.layers import LAYERS, BenchLayer
from bench.measure import Row, Timing
from bench.peers import ours

LAYER = BenchLayer(28, 128)


def row(name: str, group: str, median: float | None, **detail: float) -> Row:
    timed = None if median is None else Timing(median, median, median, median, 1, 1)
    return Row(name, group, timed, "", dict(detail))


ROWS = [
    row(ours.CLOCK, "clock", 0.5, cycles=1000),  # 2000 cycles in a microsecond
    row(ours.NAIVE, "ceiling", 0.01, macs=6144),
    row(ours.PACKING, "packing", 12),
    row(ours.COPY, "copy", 10),
    row(ours.name("float", "avx512"), "ours", 200, macs=LAYER.macs),
    row(ours.name("packed", "avx512"), "ours", 190, macs=LAYER.macs),
    row(ours.name("float", "avx2"), "ours", 400, macs=LAYER.macs),
    row("LCE default, float", "lce", 9000),
    row("LCE indirect, float", "lce", 3000),
    row("LCE indirect, packed", "lce packed", 2850),
    row("slow fp32", "fp32", 5000),
    row("fast fp32", "fp32", 4000),
    row("unequal int8", "int8", None),
]


def test_figures_are_ratios_of_medians() -> None:
    pairs = [
        row(ours.name("float", "avx512"), "ours", 210),
        row(ours.name("float", "avx512", 2), "ours", 105),
    ]
    found = figures(LAYER, "avx512", ROWS, pairs)
    peak = 6144 / 0.01
    assert found.naive_us == pytest.approx(LAYER.macs / peak)
    assert found.float_share == pytest.approx(LAYER.macs / 200 / peak)
    assert found.packed_share == pytest.approx(LAYER.macs / 190 / peak)
    assert found.mac_per_cycle == pytest.approx(LAYER.macs / 200 / 2000)
    assert found.avx2_mac_per_cycle == pytest.approx(LAYER.macs / 400 / 2000)
    assert found.avx2_packed_mac_per_cycle is None
    assert found.packing_to_copy == pytest.approx(1.2)
    assert found.over_lce == pytest.approx(15)
    assert found.over_lce_packed == pytest.approx(15)
    assert found.over_lce_with_packing == pytest.approx(3000 / 212)
    assert found.over_fp32 == pytest.approx(20)
    assert found.over_int8 is None
    assert found.threads == pytest.approx(2)
    assert found.threads_packed is None


def test_nothing_timed_gives_no_figures() -> None:
    assert figures(LAYER, "avx512", []) == Figures()


def test_bounds_hold_at_equality() -> None:
    assert Goal("x", 2, 2).met
    assert not Goal("x", 2, 1.99).met
    assert Goal("x", 2, 2, at_most=True).met
    assert not Goal("x", 2, 2.01, at_most=True).met
    assert Goal("x", 2, None).met is None


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (BenchLayer(56, 64), {(0.9, False), (0.95, False)}),
        (BenchLayer(28, 128), {(0.9, False), (0.95, False), (1, True)}),
        (BenchLayer(7, 512), {(0.9, False), (0.95, False), (1, True), (1.08, True)}),
        (BenchLayer(32, 32), {(0.75, False)}),
        (BenchLayer(32, 16), {(0.5, False)}),
        (BenchLayer(28, 128, stride=2), set()),
    ],
)
def test_shares_of_the_peak_depend_on_the_channels(
    layer: BenchLayer, expected: set[tuple[float, bool]]
) -> None:
    listed = goals(layer, "avx512", Figures())
    assert {(goal.bound, goal.stretch) for goal in listed if "ceiling" in goal.what} == expected
    assert not [goal for goal in goals(layer, "avx2", Figures()) if "ceiling" in goal.what]


def test_a_figure_that_is_too_low_misses_its_goal() -> None:
    found = figures(LAYER, "avx512", ROWS)
    missed = {
        goal.what for goal in goals(LAYER, "avx512", replace(found, over_fp32=17.9)) if goal.met is False
    }
    assert "over the best fp32 convolution" in missed
    assert "over LCE's best mode" not in missed


def test_two_threads_are_for_large_layers() -> None:
    assert [layer.name for layer in LAYERS if two_threads_pay(layer)] == [
        *("56x56x64", "28x28x128", "14x14x256", "7x7x512")
    ]
