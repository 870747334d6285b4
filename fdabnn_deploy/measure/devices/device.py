"""The one interface behind which every device stands.

A device holds files by their content: `place` brings a file there only where it is not yet, and a file that a connection cut in two
never counts as there. `run` executes one of them. Closing a device ends what still runs and takes away what it left, but for the files
by content, which the next run uses again.
"""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self

from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.measure.devices.address import Address
from fdabnn_deploy.system.programs import end_or_kill

MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
"""Results of `uname -m`, and the processor that libraries are compiled for."""

Tell = Callable[[str], None]
"""Takes a line about what is going on, such as `pushing libLiteRt.so (6.1 MB)`."""


@dataclass(frozen=True)
class Completed:
    """A command that has ended: its exit status (128 + n after signal n) and what it printed."""

    status: int
    stdout: str
    stderr: str

    @property
    def last_line(self) -> str:
        """The last line on stderr, where programs say why they ended."""
        lines = self.stderr.strip().splitlines()
        return lines[-1].strip() if lines else ""


class Device(ABC):
    """A machine that runs the runner; a context manager.

    Attributes:
        address: where it is.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    @abstractmethod
    def machine(self) -> str:
        """The processor that libraries for it are compiled for: `x86_64` or `aarch64`.

        Raises:
            RuntimeMissingError: it has another one, or a system of 32 bits.
        """

    @abstractmethod
    def place(self, files: Sequence[Path], tell: Tell) -> list[str]:
        """Brings files to the device where they are not there yet, and gives back their paths there.

        Raises:
            RuntimeMissingError: the device cannot be reached any more, or has no room.
        """

    @abstractmethod
    def run(self, command: Sequence[str], timeout: float) -> Completed:
        """Runs a program that `place` brought there, with arguments; when this call ends, however it does, so has the program.

        Raises:
            RuntimeMissingError: the device went away meanwhile, or the time (s) was over.
        """

    def clean(self) -> None:  # noqa: B027 - not every device holds something
        """Removes all files that any run has brought to the device."""

    def close(self) -> None:
        """Ends the connection and what runs over it."""
        self.stop()

    def stop(self) -> None:
        """Ends what runs, from another thread: the call that waits for it raises."""
        with self._lock:
            self._stopped = True
            for process in self._processes:
                process.terminate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(
        self,
        command: Sequence[str],
        timeout: float,
        too_long: str,
        stdin: Path | Literal["open"] | None = None,
        environment: dict[str, str] | None = None,
    ) -> Completed:
        """Runs a program of this machine, which does not outlive the call.

        Args:
            command: program and arguments.
            timeout: seconds.
            too_long: what did not happen when they are over, for the error.
            stdin: a file, a pipe that stays open until the program ends, or nothing.
            environment: None for this process's own.

        Raises:
            RuntimeMissingError: the program cannot be started, the time was over, or the device was stopped.
        """
        with contextlib.ExitStack() as stack:
            source: IO[bytes] | int = subprocess.DEVNULL
            if stdin == "open":
                source = subprocess.PIPE
            elif stdin is not None:
                source = stack.enter_context(stdin.open("rb"))
            with self._lock:
                if self._stopped:
                    raise RuntimeMissingError(f"{self.address.text} was stopped")
                try:
                    process = subprocess.Popen(  # noqa: S603 - a program of ours or of the system
                        command,
                        stdin=source,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE,
                        env=environment,
                        # Ctrl-C reaches this process alone, which then ends the program, and over it what runs on the device.
                        start_new_session=True,
                    )
                except OSError as error:
                    raise RuntimeMissingError(f"{command[0]} cannot be started: {error.strerror}") from None
                self._processes.add(process)
            own_stdin, process.stdin = process.stdin, None
            try:
                stdout, stderr = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                raise RuntimeMissingError(
                    f"{too_long} within {timeout:.0f} s: is the device overloaded? (fewer --runs take less time)"
                ) from None
            finally:
                if own_stdin is not None:
                    own_stdin.close()
                end_process(process)
                with self._lock:
                    self._processes.discard(process)
        status = process.returncode if process.returncode >= 0 else 128 - process.returncode
        return Completed(status, stdout.decode(errors="replace"), stderr.decode(errors="replace"))


def known_machine(name: str, address: str) -> str:
    """The processor that `uname -m` names, as `MACHINES` has it.

    Raises:
        RuntimeMissingError: no library is compiled for it.
    """
    if name in MACHINES:
        return MACHINES[name]
    narrow = name.startswith(("armv6", "armv7", "armv8l", "i386", "i686")) or name == "arm"
    reason = f"it runs a 32-bit system ({name})" if narrow else f"its processor is called {name or 'nothing'}"
    remedy = "install a 64-bit system on it" if narrow else "there is no library for it"
    raise RuntimeMissingError(f"{address}: {reason}, and only x86-64 and aarch64 are measured: {remedy}")


def end_process(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that may have ended already, and closes its pipes."""
    if process.poll() is None:
        process.terminate()
        end_or_kill(process, 5)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
