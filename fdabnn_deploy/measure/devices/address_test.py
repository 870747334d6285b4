from __future__ import annotations

import pytest

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.measure.devices.address import Address, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("local", Address("local", "local")),
        ("qemu-aarch64", Address("qemu-aarch64", "qemu-aarch64")),
        ("ssh://pi@pi4", Address("ssh://pi@pi4", "ssh", "pi4", "pi")),
        ("ssh://Board", Address("ssh://Board", "ssh", "Board")),
        ("ssh://pi@[fe80::1]:2222", Address("ssh://pi@[fe80::1]:2222", "ssh", "fe80::1", "pi", 2222)),
        ("adb", Address("adb", "adb")),
        ("adb:0123AB", Address("adb:0123AB", "adb", serial="0123AB")),
        ("adb:10.0.0.7:5555", Address("adb:10.0.0.7:5555", "adb", serial="10.0.0.7:5555")),
    ],
)
def test_addresses_are_read(text: str, expected: Address) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("locl", "did you mean local?"),
        ("pi@raspberrypi", "did you mean ssh://pi@raspberrypi?"),
        ("", "known are local, qemu-aarch64"),
        ("adb:", "adb devices"),
        ("ssh://", "ssh://user@host"),
        ("ssh://pi@host:99999", "cannot be read"),
        ("ssh://pi@host/folder", "not of the form"),
        ("ssh://-oProxyCommand=x", "not of the form"),
        ("ssh://@host", "not of the form"),
        ("ssh://-l@host", "not of the form"),
    ],
)
def test_what_is_no_address_is_told_why(text: str, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(text)
    assert message in str(refused.value)


def test_a_password_is_refused_and_not_printed() -> None:
    with pytest.raises(UsageError) as refused:
        parse("ssh://pi:secret@host")
    assert "secret" not in str(refused.value)
