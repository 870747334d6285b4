"""The files that a device needs besides the model: the runner, the native library and the runtime's library, for the device's processor.

For this machine's processor the runtime's library is that of the installed package. For another one it is taken out of the same
version's wheel, which pip fetches once; pip checks the wheel against the index, and the library is checked against the wheel's RECORD
(https://packaging.python.org/specifications/recording-installed-packages).
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fdabnn_deploy import native
from fdabnn_deploy.errors import RuntimeMissingError, UsageError
from fdabnn_deploy.measure.devices.device import MACHINES, Tell
from fdabnn_deploy.system.files import write_whole
from fdabnn_deploy.system.scratch import ScratchFolder
from fdabnn_deploy.targets.installed import registered
from fdabnn_deploy.targets.target import DevicePackage

_PIP_SECONDS = 600
_GLIBC = range(17, 40)
"""Minor versions of glibc 2 that a wheel may ask for; the device says itself whether it has them."""


def runtimes() -> dict[str, DevicePackage]:
    """The packages of the runtimes that devices can be given, by the suffix of the files they run."""
    return {target.suffix: target.device for target in registered() if target.device is not None}


@dataclass(frozen=True)
class Libraries:
    """Files for one processor and one kind of model.

    Attributes:
        runner: the program.
        delegate: the native library.
        runtime: the runtime's library.
        version: of the runtime.
    """

    runner: Path
    delegate: Path
    runtime: Path
    version: str

    @property
    def files(self) -> tuple[Path, Path, Path]:
        """All three."""
        return self.runner, self.delegate, self.runtime


def find(machine: str, suffix: str, tell: Tell) -> Libraries:
    """The files for a processor.

    Args:
        machine: `x86_64` or `aarch64`.
        suffix: of the model's file.
        tell: told of a download.

    Raises:
        UsageError: no runtime opens such files.
        RuntimeMissingError: one of them is not there and cannot be fetched.
    """
    known = runtimes()
    if suffix not in known:
        raise UsageError(f"a model that ends in '{suffix}' cannot be profiled: known are {', '.join(known)}")
    here = MACHINES.get(platform.machine().lower())
    named = None if machine == here else machine
    try:
        runner, delegate = Path(native.runner_path(named)), Path(native.delegate_path(named))
    except RuntimeMissingError:
        if named is None:
            raise
        raise RuntimeMissingError(
            f"this installation has no runner for {machine}: {_where_to_get(machine)}"
        ) from None
    runtime = known[suffix]
    try:
        version = importlib.metadata.version(runtime.package)
    except importlib.metadata.PackageNotFoundError:
        raise RuntimeMissingError(f"{runtime.name} is not installed: pip install {runtime.package}") from None
    library = _installed(runtime) if named is None else fetch(runtime, version, machine, tell)
    return Libraries(runner, delegate, library, version)


def _where_to_get(machine: str) -> str:
    """How to get the runner for another processor: the wheel for x86-64 has that for aarch64, too; a checkout builds any."""
    build = f"python tools/native/build.py --target {machine}-linux-gnu.2.17 --out fdabnn_deploy/native/lib/{machine}"
    checkout = f"in a checkout build it with  {build}"
    return f"the wheel for x86-64 brings it; {checkout}" if machine == "aarch64" else checkout


def _installed(runtime: DevicePackage) -> Path:
    """The library of the installed package."""
    for file in importlib.metadata.files(runtime.package) or ():
        if re.fullmatch(runtime.library, file.as_posix()):
            path = Path(str(file.locate()))
            if path.is_file():
                return path
    raise RuntimeMissingError(
        f"{runtime.package} {importlib.metadata.version(runtime.package)} has no {runtime.file} beside its Python module, for a program "
        f"without Python: get a newer one, with  pip install --upgrade {runtime.package}"
    )


def cache_folder() -> Path:
    """Of libraries for other processors: `$XDG_CACHE_HOME/fdabnn-runtimes`, by default in `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fdabnn-runtimes"


def fetch(runtime: DevicePackage, version: str, machine: str, tell: Tell) -> Path:
    """The library of a runtime for another processor, from the cache or from the package index.

    Raises:
        RuntimeMissingError: pip cannot get the wheel, or the wheel is not sound.
    """
    folder = cache_folder() / f"{runtime.package}-{version}-{machine}"
    found = [path for path in folder.glob("lib*") if path.is_file()]
    if found:
        return found[0]
    tell(f"fetching {runtime.name} {version} for {machine}")
    with ScratchFolder("fdabnn-wheel-") as scratch:
        command = download_command(f"{runtime.package}=={version}", machine, scratch.path)
        status, said = _run(command)
        wheels = list(scratch.path.glob("*.whl"))
        if status != 0 or len(wheels) != 1:
            errors = [line for line in said.splitlines() if line.startswith("ERROR")]
            reason = errors[-1].removeprefix("ERROR: ") if errors else said.strip()[-200:] or "pip failed"
            raise RuntimeMissingError(
                f"{runtime.name} {version} for {machine} cannot be fetched ({reason}): connect to the package index, or put its "
                f"library from the wheel into {folder}"
            )
        name, content = extract(wheels[0], runtime.library)
    path = folder / name
    write_whole(path, content)
    path.chmod(0o755)
    return path


def _run(command: Sequence[str]) -> tuple[int, str]:
    """Runs pip: its exit status, and what it said of errors."""
    try:
        done = subprocess.run(  # noqa: S603 - this Python's own pip
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PIP_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return 1, f"ERROR: pip did not end within {_PIP_SECONDS} s"
    return done.returncode, done.stderr


def download_command(requirement: str, machine: str, out: Path) -> list[str]:
    """The pip command that fetches a wheel for another processor's Linux into a folder."""
    tags = [f"manylinux_2_{minor}_{machine}" for minor in reversed(_GLIBC)] + [f"manylinux2014_{machine}"]
    options = [f"--platform={tag}" for tag in tags]
    return [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--only-binary=:all:", *options, "--dest", str(out), requirement),
    ]


def extract(wheel: Path, pattern: str) -> tuple[str, bytes]:
    """A library of a wheel: its file name and content, which fits the wheel's RECORD.

    Raises:
        RuntimeMissingError: it is not in the wheel, or damaged.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            inside = next((name for name in names if re.fullmatch(pattern, name)), None)
            record = next((name for name in names if name.endswith(".dist-info/RECORD")), None)
            if inside is None or record is None:
                raise RuntimeMissingError(f"{wheel.name} holds no library {pattern}: another version may")
            content = archive.read(inside)
            lines = archive.read(record).decode().splitlines()
    except (zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise RuntimeMissingError(f"{wheel.name} is damaged ({error}): try again") from None
    if _recorded(lines, inside) != hashlib.sha256(content).digest():
        raise RuntimeMissingError(f"{inside} in {wheel.name} does not fit its recorded hash: try again")
    return Path(inside).name, content


def _recorded(lines: Sequence[str], name: str) -> bytes | None:
    """The SHA-256 that a RECORD gives for a file."""
    for line in lines:
        path, _, rest = line.rpartition(",")[0].rpartition(",")
        if path.strip('"') == name and rest.startswith("sha256="):
            text = rest.removeprefix("sha256=")
            return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return None
