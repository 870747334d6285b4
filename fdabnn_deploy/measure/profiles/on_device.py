"""One device from connection to result: push, self-test, measure, clean up."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fdabnn_deploy.errors import FdabnnError, ParityError
from fdabnn_deploy.measure.devices import libraries
from fdabnn_deploy.measure.devices.device import Device, Tell
from fdabnn_deploy.measure.devices.libraries import Libraries
from fdabnn_deploy.measure.devices.local import QemuDevice
from fdabnn_deploy.measure.profiles import emulated, runner
from fdabnn_deploy.measure.profiles import layer_baseline as baselines
from fdabnn_deploy.measure.profiles.judgement import Judgement, judge
from fdabnn_deploy.measure.profiles.layer_baseline import Alone, Baseline
from fdabnn_deploy.measure.profiles.layer_times import Executed, LayerTime, executed, table
from fdabnn_deploy.measure.profiles.operators import Operator
from fdabnn_deploy.measure.profiles.result import DeviceResult, Measurement, Selftest, StaticRow, Timing
from fdabnn_deploy.measure.profiles.runner import Measuring, Placed
from fdabnn_deploy.measure.statistics import summarise
from fdabnn_deploy.verify.capsule import read_capsule

ATTEMPTS = 3
"""So often a run that is not quiet is measured; the first quiet one counts, else the one with the smallest spread."""


@dataclass(frozen=True)
class Job:
    """The measurements to make on every device.

    Attributes:
        model: the file.
        operators: of it.
        capsule: for the self-test, and the inputs that are measured with.
        baseline: to compare with, or None.
        baseline_capsule: the inputs of the baseline.
        how: to measure, but for the threads.
        threads: numbers of them.
        clean: whether the device keeps no files.
        compare: whether a baseline was asked for; none is made where all devices are emulated.
        ignore_checksum: whether an ONNX file may have changed since it was exported.
    """

    model: Path
    operators: tuple[Operator, ...]
    capsule: Path
    baseline: Baseline | None
    baseline_capsule: Path | None
    how: Measuring
    threads: tuple[int, ...]
    clean: bool
    compare: bool
    ignore_checksum: bool = False


def run(device: Device, job: Job, tell: Tell) -> DeviceResult:
    """Does the job.

    Raises:
        FdabnnError: the device cannot do it, or its self-test failed.
    """
    machine = device.machine()
    found = libraries.find(machine, job.model.suffix.lower(), tell)
    try:
        result = _with(device, job, found, tell)
    except FdabnnError:
        # What went wrong is what the user wants to know, not that a connection that was cut cannot clean up.
        with contextlib.suppress(FdabnnError):
            if job.clean:
                device.clean()
        raise
    if job.clean:
        device.clean()
    return result


def _with(device: Device, job: Job, found: Libraries, tell: Tell) -> DeviceResult:
    timed = not isinstance(device, QemuDevice)
    baseline = job.baseline if timed else None
    alone = baseline.alone if baseline is not None and job.how.xnnpack else ()
    files = [*found.files, job.model, job.capsule]
    if baseline is not None:
        files += [baseline.path, *(path for each in alone for path in (each.model, each.baseline))]
    if job.baseline_capsule is not None and timed:
        files.append(job.baseline_capsule)
    places = dict(zip(files, device.place(files, tell), strict=True))
    paths = (places[path] for path in (*found.files, job.model))
    placed = Placed(*paths, ignore_checksum=job.ignore_checksum)
    tell("self-test")
    answer = runner.selftest(device, placed, places[job.capsule])
    facts, runtime = answer["device"], answer["runtime"]
    runtime = {**runtime, "version": runtime.get("version") or found.version}
    selftest = _selftest(answer, job.capsule)
    if selftest.judged and not selftest.passed:
        raise ParityError(
            f"{device.address.text}: the self-test failed, nothing was measured: {_difference(selftest)}"
        )
    if isinstance(device, QemuDevice):
        tell("counting instructions")
        counting = emulated.count(device, placed, places[job.capsule], job.threads[0])
        rows, notes = _static(found.delegate)
        if job.compare:
            notes = (*notes, "the baseline is left out: an emulator tells no times that could be compared")
        return DeviceResult(device.address.text, facts, runtime, selftest, (), counting, rows, notes)
    hand = _Measurer(device, placed, places, job, tell)
    measured = tuple(hand.measure(replace(job.how, threads=threads)) for threads in job.threads)
    return DeviceResult(device.address.text, facts, runtime, selftest, measured)


@dataclass(frozen=True)
class _Measurer:
    """Measures with any number of threads what a device has and has passed its self-test with."""

    device: Device
    placed: Placed
    places: Mapping[Path, str]
    job: Job
    tell: Tell

    def measure(self, how: Measuring) -> Measurement:
        job = self.job
        threads = f"{how.threads} thread{'s' if how.threads > 1 else ''}"
        self.tell(f"measuring the model with {threads}")
        timing, ran, answer = self._quietest(job.model, job.capsule, job.operators, how)
        other = None
        if job.baseline is not None:
            self.tell(f"measuring the baseline with {threads}")
            capsule = job.baseline_capsule or job.capsule
            other, others, _ = self._quietest(job.baseline.path, capsule, job.baseline.operators, how)
            quiet = timing.layers_verdict == other.layers_verdict == "quiet"
            layers = baselines.compared(timing.layers, ran, others, job.baseline, quiet=quiet)
            if how.xnnpack:
                layers = self._alone(layers, job.baseline.alone, how)
            timing = replace(timing, layers=layers)
        cpus = answer["settings"].get("cpus")
        pinned = None if cpus is None else tuple(cpus)
        return Measurement(how.threads, pinned, _peak(answer), timing, other)

    def _alone(
        self, layers: Sequence[LayerTime], files: Sequence[Alone], how: Measuring
    ) -> tuple[LayerTime, ...]:
        """The table with the times of those layers and their baselines that can be measured alone, where both were quiet."""
        known = {each.layer: each for each in files}
        how = replace(how, per_op=False)
        found = []
        for layer in layers:
            pair = known.get(layer.name)
            if pair is None:
                found.append(layer)
                continue
            self.tell(f"measuring {layer.name} and its baseline alone")
            mine, theirs = (
                self._quietest(path, None, (), how)[0].statistics for path in (pair.model, pair.baseline)
            )
            if mine is None or theirs is None:
                found.append(
                    replace(layer, compared=None, baseline=None, compared_in="", not_compared="not quiet")
                )
            else:
                found.append(
                    replace(
                        layer,
                        compared=mine.median,
                        baseline=theirs.median,
                        compared_in="files of their own",
                        not_compared="",
                    )
                )
        return tuple(found)

    def _quietest(
        self, model: Path, capsule: Path | None, operators: Sequence[Operator], how: Measuring
    ) -> tuple[Timing, tuple[Executed, ...], dict[str, Any]]:
        """The first quiet run of `ATTEMPTS`, else the one that spread least; what it executed; and the runner's answer."""
        placed = replace(self.placed, model=self.places[model])
        inputs = None if capsule is None else self.places[capsule]
        best = None
        for attempt in range(1, ATTEMPTS + 1):
            if attempt > 1:
                self.tell(f"noisy, once more ({attempt} of {ATTEMPTS})")
            answer = runner.measure(self.device, placed, inputs, how)
            timing, ran = _timing(answer, operators, how.threads, attempt)
            if best is None or _rank(timing) < _rank(best[0]):
                best = timing, ran, answer
            if _rank(timing)[:2] == (False, False) or timing.verdict == "too few runs":
                break
        assert best is not None
        return replace(best[0], attempts=attempt), best[1], best[2]


