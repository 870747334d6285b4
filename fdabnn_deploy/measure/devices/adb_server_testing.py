"""A server that speaks the protocol of adb's host, for the real `adb` client: its devices run commands on this machine.

Not a phone: it shows that this side and the client understand each other. Sources: SERVICES.TXT, OVERVIEW.TXT and shell_service.h of
https://android.googlesource.com/platform/packages/modules/adb. A request is four hexadecimal digits of length and a text. The packets of
`shell,v2` are a byte of kind (0 stdin, 1 stdout, 2 stderr, 3 exit, 4 end of stdin), four bytes of length and data.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator

_STDIN, _STDOUT, _STDERR, _EXIT, _END = range(5)
_PACKET = struct.Struct("<BI")


class Server:
    """See the module.

    Args:
        version: that the client asks for; it replaces a server of another one.
        devices: states by serial, as `adb devices` prints them.
    """

    def __init__(self, version: int, devices: dict[str, str]) -> None:
        self._version, self._devices = version, devices
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Ends the server."""
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(ConnectionError, ValueError, OSError):
            while True:
                request = _read(connection, int(_read(connection, 4), 16)).decode()
                if request == "host:version":
                    _send(connection, f"{self._version:04x}")
                    return
                if request == "host:devices":
                    _send(connection, "".join(f"{s}\t{state}\n" for s, state in self._devices.items()))
                    return
                if request.endswith(":features") or request == "host:features":
                    _send(connection, "shell_v2,cmd")
                    return
                if request.startswith("host:tport:serial:"):
                    connection.sendall(b"OKAY" + struct.pack("<Q", 1))
                elif request.startswith("host:transport:"):
                    connection.sendall(b"OKAY")
                elif request.startswith("shell,v2"):
                    connection.sendall(b"OKAY")
                    _shell(connection, request.partition(":")[2])
                    return
                else:
                    connection.sendall(b"FAIL" + _sized(f"no service {request}"))
                    return


def _shell(connection: socket.socket, command: str) -> None:
    process = subprocess.Popen(
        ["/bin/sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    lock = threading.Lock()

    def pump(kind: int, stream: object) -> None:
        while data := stream.read1(65536):  # type: ignore[attr-defined]
            with lock:
                connection.sendall(_PACKET.pack(kind, len(data)) + data)

    def feed() -> None:
        assert process.stdin is not None
        with contextlib.suppress(ConnectionError, OSError):
            while True:
                kind, size = _PACKET.unpack(_read(connection, _PACKET.size))
                data = _read(connection, size)
                if kind == _STDIN:
                    process.stdin.write(data)
                    process.stdin.flush()
                elif kind == _END:
                    break
        with contextlib.suppress(OSError):
            process.stdin.close()

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    pumps = [
        threading.Thread(target=pump, args=(kind, stream))
        for kind, stream in ((_STDOUT, process.stdout), (_STDERR, process.stderr))
    ]
    for thread in pumps:
        thread.start()
    for thread in pumps:
        thread.join()
    status = process.wait()
    for pipe in (process.stdout, process.stderr):
        assert pipe is not None
        pipe.close()
    connection.sendall(_PACKET.pack(_EXIT, 1) + bytes([status & 0xFF]))
    # Closing alone does not end it while the feeder waits for more.
    connection.shutdown(socket.SHUT_RDWR)
    feeder.join()


def _sized(text: str) -> bytes:
    return f"{len(text):04x}{text}".encode()


def _send(connection: socket.socket, text: str) -> None:
    connection.sendall(b"OKAY" + _sized(text))


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionError("closed")
        data += part
    return data


@contextlib.contextmanager
def run_server(version: int, devices: dict[str, str]) -> Iterator[Server]:
    """Starts a server and ends it."""
    server = Server(version, devices)
    try:
        yield server
    finally:
        server.close()
