"""From an address to a device."""

from __future__ import annotations

from fdabnn_deploy.measure.devices.adb import AdbDevice
from fdabnn_deploy.measure.devices.address import Address
from fdabnn_deploy.measure.devices.device import Device
from fdabnn_deploy.measure.devices.local import LocalDevice, QemuDevice
from fdabnn_deploy.measure.devices.ssh import SshDevice, SshOptions


def connect(address: Address, ssh: SshOptions | None = None) -> Device:
    """Connects to a device.

    Raises:
        UsageError: an option for ssh names a file that is not there.
        RuntimeMissingError: the device cannot be reached; the message says why.
    """
    if address.kind == "ssh":
        return SshDevice(address, ssh)
    if address.kind == "adb":
        return AdbDevice(address)
    return QemuDevice(address) if address.kind == "qemu-aarch64" else LocalDevice(address)
