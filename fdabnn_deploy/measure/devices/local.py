"""This machine as a device: nothing is copied, the files are used where they are."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

from fdabnn_deploy.measure.devices.device import Completed, Device, Tell, known_machine
from fdabnn_deploy.runtimes.emulator import arm_root
from fdabnn_deploy.runtimes.emulator.arm_root import Guest

_TOO_LONG = "the runner did not end"


class LocalDevice(Device):
    """This machine."""

    def machine(self) -> str:
        return known_machine(platform.machine().lower(), self.address.text)

    def place(self, files: Sequence[Path], tell: Tell) -> list[str]:
        return [str(path.absolute()) for path in files]

    def run(self, command: Sequence[str], timeout: float) -> Completed:
        return self._call(command, timeout, _TOO_LONG)


class QemuDevice(LocalDevice):
    """An ARM processor under the emulator, in the arm64 root (docs/arm.md). What it computes is real, how long it takes means nothing."""

    _guest: Guest | None = None

    @property
    def guest(self) -> Guest:
        """The root and its emulator.

        Raises:
            RuntimeMissingError: one of them is not there.
        """
        if self._guest is None:
            self._guest = arm_root.find()
        return self._guest

    def machine(self) -> str:
        return "aarch64"

    def run(self, command: Sequence[str], timeout: float) -> Completed:
        guest = self.guest
        emulated = [guest.qemu, "-L", str(guest.root), *command]
        return self._call(emulated, timeout, _TOO_LONG, environment=guest.environment())