def _static(library: Path) -> tuple[tuple[StaticRow, ...], tuple[str, ...]]:
    """The static model's rows, or why there are none: what runs does not depend on it."""
    try:
        return emulated.static_rows(library), ()
    except FdabnnError as error:
        return (), (f"no static model of the inner loops: {error}",)


def _rank(timing: Timing) -> tuple[bool, bool, float]:
    return timing.verdict != "quiet", timing.layers_verdict != "quiet", timing.spread


def _timing(
    answer: dict[str, Any], operators: Sequence[Operator], threads: int, attempts: int
) -> tuple[Timing, tuple[Executed, ...]]:
    samples = tuple(int(ns) for ns in answer["latency"]["samples"])
    state = answer["state"]
    judgement = judge(samples, state["before"], state["after"])
    statistics = summarise(samples)
    ran: tuple[Executed, ...] = ()
    layers_judgement = Judgement("quiet")
    if answer.get("ops"):
        ran = executed(answer["ops"], operators)
        layers_judgement = judge(answer["ops_latency"]["samples"], state["before"], state["after"])
    timing = Timing(
        verdict=judgement.verdict,
        reasons=judgement.reasons,
        statistics=statistics if judgement.verdict == "quiet" else None,
        spread=statistics.spread,
        samples=samples,
        attempts=attempts,
        state=state,
        peak_bytes=(answer.get("memory") or {}).get("peak_bytes"),
        layers_verdict=layers_judgement.verdict,
        layers=table(ran, operators, _peak(answer), threads) if ran else (),
    )
    return timing, ran


def _peak(answer: dict[str, Any]) -> float | None:
    peak = answer.get("ceiling")
    return None if peak is None else float(peak["binary_macs_per_second"])


def _selftest(answer: dict[str, Any], capsule: Path) -> Selftest:
    found = answer["selftest"]
    return Selftest(
        inputs=int(found["inputs"]),
        passed=bool(found["passed"]),
        judged=read_capsule(capsule).exact,
        packed=int(found.get("packed_tensors_checked") or 0),
        difference=found.get("first_difference"),
    )


def _difference(selftest: Selftest) -> str:
    found = selftest.difference
    if not found:
        return "it gave no difference: run fdabnn-runner --selftest there"
    expected, got = (
        found.get(f"{side}_bits") if found.get(side) is None else found[side]
        for side in ("expected", "found")
    )
    index = f", index {found['index']}" if found.get("index") else ""
    return (
        f"input {found.get('input')}, tensor {found.get('tensor')}{index}: expected {expected}, found {got}"
    )
