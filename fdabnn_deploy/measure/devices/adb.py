"""A device behind the Android Debug Bridge, by the system's `adb`.

What is tested of this without a phone: the client's own refusals (no `adb`, no device, an unknown serial), and that it pushes, runs and
removes against a server of the tests' own, which does on this machine what adbd does on a device.
The programs are made for glibc, which Android does not have: a board with Linux and adbd runs them, a phone says that it cannot.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Literal

from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.measure.devices.address import Address
from fdabnn_deploy.measure.devices.device import Completed
from fdabnn_deploy.measure.devices.shell_device import ShellDevice
from fdabnn_deploy.system.programs import ADB, find

_FOLDER = "/data/local/tmp/fdabnn-profile"
_SHORT = 30.0
_STATES = {
    "unauthorized": "unlock its screen and allow this computer to debug it",
    "offline": "plug it in again, or  adb reconnect",
    "no permissions": "this user may not open the USB device: see  https://developer.android.com/tools/device",
    "recovery": "start its system",
    "sideload": "start its system",
    "bootloader": "start its system",
}


class AdbDevice(ShellDevice):
    """See the module.

    Args:
        address: of kind adb.

    Raises:
        RuntimeMissingError: no `adb` that works is installed, or the device is not there or not ready; the message says why.
    """

    def __init__(self, address: Address) -> None:
        super().__init__(address, _FOLDER)
        self._client = find(ADB).path
        self._serial = self._choose(self._devices())

    def _devices(self) -> dict[str, str]:
        """The state of every device by its serial."""
        done = self._adb(["devices"], _SHORT)
        if done.status != 0:
            raise RuntimeMissingError(
                f"{self.address.text}: adb does not work: {done.last_line or done.stdout.strip()}"
            )
        rows = [line.split("\t", 1) for line in done.stdout.splitlines() if "\t" in line]
        return {row[0].strip(): row[1].strip() for row in rows}

    def _choose(self, devices: dict[str, str]) -> str:
        listed = ", ".join(f"{serial} ({state})" for serial, state in devices.items()) or "none"
        wanted = self.address.serial
        if wanted is None:
            if len(devices) != 1:
                remedy = "plug one in and allow debugging" if not devices else "name one: adb:SERIAL"
                raise RuntimeMissingError(f"adb: {len(devices)} devices are connected ({listed}): {remedy}")
            wanted = next(iter(devices))
        if wanted not in devices:
            raise RuntimeMissingError(f"{self.address.text} is not connected: adb devices lists {listed}")
        state = devices[wanted]
        if state != "device":
            remedy = next(
                (text for name, text in _STATES.items() if state.startswith(name)), "see  adb devices"
            )
            raise RuntimeMissingError(f"{self.address.text} is not ready: adb calls it '{state}': {remedy}")
        return wanted

    def execute(self, script: str, timeout: float, stdin: Path | None = None) -> Completed:
        command = ["-s", self._serial, "shell", "-T", f"sh -c {shlex.quote(script)}"]
        done = self._adb(command, timeout, stdin or "open")
        if done.status != 0 and done.stderr.startswith(("error: device", "adb: device", "error: closed")):
            raise RuntimeMissingError(
                f"the connection to {self.address.text} was cut ({done.last_line}): plug the device in again, then run again"
            )
        return done

    def _adb(
        self, arguments: list[str], timeout: float, stdin: Path | Literal["open"] | None = None
    ) -> Completed:
        too_long = f"{self.address.text}: adb {arguments[0]} did not end (adb kill-server may help)"
        return self._call([self._client, *arguments], timeout, too_long, stdin)
