"""LiteRT with our delegate and ONNX Runtime as they run on an ARM processor: stock aarch64 wheels under the emulator qemu-aarch64.

One process in the arm64 root (`fdabnn_deploy.runtimes.emulator.arm_root`) serves all sessions that are open: starting it takes seconds.
What it computes is what a device computes; how long it takes says nothing about one, so there is no latency here.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import weakref
from collections.abc import Iterator, Sequence
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fdabnn_deploy import errors
from fdabnn_deploy.errors import FdabnnError, RuntimeMissingError, UsageError
from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.native import delegate_path
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.runtimes.base import FileTensor, FileTensors, Session
from fdabnn_deploy.runtimes.emulator import arm_root
from fdabnn_deploy.runtimes.emulator.arm_root import Guest
from fdabnn_deploy.runtimes.emulator.qemu_server import read_arrays, write_arrays
from fdabnn_deploy.runtimes.inputs import check_inputs
from fdabnn_deploy.system.programs import end_or_kill
from fdabnn_deploy.system.scratch import ScratchFolder
from fdabnn_deploy.targets.installed import GROUP, registered
from fdabnn_deploy.targets.target import Target

MACHINE = "aarch64"
_PACKAGE = Path(__file__).resolve().parents[2]


class Process:
    """A process in the root that serves sessions; it ends when nobody holds this object any more.

    Args:
        guest: the root.
    """

    def __init__(self, guest: Guest) -> None:
        self._folder = ScratchFolder("fdabnn-qemu-")
        self._log = self._folder.path / "stderr"
        self._numbers = itertools.count()
        # Alone: beside an installed package lie those of this machine's processor.
        site = self._folder.path / "site"
        site.mkdir()
        link_packages(site)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the root's own Python
                guest.command("-P", "-m", "fdabnn_deploy.runtimes.emulator.qemu_server"),
                env=guest.environment(site),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        weakref.finalize(self, _end, self._process, self._folder)

    @property
    def alive(self) -> bool:
        """Whether it answers."""
        return self._process.poll() is None

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """The answer to a request; see `fdabnn_deploy.runtimes.emulator.qemu_server`.

        Raises:
            FdabnnError: what the process raised.
            RuntimeError: it raised something else, or died.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(json.dumps({"do": do, **request}), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            status = self._process.wait()
            said = " ".join(self._log.read_text(errors="replace").split()[-60:])
            raise RuntimeError(f"the process in the arm64 root ended with status {status} on '{do}': {said}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            kind = getattr(errors, answer["error"], None) if answer["error"] else None
            if kind is not None and issubclass(kind, FdabnnError):
                raise kind(answer["text"])
            raise RuntimeError(f"in the arm64 root:\n{answer['text']}")
        return answer

    def compute(
        self, do: str, session: int, inputs: Sequence[FloatArray]
    ) -> tuple[dict[str, Any], list[FloatArray]]:
        """The answer to `run` or `run_all`, and the arrays it wrote."""
        number = next(self._numbers)
        paths = [self._folder.path / f"{number}-{end}.npz" for end in ("inputs", "outputs")]
        try:
            write_arrays(str(paths[0]), list(inputs))
            answer = self.ask(do, session=session, inputs=str(paths[0]), outputs=str(paths[1]))
            return answer, read_arrays(str(paths[1]))
        finally:
            for path in paths:
                path.unlink(missing_ok=True)


def _end(process: subprocess.Popen[str], folder: ScratchFolder) -> None:
    for pipe in (process.stdin, process.stdout):
        # One that died with a request in the pipe breaks it once more here.
        with contextlib.suppress(BrokenPipeError):
            if pipe is not None:
                pipe.close()
    end_or_kill(process, 10)
    folder.cleanup()


def _targets() -> list[Target]:
    """Those whose default runtime is in the root."""
    return [target for target in registered() if target.device is not None]


def link_packages(site: Path) -> None:
    """Links this package and those of the targets into a folder of packages, where the targets are found by their entry points."""
    places = {_PACKAGE.name: _PACKAGE}
    names = {target.name for target in _targets()}
    lines = [f"[{GROUP}]"]
    for entry in entry_points(group=GROUP):
        package = entry.module.partition(".")[0]
        spec = find_spec(package)
        if entry.name in names and spec is not None and spec.submodule_search_locations:
            places[package] = Path(spec.submodule_search_locations[0])
            lines.append(f"{entry.name} = {entry.value}")
    for name, place in places.items():
        (site / name).symlink_to(place)
    described = site / "fdabnn_targets-0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: fdabnn-targets\nVersion: 0\n")
    (described / "entry_points.txt").write_text("\n".join(lines) + "\n")


_PROCESSES: weakref.WeakValueDictionary[Path, Process] = weakref.WeakValueDictionary()


def _process(guest: Guest) -> Process:
    """The process that runs in a root, started where there is none."""
    found = _PROCESSES.get(guest.root)
    if found is None or not found.alive:
        found = _PROCESSES[guest.root] = Process(guest)
    return found


class QemuSession(Session):
    """A session that lives in the root's process.

    Args:
        process: that has it.
        answer: to the request that opened it.
    """

    def __init__(self, process: Process, answer: dict[str, Any]) -> None:
        self._process, self._number = process, answer["session"]
        self._shapes = tuple(tuple(shape) for shape in answer["shapes"])
        self._tensors = [tuple(FileTensor(*each) for each in some) for some in answer["tensors"]]

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        return self._shapes

    def run(self, inputs: Sequence[FloatArray]) -> list[FloatArray]:
        check_inputs(inputs, self._shapes)
        return self._process.compute("run", self._number, inputs)[1]

    def file_tensors(self) -> FileTensors:
        return FileTensors(*self._tensors)

    def run_all(self, inputs: Sequence[FloatArray]) -> dict[str, FloatArray]:
        check_inputs(inputs, self._shapes)
        answer, arrays = self._process.compute("run_all", self._number, inputs)
        return dict(zip(answer["names"], arrays, strict=True))

    def native_inputs(self, inputs: Sequence[FloatArray]) -> object:
        """Refused: see the module.

        Raises:
            UsageError: always.
        """
        raise UsageError("times under qemu-aarch64 say nothing about a device: measure there")

    def run_native(self, prepared: object) -> None:
        """Refused as `native_inputs`.

        Raises:
            UsageError: always.
        """
        self.native_inputs([])

    def close(self) -> None:
        """Takes the model out of the process's memory, where further ones will be opened."""
        self._process.ask("close", session=self._number)


class QemuRuntime:
    """Opens files in the arm64 root; see `fdabnn_deploy.runtimes.base.Runtime`."""

    name = "qemu-aarch64"

    def __init__(self) -> None:
        self.suffixes = tuple(target.suffix for target in _targets())

    def version(self) -> str:
        """The emulator's version, and those of the runtimes in the root; see `Runtime.version`."""
        guest = arm_root.find()
        packages = sorted((t.device.name, t.device.package) for t in _targets() if t.device is not None)
        inner = ", ".join(f"{name} {guest.package_version(package)}" for name, package in packages)
        return f"{guest.qemu_version} ({inner})"

    def open(self, path: Path, threads: int = 1) -> QemuSession:
        """Loads a file on the runtime for its suffix, in the root; see `Runtime.open`.

        Raises:
            UsageError: the file cannot be read, or no runtime opens such files.
        """
        process = self._start()
        return QemuSession(process, process.ask("open", path=str(path.absolute()), threads=threads))

    def settings(self, path: Path) -> Iterator[tuple[str, QemuSession]]:
        """Every setting of the runtime for the file's suffix, one open at a time; see `Runtime.settings`.

        Raises:
            UsageError: the file cannot be read, or no runtime opens such files.
        """
        process = self._start()
        iterator = process.ask("settings", path=str(path.absolute()))["iterator"]
        while (answer := process.ask("next", iterator=iterator))["session"] is not None:
            session = QemuSession(process, answer)
            yield answer["setting"], session
            session.close()

    def metadata(self, path: Path) -> dict[str, str]:
        """The file's metadata, read on this machine; see `Runtime.metadata`."""
        return registry.for_file(path).metadata(path)

    def _start(self) -> Process:
        guest = arm_root.find()
        try:
            delegate_path(MACHINE)
        except RuntimeMissingError:
            raise RuntimeMissingError(
                "the native library for aarch64 is missing: wheels for x86-64 bring it; in a checkout that is installed by  "
                "pip install -e .  build it with  python tools/arm_root"
            ) from None
        return _process(guest)
