"""Two profiles of a model, before and after a change: which layers became slower or faster beyond noise.

The rule: a time has changed where the medians differ by more than each of

- `SHARE` of the old median of a whole model, `LAYER_SHARE` of that of a layer: layers of a few microseconds were found to differ by up to
  6 % between processes of one program on one core, by where their memory lies,
- the noise of both, `sqrt(q_old^2 + q_new^2)`, where q is the distance between the quartiles of a run's samples, which a tenth of
  interrupted runs does not widen,
- `FLOOR_NS`, what a timer and its calls can be off.

Whole models are compared by the same rule where both runs were quiet. Layers are compared by name, wherever neither run was throttled:
the second term of the rule takes care of noise, unless there are too few runs to tell it. Executed instructions have no noise but the
runtime's bookkeeping: they have changed where they differ by more than `COUNT_SHARE`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fdabnn_deploy.errors import ModelRefusedError, RuntimeMissingError, UsageError
from fdabnn_deploy.measure.profile_report import texts
from fdabnn_deploy.measure.profiles.judgement import MIN_RUNS
from fdabnn_deploy.measure.profiles.result import SCHEMA, SCHEMA_FILE, SCHEMA_VERSION
from fdabnn_deploy.measure.statistics import median, quantiles, ratio
from fdabnn_deploy.system.read_file import read_whole

SHARE = 0.03
LAYER_SHARE = 0.08
COUNT_SHARE = 0.02
FLOOR_NS = 200.0
WHOLE = "whole model"
Outcome = Literal["slower", "faster", "same", "not compared", "new", "gone"]


@dataclass(frozen=True)
class Change:
    """One row of the comparison.

    Attributes:
        device: its address.
        threads: that computed.
        what: a layer's name, or `WHOLE`.
        unit: `ns` or `instructions`.
        old: median before, None where there is none.
        new: median after, likewise.
        noise: what the difference has to exceed.
        outcome: of the rule.
        reason: why nothing was compared.
    """

    device: str
    threads: int
    what: str
    unit: Literal["ns", "instructions"]
    old: float | None
    new: float | None
    noise: float
    outcome: Outcome
    reason: str = ""

    @property
    def ratio(self) -> float | None:
        """New over old."""
        return ratio(self.new, self.old)


def read(path: Path) -> dict[str, Any]:
    """Reads and checks a profile's JSON.

    Raises:
        UsageError: the file cannot be read.
        ModelRefusedError: it is damaged or something else.
        RuntimeMissingError: the package that checks it is not installed.
    """
    try:
        import jsonschema
    except ModuleNotFoundError:
        raise RuntimeMissingError(
            "comparing profiles needs jsonschema: install it with  pip install 'fdabnn-deploy[profile]'"
        ) from None
    text = read_whole(path, "profile")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise ModelRefusedError(f"{path} is no JSON: write it again with  fdabnn-profile --json") from None
    found = (content.get("schema"), content.get("version")) if isinstance(content, dict) else (None, None)
    if found != (SCHEMA, SCHEMA_VERSION):
        raise ModelRefusedError(
            f"{path} is no profile that this version reads: write it again with  fdabnn-profile --json"
        )
    try:
        jsonschema.validate(content, json.loads(SCHEMA_FILE.read_text()))
    except jsonschema.ValidationError as error:
        place = "/".join(map(str, error.absolute_path)) or "its top"
        raise ModelRefusedError(
            f"{path} is damaged at {place} ({error.message[:80]}): write it again with  fdabnn-profile --json"
        ) from None
    assert isinstance(content, dict)
    return content


def compare_profiles(old: Path, new: Path) -> tuple[Change, ...]:
    """Compares what both profiles hold of the same device and number of threads.

    Raises:
        UsageError: a file cannot be read, or they have nothing in common that could be compared.
        ModelRefusedError: a file is damaged or no profile.
        RuntimeMissingError: the package that checks them is not installed.
    """
    before, after = (_runs(content) for content in (read(old), read(new)))
    both = [key for key in before if key in after]
    if not both:
        have = " and ".join(_names(runs) for runs in (before, after))
        raise UsageError(f"{old} and {new} have no device with the same threads in common: they hold {have}")
    changes: list[Change] = []
    for key in both:
        (old_device, old_run), (new_device, new_run) = before[key], after[key]
        cpus = [str((device.get("facts") or {}).get("cpu")) for device in (old_device, new_device)]
        if cpus[0] != cpus[1]:
            raise UsageError(
                f"{key[0]} was {cpus[0]} and is now {cpus[1]}: only runs of one processor are compared"
            )
        if old_run is old_device["counting"]:
            cores = [run["cpu"] for run in (old_run, new_run)]
            if cores[0] != cores[1]:
                raise UsageError(
                    f"{key[0]} showed {cores[0]} and now shows {cores[1]} (QEMU_CPU): only counts of one processor are compared"
                )
            changes.append(_counted(key, old_run, new_run))
        else:
            changes += _timed(key, old_run["model"], new_run["model"])
    if all(change.outcome == "not compared" for change in changes):
        raise UsageError(f"{old} and {new} cannot be compared: {changes[0].reason}")
    return tuple(changes)


def other_settings(old: Path, new: Path) -> tuple[str, ...]:
    """Other differences between two profiles that may explain a change, in words.

    Raises:
        UsageError, ModelRefusedError, RuntimeMissingError: see `read`.
    """
    contents = [read(path) for path in (old, new)]
    found = []
    settings = [content["settings"] for content in contents]
    for name, option in (("cpus", "--cpus"), ("xnnpack", "--xnnpack"), ("warmup", "--warmup")):
        if settings[0].get(name) != settings[1].get(name):
            was, now = (_shown(each.get(name)) for each in settings)
            found.append(f"{option} was {was} and is now {now}")
    devices = [
        {device["address"]: device.get("runtime") or {} for device in each["devices"]} for each in contents
    ]
    for address in devices[0].keys() & devices[1].keys():
        for name, what in (("version", "the runtime's version"), ("kernels", "the level of the kernels")):
            values = [each[address].get(name) for each in devices]
            if values[0] != values[1]:
                found.append(f"{address}: {what} was {_shown(values[0])} and is now {_shown(values[1])}")
    return tuple(sorted(found))


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None or value == "" else str(value)


_Key = tuple[str, int]


def _runs(content: dict[str, Any]) -> dict[_Key, tuple[dict[str, Any], dict[str, Any]]]:
    """Device and run by address and threads; an emulated device counts with the first number of threads."""
    found = {}
    for device in content["devices"]:
        for run in device["measurements"]:
            found[device["address"], int(run["threads"])] = (device, run)
        if device["counting"] is not None:
            found[device["address"], int(content["settings"]["threads"][0])] = (device, device["counting"])
    return found


def _names(runs: dict[_Key, Any]) -> str:
    found = [f"{address} ({texts.threads(threads)})" for address, threads in runs]
    return ", ".join(found) or "none"


def _counted(key: _Key, old: dict[str, Any], new: dict[str, Any]) -> Change:
    before, after = (float(run["instructions"]) for run in (old, new))
    noise = COUNT_SHARE * before
    return Change(*key, WHOLE, "instructions", before, after, noise, _outcome(before, after, noise))


def _timed(key: _Key, old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    address, threads = key
    throttled = [name for name, run in (("old", old), ("new", new)) if run["verdict"] == "throttled"]
    if throttled:
        reason = f"the processor was throttled in the {' and the '.join(throttled)} run"
        return [Change(address, threads, WHOLE, "ns", None, None, 0, "not compared", reason)]
    few = [name for name, run in (("old", old), ("new", new)) if len(run["samples"]) < MIN_RUNS]
    if few:
        reason = f"too few runs in the {' and the '.join(few)} profile: set --runs to {MIN_RUNS} or more"
        return [Change(address, threads, WHOLE, "ns", None, None, 0, "not compared", reason)]
    noisy = [name for name, run in (("old", old), ("new", new)) if run["verdict"] != "quiet"]
    changes = []
    if noisy:
        reason = f"the {' and the '.join(noisy)} run was noisy"
        changes.append(Change(address, threads, WHOLE, "ns", None, None, 0, "not compared", reason))
    else:
        changes.append(change_of(address, threads, WHOLE, old["samples"], new["samples"]))
    layers = [{layer["name"]: layer["samples"] for layer in run["layers"]} for run in (old, new)]
    for name in dict.fromkeys([*layers[0], *layers[1]]):
        if name not in layers[0]:
            changes.append(Change(address, threads, name, "ns", None, median(layers[1][name]), 0, "new"))
        elif name not in layers[1]:
            changes.append(Change(address, threads, name, "ns", median(layers[0][name]), None, 0, "gone"))
        else:
            changes.append(change_of(address, threads, name, layers[0][name], layers[1][name]))
    return changes


def change_of(address: str, threads: int, what: str, old: Sequence[int], new: Sequence[int]) -> Change:
    """The rule, applied to the samples (ns) of two runs."""
    quartiles = [quantiles(samples, (0.25, 0.5, 0.75)) for samples in (old, new)]
    was, now = (middle for _, middle, _ in quartiles)
    share = SHARE if what == WHOLE else LAYER_SHARE
    noise = max(share * was, math.hypot(*(q75 - q25 for q25, _, q75 in quartiles)), FLOOR_NS)
    return Change(address, threads, what, "ns", was, now, noise, _outcome(was, now, noise))


def _outcome(old: float, new: float, noise: float) -> Outcome:
    if abs(new - old) <= noise:
        return "same"
    return "slower" if new > old else "faster"
