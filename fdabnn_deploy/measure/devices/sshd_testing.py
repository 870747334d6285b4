"""A real sshd on loopback for tests: its own process, port, host key, accounts of its own key only."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from getpass import getuser
from pathlib import Path

from fdabnn_deploy.measure.devices.ssh import SshOptions
from fdabnn_deploy.system.programs import SSH
from fdabnn_deploy.system.programs_testing import SSHD, skip, wanted


@dataclass
class Sshd:
    """A running server.

    Attributes:
        folder: its files: `key` logs in, `unknown_key` does not, `known_hosts` knows it, `nobody` knows no host.
        port: where it listens.
        process: the server.
    """

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        """As it is typed after `--device`."""
        return f"ssh://{getuser()}@127.0.0.1:{self.port}"

    @property
    def options(self) -> SshOptions:
        """With which it can be logged into."""
        return SshOptions(self.folder / "key", self.folder / "known_hosts", self.folder / "client_config")

    @property
    def cache(self) -> Path:
        """Where its sessions keep files."""
        return self.folder / "cache"

    def connections(self) -> list[int]:
        """The processes that serve connections."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def cut(self) -> None:
        """Cuts every connection, as a pulled plug does once it is noticed."""
        for child in self.connections():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


@contextlib.contextmanager
def run_sshd(folder: Path, *, environment: dict[str, str] | None = None, command: str = "") -> Iterator[Sshd]:
    """Starts a server and stops it; skips where there is none, which CI must not.

    Args:
        folder: an empty one for its files.
        environment: of its sessions.
        command: that sessions run instead of what the client asks for, which is in SSH_ORIGINAL_COMMAND.
    """
    program, _ = wanted(SSHD), wanted(SSH)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("host_key", "key", "unknown_key"):
        make_key(folder / name)
    shutil.copy(folder / "key.pub", folder / "authorized_keys")
    port = _free_port()
    host_key = (folder / "host_key.pub").read_text().split()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key[0]} {host_key[1]}\n")
    (folder / "nobody").write_text("")
    # The tester's own configuration must not decide how a test ends.
    (folder / "client_config").write_text("IdentityAgent none\n")
    variables = {"XDG_CACHE_HOME": str(folder / "cache"), **(environment or {})}
    lines = [
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {folder / 'host_key'}",
        f"AuthorizedKeysFile {folder / 'authorized_keys'}",
        f"PidFile {folder / 'pid'}",
        "StrictModes no",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PermitRootLogin prohibit-password",
        "MaxStartups 100",
        "SetEnv " + " ".join(f'{name}="{value}"' for name, value in variables.items()),
        *([f"ForceCommand {command}"] if command else []),
    ]
    (folder / "sshd_config").write_text("\n".join(lines) + "\n")
    with (folder / "sshd.log").open("wb") as log:
        process = subprocess.Popen([program, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log)
    server = Sshd(folder, port, process)
    try:
        _wait_for(server)
        yield server
    finally:
        server.cut()
        process.terminate()
        process.wait(timeout=10)


def make_key(path: Path) -> None:
    """Makes a pair of keys; skips where there is no program that does."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.CalledProcessError) as error:
        skip(f"ssh-keygen is missing or does not work ({error}): install it with  apt install openssh-client")


def _wait_for(server: Sshd) -> None:
    end = time.monotonic() + 20
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.port), timeout=1):
            return
        said = (server.folder / "sshd.log").read_text(errors="replace")
        assert server.process.poll() is None, said
        assert time.monotonic() < end, said
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
