"""Profiles a model on devices, several at a time."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

from fdabnn_deploy.errors import FdabnnError, UsageError
from fdabnn_deploy.measure.devices.address import Address, parse
from fdabnn_deploy.measure.devices.connect import connect
from fdabnn_deploy.measure.devices.device import Device, sha256_of
from fdabnn_deploy.measure.devices.libraries import runtimes
from fdabnn_deploy.measure.devices.ssh import SshOptions
from fdabnn_deploy.measure.format_tools import tools_for
from fdabnn_deploy.measure.profiles import golden_capsule, on_device
from fdabnn_deploy.measure.profiles import layer_baseline as baselines
from fdabnn_deploy.measure.profiles.on_device import Job
from fdabnn_deploy.measure.profiles.operators import Operator
from fdabnn_deploy.measure.profiles.result import DeviceResult, Failure, ModelFile, Profile, Settings
from fdabnn_deploy.measure.profiles.runner import Measuring
from fdabnn_deploy.measure.profiles.whole_model import whole_model
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.system import choices
from fdabnn_deploy.system.read_file import check_file
from fdabnn_deploy.system.scratch import ScratchFolder

HERE = "this machine"


class Progress(Protocol):
    """Told what happens; from several threads at once."""

    def tell(self, device: str, what: str) -> None:
        """A device, or `HERE`, begins something."""
        ...

    def done(self, device: str, failure: str) -> None:
        """A device has ended, with an error unless that is empty."""
        ...


class Silent:
    """Tells nobody."""

    def tell(self, device: str, what: str) -> None:
        """See `Progress`."""

    def done(self, device: str, failure: str) -> None:
        """See `Progress`."""


def profile(
    model: str | Path,
    devices: Sequence[str] = ("local",),
    *,
    threads: Sequence[int] = (1,),
    runs: int = 200,
    warmup: int = 20,
    cpus: str = "",
    xnnpack: bool = True,
    baseline: str | Path | None = None,
    capsule: str | Path | None = None,
    ssh: SshOptions | None = None,
    clean: bool = False,
    ignore_checksum: bool = False,
    progress: Progress | None = None,
) -> Profile:
    """Measures a model on devices, after it has proved there that it computes the right bits.

    Args:
        model: a .tflite or .onnx file.
        devices: `local`, `qemu-aarch64`, `ssh://user@host[:port]`, `adb[:serial]`.
        threads: numbers of threads to measure with, one after the other.
        runs: that are timed.
        warmup: runs before them.
        cpus: to pin the threads to, such as `0,2-3`.
        xnnpack: whether LiteRT's own fast kernels take the float operators of a TFLite file.
        baseline: `fp32` or `int8` for the model's baseline, or another model; an emulated device leaves it out.
        capsule: for the self-test; by default one is made with this machine's runtime.
        ssh: options for ssh.
        clean: leave nothing on the devices. By default they keep the files that were pushed, by their hash, for the next time.
        ignore_checksum: measure an ONNX file that has changed since it was exported, too.
        progress: told what happens.

    Returns:
        The results, also where some of several devices failed: `DeviceResult.failure` says why.

    Raises:
        UsageError: a device has no known form, or an argument makes no sense.
        ModelRefusedError: the model is damaged, or has changed since it was exported.
        RuntimeMissingError: something that is needed is missing, on every device.
        ParityError: the self-test failed, on every device.
    """
    progress = progress or Silent()
    xnnpack, clean = choices.yes_or_no(xnnpack, "xnnpack"), choices.yes_or_no(clean, "clean")
    ignore_checksum = choices.yes_or_no(ignore_checksum, "ignore_checksum")
    addresses = _addresses(devices)
    path = Path(model)
    if path.suffix.lower() not in runtimes():
        raise UsageError(f"{path} cannot be profiled: give a file that ends in {' or '.join(runtimes())}")
    check_file(path, "model file")
    threads = tuple(choices.whole_number(count, "a number of threads") for count in threads)
    runs, warmup = choices.whole_number(runs, "runs"), choices.whole_number(warmup, "warmup", 0)
    if not threads:
        raise UsageError("threads names no number of threads: give one or more, such as 1,4")
    with ScratchFolder("fdabnn-profile-") as folder:
        scratch = folder.path
        progress.tell(HERE, "reading the model")
        path = whole_model(path, scratch / "model", ignore_checksum)
        found = tools_for(path).operators(path)
        progress.tell(HERE, "making the capsule of the self-test")
        golden_file = (
            golden_capsule.make(path, scratch / "selftest.capsule")
            if capsule is None
            else golden_capsule.check(Path(capsule), path)
        )
        other, other_capsule = None, None
        timed = any(address.kind != "qemu-aarch64" for address in addresses)
        if baseline is not None and timed:
            progress.tell(HERE, f"making the baseline {baseline}")
            if str(baseline) not in baselines.BUILT and Path(baseline).suffix.lower() in runtimes():
                baseline = whole_model(Path(baseline), scratch / "baseline", ignore_checksum)
            other = baselines.make(str(baseline), path, found, scratch)
            if other.path.suffix.lower() != path.suffix.lower():
                raise UsageError(
                    f"{path} and its baseline {other.path} need different runtimes: give two of a kind"
                )
            if other.kind == "model":
                other_capsule = golden_capsule.make(other.path, scratch / "baseline.capsule")
        progress.done(HERE, "")
        how = Measuring(runs=runs, warmup=warmup, cpus=cpus, xnnpack=xnnpack)
        job = Job(
            path,
            found,
            golden_file,
            other,
            other_capsule,
            how,
            tuple(threads),
            clean,
            baseline is not None,
            ignore_checksum,
        )
        results, errors = _on_all(addresses, job, ssh, progress)
        if len(errors) == len(addresses):
            raise errors[0]
        return Profile(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            model=_file(path, found, "model", ""),
            baseline=None if other is None else _file(other.path, other.operators, other.kind, other.note),
            settings=Settings(tuple(threads), runs, warmup, cpus, xnnpack),
            devices=results,
            errors=errors,
        )


def _addresses(devices: Sequence[str]) -> tuple[Address, ...]:
    addresses = tuple(parse(text) for text in devices)
    if not addresses:
        raise UsageError("no device: give --device local, say")
    twice = {address.text for address in addresses if addresses.count(address) > 1}
    if twice:
        raise UsageError(
            f"device {', '.join(sorted(twice))} is given twice: it would be measured beside itself"
        )
    return addresses


def _file(
    path: Path, found: Sequence[Operator], kind: Literal["model", "fp32", "int8"], note: str
) -> ModelFile:
    binary = sum(operator.macs for operator in found if operator.binary)
    total = sum(operator.macs for operator in found)
    metadata = registry.for_file(path).metadata(path)
    changed, fidelity = (metadata.get(key, "") for key in ("allowed_change", "fidelity"))
    return ModelFile(
        path.name, sha256_of(path), path.stat().st_size, kind, note, binary, total - binary, changed, fidelity
    )


def _on_all(
    addresses: Sequence[Address], job: Job, ssh: SshOptions | None, progress: Progress
) -> tuple[tuple[DeviceResult, ...], tuple[FdabnnError, ...]]:
    """The results in the order of the addresses, and the errors."""
    open_devices: list[Device] = []
    errors: list[FdabnnError] = []

    def one(address: Address) -> DeviceResult:
        try:
            progress.tell(address.text, "connecting")
            with connect(address, ssh) as device:
                open_devices.append(device)
                result = on_device.run(device, job, lambda what: progress.tell(address.text, what))
        except FdabnnError as error:
            errors.append(error)
            progress.done(address.text, str(error))
            return DeviceResult(address.text, failure=Failure(error.exit_code, str(error)))
        progress.done(address.text, "")
        return result

    with ThreadPoolExecutor(len(addresses)) as pool:
        futures = [pool.submit(one, address) for address in addresses]
        try:
            results = tuple(future.result() for future in futures)
        except BaseException:
            # Ctrl-C, or a bug on one device: the others end now, and clean up.
            for future in futures:
                future.cancel()
            for device in open_devices:
                device.stop()
            raise
    return results, tuple(errors)
