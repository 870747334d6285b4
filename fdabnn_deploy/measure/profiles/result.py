"""A profile: what was measured on which device, with everything that the figures depend on.

docs/profile-json.md describes the JSON form; `schemas/profile.schema.json` is its schema. A new key raises nothing; a changed or removed
one raises `SCHEMA_VERSION`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from fdabnn_deploy.errors import FdabnnError
from fdabnn_deploy.measure.profiles.judgement import NOISE_BOUND, Verdict
from fdabnn_deploy.measure.profiles.layer_times import LayerTime
from fdabnn_deploy.measure.statistics import Statistics, ratio
from fdabnn_deploy.system.json_file import write_json

SCHEMA, SCHEMA_VERSION = "fdabnn-profile", 1
SCHEMA_FILE = Path(__file__).parents[2] / "schemas" / "profile.schema.json"


@dataclass(frozen=True)
class ModelFile:
    """A file that was measured.

    Attributes:
        name: of the file.
        sha256: of it.
        bytes: of it.
        kind: `model`, or of a baseline: `fp32`, `int8` or `model`.
        note: what a baseline is, in a sentence.
        binary_macs: 1-bit multiply-adds for one image.
        float_macs: the others.
        allowed_change: what `fdabnn-export --allow-change` accepted of the file, empty where nothing.
        fidelity: what a file of `--fidelity accuracy` says of itself, empty for others.
    """

    name: str
    sha256: str
    bytes: int
    kind: Literal["model", "fp32", "int8"]
    note: str
    binary_macs: int
    float_macs: int
    allowed_change: str = ""
    fidelity: str = ""


@dataclass(frozen=True)
class Settings:
    """How everything was measured; see `fdabnn_deploy.measure.profiles.runner.Measuring`."""

    threads: tuple[int, ...]
    runs: int
    warmup: int
    cpus: str
    xnnpack: bool


@dataclass(frozen=True)
class Selftest:
    """A capsule replayed on the device before anything was measured.

    Attributes:
        inputs: that were computed.
        passed: whether all bits are those of the capsule.
        judged: whether they have to be: a model with float numerics promises no bits across machines.
        packed: packed tensors whose hash was compared.
        difference: the first, as the runner reports it (docs/runner.md), or None.
    """

    inputs: int
    passed: bool
    judged: bool
    packed: int
    difference: dict[str, Any] | None


@dataclass(frozen=True)
class Timing:
    """The times of one file with one number of threads.

    Attributes:
        verdict: `quiet`, or why they are no result.
        reasons: of another verdict, in words.
        statistics: None unless quiet.
        spread: `(p90 - p10) / median` of the samples, whatever the verdict.
        samples: ns of every run.
        attempts: how often it was measured until it was quiet, or given up.
        state: of the device before and after, as the runner reports it.
        peak_bytes: the most memory that the runner took.
        layers_verdict: of the runs in which each operator was timed, which are others.
        layers: the table; empty where operators were not timed.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    statistics: Statistics | None
    spread: float
    samples: tuple[int, ...]
    attempts: int
    state: dict[str, Any]
    peak_bytes: int | None
    layers_verdict: Verdict
    layers: tuple[LayerTime, ...]


@dataclass(frozen=True)
class Measurement:
    """One number of threads on one device.

    Attributes:
        threads: that the runtime computed with.
        cpus: that they were pinned to, None for none in particular.
        ceiling: the peak of one core in binary multiply-adds per second, None where it was not measured.
        model: the times of the model.
        baseline: those of the baseline, None without one.
    """

    threads: int
    cpus: tuple[int, ...] | None
    ceiling: float | None
    model: Timing
    baseline: Timing | None

    @property
    def speedup(self) -> float | None:
        """How many times as fast as the baseline the model is, where both were quiet."""
        if self.baseline is None or self.model.statistics is None or self.baseline.statistics is None:
            return None
        return ratio(self.baseline.statistics.median, self.model.statistics.median)


@dataclass(frozen=True)
class Counting:
    """The result of an emulated device: executed instructions of one run of the model, which are no times.

    Attributes:
        instructions: of one run, the median of some; they are the same but for the runtime's own bookkeeping.
        vector: those that compute with vector registers.
        loads: that read memory.
        stores: that write it.
        branches: that jump.
        runs: that were counted.
        smallest: instructions of the run with fewest.
        largest: of that with most.
        emulator: its version.
        cpu: the processor that it shows.
    """

    instructions: int
    vector: int
    loads: int
    stores: int
    branches: int
    runs: int
    smallest: int
    largest: int
    emulator: str
    cpu: str


@dataclass(frozen=True)
class StaticRow:
    """An inner loop of the kernels in LLVM's model of a core (llvm-mca), which knows no memory: no measurement.

    Attributes:
        kernel: the level of the kernels that run it.
        cpu: the core, as LLVM calls it.
        macs_per_cycle: binary multiply-adds.
        note: whose model LLVM takes for the core, and LLVM's version.
    """

    kernel: str
    cpu: str
    macs_per_cycle: float
    note: str


@dataclass(frozen=True)
class Failure:
    """Why a device gave no figures.

    Attributes:
        exit_code: of the class of error; see `fdabnn_deploy.errors`.
        text: for the user.
    """

    exit_code: int
    text: str


@dataclass(frozen=True)
class DeviceResult:
    """One device.

    Attributes:
        address: as it was typed.
        facts: of the device, as the runner reports them (docs/runner.md, `device`), None where it did not get that far.
        runtime: likewise (`runtime`), with the version of the package it is from.
        selftest: None where it did not get that far.
        measurements: one per number of threads.
        counting: of an emulated device, in place of measurements.
        static_model: likewise.
        notes: what is missing beside the figures, and why.
        failure: None where all went well.
    """

    address: str
    facts: dict[str, Any] | None = None
    runtime: dict[str, Any] | None = None
    selftest: Selftest | None = None
    measurements: tuple[Measurement, ...] = ()
    counting: Counting | None = None
    static_model: tuple[StaticRow, ...] = ()
    notes: tuple[str, ...] = ()
    failure: Failure | None = None


@dataclass(frozen=True)
class Profile:
    """A model on devices.

    Attributes:
        created: date and time, UTC.
        model: what was measured.
        baseline: what it was compared with, or None.
        settings: how.
        devices: in the order in which they were asked for.
        errors: those of the devices that failed, for whoever wants to raise one.
    """

    created: str
    model: ModelFile
    baseline: ModelFile | None
    settings: Settings
    devices: tuple[DeviceResult, ...]
    errors: tuple[FdabnnError, ...] = dataclasses.field(default=(), compare=False, repr=False)

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, as `schemas/profile.schema.json` describes them."""
        content = dataclasses.asdict(self)
        del content["errors"]
        for device, row in zip(self.devices, content["devices"], strict=True):
            for measured, entry in zip(device.measurements, row["measurements"], strict=True):
                entry["speedup"] = measured.speedup
                for timing, side in (
                    (measured.model, entry["model"]),
                    (measured.baseline, entry["baseline"]),
                ):
                    for layer, shown in zip(
                        timing.layers if timing else (), side["layers"] if side else (), strict=True
                    ):
                        shown["speedup"] = layer.speedup
        return {
            "schema": SCHEMA,
            "version": SCHEMA_VERSION,
            "tool": {"name": "fdabnn-deploy", "version": version("fdabnn-deploy")},
            "noise_bound": NOISE_BOUND,
            **content,
        }

    def write_json(self, path: Path) -> None:
        """Writes the JSON form; a reader sees the whole file or none.

        Raises:
            NotWrittenError: the file cannot be written.
        """
        write_json(path, self.to_json())
