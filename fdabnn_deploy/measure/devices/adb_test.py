"""The real `adb` client: against no device, and against a server of the tests' own whose devices are this machine."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.measure.devices import adb
from fdabnn_deploy.measure.devices.adb import AdbDevice
from fdabnn_deploy.measure.devices.adb_server_testing import Server, run_server
from fdabnn_deploy.measure.devices.address import parse
from fdabnn_deploy.system.programs import ADB
from fdabnn_deploy.system.programs_testing import wanted

pytestmark = pytest.mark.programs

READY, LOCKED, ASLEEP = "0123AB", "10.0.0.7:5555", "emulator-5554"
DEVICES = {READY: "device", LOCKED: "unauthorized", ASLEEP: "offline"}


@pytest.fixture(scope="module")
def client() -> str:
    """The client; skips where there is none, which CI must not."""
    return wanted(ADB)


@pytest.fixture
def server(client: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    said = subprocess.run([client, "version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"version 1\.0\.(\d+)", said)
    assert version is not None
    with run_server(int(version[1]), DEVICES) as running:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(running.port))
        monkeypatch.setattr(adb, "_FOLDER", str(tmp_path / "phone"))
        yield running


def refusal(address: str) -> str:
    with pytest.raises(RuntimeMissingError) as refused:
        AdbDevice(parse(address))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_no_device_is_connected(client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's own server, on a port of its own."""
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "15037")
    try:
        listed = subprocess.run([client, "devices"], capture_output=True, text=True, check=True, timeout=60)
        if "\t" in listed.stdout:
            pytest.skip("a device is connected")
        assert refusal("adb") == ("adb: 0 devices are connected (none): plug one in and allow debugging")
        assert "adb:0123AB is not connected" in refusal("adb:0123AB")
    finally:
        subprocess.run([client, "kill-server"], capture_output=True, check=False, timeout=60)


def test_adb_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refusal("adb") == "adb is missing: install it with  apt install adb"


def test_states_come_with_the_remedy(server: Server) -> None:
    assert "name one: adb:SERIAL" in refusal("adb")
    assert "unlock its screen" in refusal(f"adb:{LOCKED}")
    assert "plug it in again" in refusal(f"adb:{ASLEEP}")
    listed = refusal("adb:unknown")
    assert all(serial in listed for serial in DEVICES)


def test_a_program_is_pushed_once_and_runs(server: Server, tmp_path: Path) -> None:
    program = tmp_path / "show"
    program.write_text('#!/bin/sh\nfor a in "$@"; do echo "$a"; echo "err $a" >&2; done\nexit 7\n')
    program.chmod(0o755)
    pushed: list[str] = []
    arguments = ["a b", "$HOME", "it's"]
    with AdbDevice(parse(f"adb:{READY}")) as device:
        assert device.machine() == os.uname().machine
        (place,) = device.place([program], pushed.append)
        assert device.place([program], pushed.append) == [place]
        assert len(pushed) == 1
        done = device.run([place, *arguments], 30)
        assert (done.status, done.stdout.splitlines(), done.last_line) == (7, arguments, "err it's")
        assert Path(place).is_relative_to(tmp_path / "phone")
        device.clean()
    assert not (tmp_path / "phone").exists()


def test_a_program_that_the_device_cannot_start(server: Server, tmp_path: Path) -> None:
    """As a phone answers, which has no glibc: its loader is not there."""
    program = tmp_path / "foreign"
    program.write_text("#!/no/such/loader\n")
    with AdbDevice(parse(f"adb:{READY}")) as device:
        (place,) = device.place([program], lambda _: None)
        with pytest.raises(RuntimeMissingError, match=r"cannot start foreign .*64-bit Linux with glibc"):
            device.run([place], 30)


def test_a_program_does_not_outlive_the_time(server: Server) -> None:
    with AdbDevice(parse(f"adb:{READY}")) as device, pytest.raises(RuntimeMissingError, match="within 1 s"):
        device.run(["/bin/sleep", "63.25"], 1)
