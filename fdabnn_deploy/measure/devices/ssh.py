"""A device behind ssh, by the system's own client.

The client reads ~/.ssh/config, so that aliases, jump hosts, agents and hardware keys work as they do in a terminal. Only keys log in:
nothing here can ask for a password. A host whose key is unknown is refused, as is one whose key has changed. One connection, a control
master that belongs to this process, carries everything.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from fdabnn_deploy.errors import RuntimeMissingError, UsageError
from fdabnn_deploy.measure.devices.address import Address
from fdabnn_deploy.measure.devices.device import Completed, end_process
from fdabnn_deploy.measure.devices.shell_device import ShellDevice, for_any_shell
from fdabnn_deploy.system.programs import SSH, find
from fdabnn_deploy.system.scratch import ScratchFolder

CONNECT_SECONDS = 10
LOGIN_SECONDS = 120
"""From the connection to the end of the login, which name servers and the like can delay."""
_ALIVE_SECONDS, _ALIVE_COUNT = 15, 3
"""A connection on which nothing comes for their product is given up, during the login, too."""
_FOLDER = '"${XDG_CACHE_HOME:-$HOME/.cache}/fdabnn-profile"'
_CLIENT_FAILED = 255
# INFO: why the login was given up is no error to the client.
_MASTER = ("-M", "-N", "-o", "ControlPersist=no", "-o", "LogLevel=INFO")
_SESSION = ("-o", "ControlMaster=no", "-o", "LogLevel=ERROR")
# The master ends when this process does, however it does: then its end of the pipe is closed. `cat` waits for that.
_WATCHED = """exec 3<&0
"$@" 3<&- </dev/null & ssh=$!
trap 'kill $ssh' TERM
(cat <&3 >/dev/null; kill $ssh) 2>/dev/null & watch=$!
exec 3<&-
wait $ssh; status=$?
kill $watch
exit $status"""


@dataclass(frozen=True)
class SshOptions:
    """The options of the client beyond its own configuration.

    Attributes:
        identity: a private key to log in with, before those of the configuration.
        known_hosts: a file of host keys instead of ~/.ssh/known_hosts.
        config: a configuration file instead of ~/.ssh/config.
    """

    identity: Path | None = None
    known_hosts: Path | None = None
    config: Path | None = None

    def arguments(self) -> list[str]:
        """For the client's command line.

        Raises:
            UsageError: one of the files is not there.
        """
        for path in (self.identity, self.config):
            if path is not None and not path.is_file():
                raise UsageError(f"no file {path} for ssh")
        arguments = []
        if self.config is not None:
            arguments += ["-F", str(self.config)]
        if self.identity is not None:
            arguments += ["-i", str(self.identity), "-o", "IdentitiesOnly=yes"]
        if self.known_hosts is not None:
            # The option is a list of files: one with a space in its name stands in quotes.
            arguments += [
                "-o",
                f'UserKnownHostsFile="{self.known_hosts.absolute()}"',
                "-o",
                "GlobalKnownHostsFile=none",
            ]
        return arguments


class SshDevice(ShellDevice):
    """See the module.

    Args:
        address: of kind ssh.
        options: for the client.

    Raises:
        UsageError: an option names a file that is not there.
        RuntimeMissingError: no client that works is installed, or the device cannot be reached; the message says why.
    """

    def __init__(self, address: Address, options: SshOptions | None = None) -> None:
        super().__init__(address, _FOLDER)
        client = find(SSH).path
        self._options = options or SshOptions()
        arguments = self._options.arguments()
        # Short: the path of a socket has at most 107 characters.
        self._scratch = ScratchFolder("fdabnn-ssh-")
        socket = self._scratch.path / "master"
        self._log = self._scratch.path / "log"
        port = [] if address.port is None else ["-p", str(address.port)]
        user = [] if address.user is None else ["-l", address.user]
        settings = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "ConnectTimeout": str(CONNECT_SECONDS),
            "ServerAliveInterval": str(_ALIVE_SECONDS),
            "ServerAliveCountMax": str(_ALIVE_COUNT),
            "ControlPath": str(socket),
            "ClearAllForwardings": "yes",
            "PermitLocalCommand": "no",
        }
        flags = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
        self._command = [client, "-T", *arguments, *flags, *port, *user]
        self._environment = {**os.environ, "LC_ALL": "C"}
        try:
            self._master = self._connect(socket)
        except BaseException:
            self._scratch.cleanup()
            raise

    def _connect(self, socket: Path) -> subprocess.Popen[bytes]:
        with self._log.open("wb") as log:
            master = subprocess.Popen(  # noqa: S603 - the system's client
                ["/bin/sh", "-c", _WATCHED, "sh", *self._command, *_MASTER, "--", self.address.host],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=self._environment,
                # Ctrl-C reaches this process alone, which then ends what runs on the device over the connection.
                start_new_session=True,
            )
        end = time.monotonic() + LOGIN_SECONDS
        try:
            while not socket.exists():
                if master.poll() is not None:
                    raise RuntimeMissingError(self._why(self._log.read_text(errors="replace")))
                if time.monotonic() > end:
                    raise RuntimeMissingError(self._slow_login(f"did not end within {LOGIN_SECONDS} s"))
                time.sleep(0.01)
        except BaseException:
            end_process(master)
            raise
        return master

    def execute(self, script: str, timeout: float, stdin: Path | None = None) -> Completed:
        command = [
            *self._command,
            *_SESSION,
            "--",
            self.address.host,
            for_any_shell(script),
        ]
        if self._master.poll() is not None:
            # Without the master the client would open a connection of its own.
            raise self._cut()
        done = self._call(
            command, timeout, f"{self.address.text} did not answer", stdin or "open", self._environment
        )
        if done.status == _CLIENT_FAILED or self._master.poll() is not None:
            raise self._cut(done.stderr)
        return done

    def close(self) -> None:
        super().close()
        end_process(self._master)
        self._scratch.cleanup()

    def _cut(self, said: str = "") -> RuntimeMissingError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._master.wait(timeout=1)
        log = f"{self._log.read_text(errors='replace')}\n{said}".strip().splitlines()
        reason = f" ({log[-1].strip()})" if log else ""
        return RuntimeMissingError(
            f"the connection to {self.address.text} was cut{reason}: check the network and the device, then run again; "
            "what ran there has ended, and what was pushed whole is not pushed again"
        )

    def _why(self, log: str) -> str:
        """The message of the client, as one line with the remedy."""
        device, host = self.address.text, self.address.host
        lines = [line.strip() for line in log.splitlines() if line.strip()]
        port = f" -p {self.address.port}" if self.address.port else ""
        last = lines[-1] if lines else "the client gave no reason"
        if "REMOTE HOST IDENTIFICATION HAS CHANGED" in log:
            return (
                f"{device}: its host key has changed: either the device was installed anew, or somebody stands between; if you know "
                f"why, remove the old key with  ssh-keygen -R {self._known_name()}  and accept the new one"
            )
        if "Host key verification failed" in log or "host key is known" in log:
            known = self._options.known_hosts
            file = f" -o UserKnownHostsFile={known}" if known else ""
            user = f"{self.address.user}@" if self.address.user else ""
            return (
                f"{device}: its host key is not known: log in once with  ssh{port}{file} {user}{host}  and compare the key that it shows "
                "with the device's own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub)"
            )
        if "Permission denied" in log:
            user = f"{self.address.user}@" if self.address.user else ""
            return (
                f"{device} refuses the key: install yours there with  ssh-copy-id{port} {user}{host},  load it into the agent "
                "(ssh-add) or name it with --ssh-identity"
            )
        if "Could not resolve" in log:
            return f"{device}: no such host: {last}"
        if "Connection refused" in log:
            return f"{device}: nothing listens there: is sshd running on port {self.address.port or 22}? ({last})"
        if "banner exchange" in log or "key exchange" in log:
            return f"{device} accepts the connection, and its sshd says nothing for {CONNECT_SECONDS} s: is the device overloaded? ({last})"
        if re.search("^Connection to .* timed out", log, re.MULTILINE):
            return self._slow_login(f"did not go on for {_ALIVE_SECONDS * _ALIVE_COUNT} s")
        if "timed out" in log or "No route" in log or "unreachable" in log:
            return f"{device} cannot be reached: is it switched on and in this network? ({last})"
        return f"{device} cannot be reached: {last}"

    def _slow_login(self, what: str) -> str:
        return (
            f"{self.address.text} accepts the connection, but the login {what}: is the device overloaded, or does its sshd wait for a "
            "name server? (UseDNS no)"
        )

    def _known_name(self) -> str:
        """As known_hosts names the host."""
        port = self.address.port
        return self.address.host if port in {None, 22} else f"'[{self.address.host}]:{port}'"
