"""Addresses of devices, as they are typed after `--device`."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from fdabnn_deploy.errors import UsageError

Kind = Literal["local", "qemu-aarch64", "ssh", "adb"]
FORMS = "local, qemu-aarch64, ssh://user@host[:port], adb[:serial]"


@dataclass(frozen=True)
class Address:
    """Where a device is.

    Attributes:
        text: as it was typed.
        kind: how it is reached.
        host: of an ssh device: a name, an address, or an alias of the client's configuration.
        user: to log in as, None for the client's own choice.
        port: None for the client's own choice.
        serial: of an adb device, None for the only one that is connected.
    """

    text: str
    kind: Kind
    host: str = ""
    user: str | None = None
    port: int | None = None
    serial: str | None = None


def parse(text: str) -> Address:
    """Reads an address.

    Raises:
        UsageError: it has none of the forms.
    """
    if text == "local":
        return Address(text, "local")
    if text == "qemu-aarch64":
        return Address(text, "qemu-aarch64")
    if text == "adb":
        return Address(text, "adb")
    if text.startswith("adb:"):
        serial = text.removeprefix("adb:")
        if not serial or serial.startswith("-") or any(c.isspace() for c in serial):
            raise UsageError(f"device '{text}' names no serial: write  adb:SERIAL, as  adb devices  lists it")
        return Address(text, "adb", serial=serial)
    if text.startswith("ssh://"):
        return _ssh(text)
    near = difflib.get_close_matches(text.partition(":")[0], ["local", "qemu-aarch64", "ssh", "adb"], n=1)
    hint = {"ssh": "did you mean ssh://user@host? "}.get(near[0], f"did you mean {near[0]}? ") if near else ""
    if not hint and "@" in text:
        hint = f"did you mean ssh://{text}? "
    raise UsageError(f"unknown device '{text}': {hint}known are {FORMS}")


def _ssh(text: str) -> Address:
    try:
        parts = urlsplit(text)
        host, port, user = parts.hostname, parts.port, parts.username
    except ValueError as error:
        raise UsageError(f"device '{text}' cannot be read ({error}): write  ssh://user@host[:port]") from None
    if parts.password is not None:
        raise UsageError("device 'ssh://...' holds a password: only keys log in")
    if not host or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise UsageError(f"device '{text}' is not of the form  ssh://user@host[:port]")
    # `hostname` is in lower case, but an alias of ssh's configuration need not be.
    start = parts.netloc.lower().rfind(host)
    host = parts.netloc[start : start + len(host)]
    # The client would take it for an option.
    if host.startswith("-") or (user is not None and (not user or user.startswith("-"))):
        raise UsageError(f"device '{text}' is not of the form  ssh://user@host[:port]")
    return Address(text, "ssh", host, user, port)
