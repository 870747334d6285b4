"""Figures from the rows of a layer: shares of the peak and ratios to the peers, compared with the goals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.layers import BenchLayer
from bench.measure import Row, best, named, ratio
from bench.peers import ours

_PEER_LAYERS = {"56x56x64", "28x28x128", "14x14x256", "7x7x512"}


@dataclass(frozen=True)
class Figures:
    """None is what was not timed.

    Attributes:
        naive_us: that the layer's multiply-accumulates would take at the peak.
        float_share: of the peak that the kernel with float output reaches.
        packed_share: likewise with packed output.
        float_share_calm: of the tenth-fastest rounds of both. Where the processor's core serves somebody else for most of a run, this
            is what the kernel does without.
        packed_share_calm: likewise with packed output.
        mac_per_cycle: of the kernel with float output.
        avx2_mac_per_cycle: likewise on AVX2.
        avx2_packed_mac_per_cycle: on AVX2 with packed output.
        packing_to_copy: time of packing the signs to that of copying the float input.
        over_lce: LCE's best mode to our kernel, float output.
        over_lce_packed: likewise, packed output.
        over_lce_with_packing: LCE's best mode to sign packing and our kernel together, float output.
        over_fp32: the best float32 convolution to our kernel with float output.
        over_int8: the best int8 convolution likewise.
        threads: one thread to two, float output.
        threads_packed: one thread to two, packed output.
    """

    naive_us: float | None = None
    float_share: float | None = None
    packed_share: float | None = None
    float_share_calm: float | None = None
    packed_share_calm: float | None = None
    mac_per_cycle: float | None = None
    avx2_mac_per_cycle: float | None = None
    avx2_packed_mac_per_cycle: float | None = None
    packing_to_copy: float | None = None
    over_lce: float | None = None
    over_lce_packed: float | None = None
    over_lce_with_packing: float | None = None
    over_fp32: float | None = None
    over_int8: float | None = None
    threads: float | None = None
    threads_packed: float | None = None


@dataclass(frozen=True)
class Goal:
    """A bound on a figure: what is measured, the bound, and the value found, None where it was not measured."""

    what: str
    bound: float
    value: float | None
    at_most: bool = False
    stretch: bool = False

    @property
    def met(self) -> bool | None:
        """None where nothing was measured."""
        if self.value is None:
            return None
        return self.value <= self.bound if self.at_most else self.value >= self.bound


def micros(row: Row | None) -> float | None:
    """The median of a row that was timed."""
    return row.timing.median if row is not None and row.timing is not None else None


def speed(row: Row | None, work: str = "macs", *, calm: bool = False) -> float | None:
    """Work per microsecond of a row, in the unit of its detail: in the median round, or in the round at the tenth percentile."""
    if row is None or row.timing is None:
        return None
    return float(row.detail[work] / (row.timing.p10 if calm else row.timing.median))


def figures(layer: BenchLayer, level: str, rows: Sequence[Row], pairs: Sequence[Row] = ()) -> Figures:
    """Computes the figures of one layer.

    Args:
        layer: its work.
        level: of our kernels.
        rows: timed in turn on one thread.
        pairs: the same kernels with one and with two threads, timed in turn.
    """
    real, bits = named(rows, ours.name("float", level)), named(rows, ours.name("packed", level))
    clock = speed(named(rows, ours.CLOCK), "cycles")
    naive, naive_calm = (speed(named(rows, ours.NAIVE), calm=calm) for calm in (False, True))
    packing = named(rows, ours.PACKING)
    lce = best(rows, "lce")
    both = None
    if (real_us := micros(real)) is not None and (packing_us := micros(packing)) is not None:
        both = real_us + packing_us
    lce_us = micros(lce)
    return Figures(
        naive_us=None if naive is None else layer.macs / naive,
        float_share=_over(speed(real), naive),
        packed_share=_over(speed(bits), naive),
        float_share_calm=_over(speed(real, calm=True), naive_calm),
        packed_share_calm=_over(speed(bits, calm=True), naive_calm),
        mac_per_cycle=_over(speed(real), clock),
        avx2_mac_per_cycle=_over(speed(named(rows, ours.name("float", "avx2"))), clock),
        avx2_packed_mac_per_cycle=_over(speed(named(rows, ours.name("packed", "avx2"))), clock),
        packing_to_copy=ratio(packing, named(rows, ours.COPY)),
        over_lce=ratio(lce, real),
        over_lce_packed=ratio(best(rows, "lce packed"), bits),
        over_lce_with_packing=_over(lce_us, both),
        over_fp32=ratio(best(rows, "fp32"), real),
        over_int8=ratio(best(rows, "int8"), real),
        threads=_scaling(pairs, "float", level),
        threads_packed=_scaling(pairs, "packed", level),
    )


def _over(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a / b


def _scaling(pairs: Sequence[Row], output: str, level: str) -> float | None:
    return ratio(named(pairs, ours.name(output, level)), named(pairs, ours.name(output, level, 2)))


def two_threads_pay(layer: BenchLayer) -> bool:
    """Whether two threads have to gain: layers with at least the work of 28x28x128."""
    return layer.macs >= BenchLayer(28, 128).macs


def goals(layer: BenchLayer, level: str, found: Figures) -> list[Goal]:
    """How fast a layer has to be. Shares of the peak hold where it is that of the level: AVX-512 with VPOPCNTDQ."""
    listed = []
    if level == "avx512" and layer.kernel == 3 and layer.stride == 1:
        listed += _share_goals(layer, found)
        if layer.name in _PEER_LAYERS:
            listed += [
                Goal("over LCE's best mode", 12, found.over_lce),
                Goal("over LCE's best mode, packed output", 12, found.over_lce_packed),
                Goal("over the best fp32 convolution", 18, found.over_fp32),
                Goal("over the best int8 convolution", 5, found.over_int8),
            ]
    if layer.name in _PEER_LAYERS:
        listed.append(Goal("AVX2, MAC per cycle", 170, found.avx2_mac_per_cycle))
        listed.append(Goal("AVX2, MAC per cycle, packed output", 170, found.avx2_packed_mac_per_cycle))
    listed.append(Goal("sign packing to a memory copy", 1.5, found.packing_to_copy, at_most=True))
    if two_threads_pay(layer):
        listed.append(Goal("two threads over one", 1.8, found.threads))
        listed.append(Goal("two threads over one, packed output", 1.8, found.threads_packed))
    return listed


def _share_goals(layer: BenchLayer, found: Figures) -> list[Goal]:
    real, bits = "of the ceiling, float output", "of the ceiling, packed output"
    if layer.channels < 32:
        return [Goal(real, 0.5, found.float_share), Goal(bits, 0.5, found.packed_share)]
    if layer.channels < 64:
        return [Goal(real, 0.75, found.float_share), Goal(bits, 0.75, found.packed_share)]
    listed = [Goal(real, 0.9, found.float_share), Goal(bits, 0.95, found.packed_share)]
    if layer.channels >= 128:
        listed.append(Goal(real, 1, found.float_share, stretch=True))
    if layer.channels >= 256:
        listed.append(Goal(bits, 1.08, found.packed_share, stretch=True))
    return listed
