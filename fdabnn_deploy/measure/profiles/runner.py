"""Calls the program `fdabnn-runner` on a device: command line, JSON result and exit codes (docs/runner.md)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from fdabnn_deploy.errors import FdabnnError, RuntimeMissingError
from fdabnn_deploy.measure.devices.device import Completed, Device

_SCHEMA, _VERSION = "fdabnn-runner", 1
_FAILED_SELFTEST = 4
_SECONDS = 600.0


class RunnerFailedError(FdabnnError):
    """The runner crashed, or ended with a code that is none of its own: a bug. Other devices are measured all the same."""

    exit_code = 1


@dataclass(frozen=True)
class Placed:
    """The paths, on the device, of the runner, the libraries and the model.

    `ignore_checksum` accepts an ONNX file that has changed since it was exported.
    """

    runner: str
    delegate: str
    runtime: str
    model: str
    ignore_checksum: bool = field(default=False, kw_only=True)

    def command(self, *options: str) -> list[str]:
        """The runner's command line up to the JSON on its standard output."""
        libraries = ["--runtime", self.runtime, "--delegate", self.delegate]
        ignoring = ["--ignore-checksum"] if self.ignore_checksum else []
        return [self.runner, self.model, *libraries, *ignoring, *options, "--json", "-"]


@dataclass(frozen=True)
class Measuring:
    """How to measure.

    Attributes:
        threads: number of the runtime's threads.
        runs: number of timed runs.
        warmup: number of runs before them, not timed.
        cpus: to pin the threads to, in the form `0,2-3`; empty to let the system place them.
        xnnpack: whether XNNPACK computes the float operators of a TFLite file.
        per_op: whether each operator is timed as well, and the peak of a core measured.
    """

    threads: int = 1
    runs: int = 200
    warmup: int = 20
    cpus: str = ""
    xnnpack: bool = True
    per_op: bool = True

    def options(self) -> list[str]:
        """The same as options of the runner."""
        pinned = ["--cpus", self.cpus] if self.cpus else []
        per_op = ["--per-op", "--ceiling"] if self.per_op else []
        xnnpack = [] if self.xnnpack else ["--xnnpack", "off"]
        counts = ["--threads", str(self.threads), "--warmup", str(self.warmup), "--runs", str(self.runs)]
        return [*counts, *pinned, *per_op, *xnnpack]


def selftest(device: Device, placed: Placed, capsule: str) -> dict[str, Any]:
    """Replays a golden capsule on the device: the model with recorded inputs and outputs. Its result is returned, passed or failed.

    Raises:
        FdabnnError: the runner ended with an error, in the class for its exit code.
    """
    command = placed.command("--selftest", capsule, "--selftest-only")
    return _answer(device, device.run(command, _SECONDS), failed_selftest=True)


def measure(device: Device, placed: Placed, capsule: str | None, how: Measuring) -> dict[str, Any]:
    """Measures the model on the inputs of a golden capsule, or on inputs that the runner generates.

    Raises:
        FdabnnError: the runner ended with an error, in the class for its exit code.
    """
    inputs = [] if capsule is None else ["--inputs", capsule]
    command = placed.command(*inputs, *how.options())
    return _answer(device, device.run(command, _SECONDS))


def _answer(device: Device, done: Completed, *, failed_selftest: bool = False) -> dict[str, Any]:
    """The JSON that the runner printed.

    Raises:
        FdabnnError: the runner ended with an error; the class is that of its exit code.
        RuntimeMissingError: it printed no JSON, or that of another version.
    """
    where = device.address.text
    if done.status != 0 and not (failed_selftest and done.status == _FAILED_SELFTEST and done.stdout):
        raise _error(where, done)
    try:
        content = json.loads(done.stdout)
        if content["schema"] != _SCHEMA or content["version"] != _VERSION:
            raise ValueError(f"schema {content['schema']} {content['version']}")
    except (ValueError, KeyError, TypeError) as error:
        raise RuntimeMissingError(
            f"{where}: the runner gave no result that this version reads ({error}): install fdabnn-deploy again"
        ) from None
    answer: dict[str, Any] = content
    return answer


def _error(where: str, done: Completed) -> FdabnnError:
    """The exception for a run that failed: the class of `fdabnn_deploy.errors` with its exit code, else a bug of the runner."""
    said = done.last_line.removeprefix("fdabnn-runner: ") or f"it ended with status {done.status}"
    for kind in FdabnnError.__subclasses__():
        if kind.exit_code == done.status and kind is not RunnerFailedError:
            return kind(f"{where}: {said}")
    last = f" ({done.last_line})" if done.last_line else ""
    return RunnerFailedError(
        f"fdabnn-runner on {where} ended with status {done.status}{last}: this is a bug, please report it"
    )
