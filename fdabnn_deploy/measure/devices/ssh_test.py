"""Against a real sshd on loopback."""

from __future__ import annotations

import contextlib
import itertools
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from getpass import getuser
from pathlib import Path

import pytest

from fdabnn_deploy.errors import RuntimeMissingError, UsageError
from fdabnn_deploy.measure.devices.address import parse
from fdabnn_deploy.measure.devices.device import sha256_of
from fdabnn_deploy.measure.devices.ssh import SshDevice, SshOptions
from fdabnn_deploy.measure.devices.sshd_testing import Sshd, run_sshd
from fdabnn_deploy.system.programs_testing import skip, wanted_compiler

pytestmark = pytest.mark.programs


def quiet(_: str) -> None:
    """Tells nobody."""


def connect(server: Sshd) -> SshDevice:
    return SshDevice(parse(server.address), server.options)


def refusal(address: str, options: SshOptions) -> str:
    with pytest.raises(RuntimeMissingError) as refused:
        SshDevice(parse(address), options)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with run_sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A program to bring to a device: prints its arguments, one per line, to both streams."""
    path = tmp_path / "show"
    path.write_text('#!/bin/sh\nfor a in "$@"; do echo "$a"; echo "err $a" >&2; done\nexit 7\n')
    path.chmod(0o755)
    return path


def test_a_program_is_pushed_once_and_runs(server: Sshd, script: Path) -> None:
    pushed: list[str] = []
    arguments = ["a b", "$HOME", "it's", '"', ""]
    with connect(server) as device:
        assert device.machine() == os.uname().machine
        (place,) = device.place([script], pushed.append)
        done = device.run([place, *arguments], 30)
    assert (done.status, done.stdout.split("\n")[:-1]) == (7, arguments)
    assert done.last_line == "err"
    assert place == f"{server.cache}/fdabnn-profile/{sha256_of(script)}/show"
    with connect(server) as device:
        assert device.place([script], pushed.append) == [place]
        assert len(pushed) == 1
        Path(place).write_text("#!/bin/sh\necho damaged\n")
        device.place([script], pushed.append)
        assert len(pushed) == 2
        assert device.run([place, "x"], 30).stdout == "x\n"
        device.clean()
    assert not (server.cache / "fdabnn-profile").exists()


def test_an_unknown_host_key_is_refused(server: Sshd) -> None:
    said = refusal(server.address, replace(server.options, known_hosts=server.folder / "nobody"))
    assert "its host key is not known: log in once with  ssh -p" in said


def test_a_changed_host_key_is_refused(server: Sshd, tmp_path: Path) -> None:
    key = (server.folder / "unknown_key.pub").read_text().split()
    (tmp_path / "known").write_text(f"[127.0.0.1]:{server.port} {key[0]} {key[1]}\n")
    said = refusal(server.address, replace(server.options, known_hosts=tmp_path / "known"))
    assert "its host key has changed" in said
    assert f"ssh-keygen -R '[127.0.0.1]:{server.port}'" in said


def test_a_wrong_key_is_refused(server: Sshd) -> None:
    said = refusal(server.address, replace(server.options, identity=server.folder / "unknown_key"))
    assert "refuses the key" in said
    assert "ssh-copy-id -p" in said


def test_nobody_listens(server: Sshd) -> None:
    said = refusal("ssh://me@127.0.0.1:1", server.options)
    assert "is sshd running on port 1?" in said


def test_no_such_host(server: Sshd) -> None:
    assert "no such host" in refusal("ssh://me@host.invalid", server.options)


def test_a_key_file_that_is_not_there(server: Sshd, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no file .*absent"):
        SshDevice(parse(server.address), replace(server.options, identity=tmp_path / "absent"))


def test_a_file_name_with_a_space(server: Sshd, tmp_path: Path) -> None:
    odd = tmp_path / "known hosts"
    shutil.copy(server.folder / "known_hosts", odd)
    with SshDevice(parse(server.address), replace(server.options, known_hosts=odd)) as device:
        assert device.machine() == os.uname().machine


def test_a_program_does_not_outlive_the_time(server: Sshd) -> None:
    with connect(server) as device, pytest.raises(RuntimeMissingError, match="did not answer within 1 s"):
        device.run(["/bin/sleep", "61.25"], 1)
    assert_ended("sleep\x0061.25")


def test_a_connection_that_is_cut(server: Sshd, script: Path) -> None:
    with connect(server) as device:
        threading.Timer(0.7, server.cut).start()
        with pytest.raises(RuntimeMissingError, match=r"the connection to ssh://.* was cut"):
            device.run(["/bin/sleep", "62.25"], 30)
        with pytest.raises(RuntimeMissingError, match="was cut"):
            device.place([script], quiet)
    assert_ended("sleep\x0062.25")


def test_a_push_that_is_cut_leaves_nothing_that_counts(server: Sshd, tmp_path: Path) -> None:
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(400_000_000)
    folder = server.cache / "fdabnn-profile" / sha256_of(big)

    def cut_in_the_middle() -> None:
        wait_until(lambda: any(part.stat().st_size for part in folder.glob("part.*")))
        server.cut()

    cutter = threading.Thread(target=cut_in_the_middle)
    with connect(server) as device:
        cutter.start()
        with pytest.raises(RuntimeMissingError, match="was cut"):
            device.place([big], quiet)
    cutter.join()
    wait_until(lambda: not list(folder.iterdir()))


def test_a_full_disk(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A limit of 8 blocks for each file stands for the disk: a mount needs rights that CI may lack."""
    folder = tmp_path_factory.mktemp("full")
    limited = folder / "limited"
    limited.write_text('#!/bin/sh\ntrap "" XFSZ\nulimit -f 8\nexec sh -c "$SSH_ORIGINAL_COMMAND"\n')
    limited.chmod(0o755)
    big = tmp_path / "big"
    big.write_bytes(bytes(100_000))
    with run_sshd(folder, command=str(limited)) as server, connect(server) as device:
        with pytest.raises(
            RuntimeMissingError, match=r"takes no files, big failed: its disk is full: make room"
        ):
            device.place([big], quiet)
        assert list((server.cache / "fdabnn-profile" / sha256_of(big)).iterdir()) == []


def test_a_full_file_system(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("small")
    mount = folder / "cache"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mount)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("no right to mount a small file system; test_a_full_disk has a limit instead")
    try:
        big = tmp_path / "big"
        big.write_bytes(bytes(200_000))
        with (
            run_sshd(folder) as server,
            connect(server) as device,
            pytest.raises(RuntimeMissingError, match="its disk is full"),
        ):
            device.place([big], quiet)
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_a_folder_that_cannot_be_made(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("blocked")
    (folder / "cache").write_text("a file, no folder")
    refused = pytest.raises(RuntimeMissingError, match="takes no files, its folder for files failed")
    with run_sshd(folder) as server, connect(server) as device, refused:
        device.place([folder / "key"], quiet)


def test_a_shell_that_greets(script: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("greeting")
    greeter = folder / "greeter"
    greeter.write_text('#!/bin/sh\necho Welcome to your board\nexec sh -c "$SSH_ORIGINAL_COMMAND"\n')
    greeter.chmod(0o755)
    with run_sshd(folder, command=str(greeter)) as server, connect(server) as device:
        assert device.machine() == os.uname().machine
        (place,) = device.place([script], quiet)
        assert device.run([place, "x"], 30).stdout == "x\n"


def forced(folder: Path, text: str) -> str:
    """A command of the device that every session runs; what the client asks for is in SSH_ORIGINAL_COMMAND."""
    path = folder / "forced"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def check_that_it_works(server: Sshd, script: Path) -> str:
    """Does with a device what a profile does; returns the path of the file there."""
    pushed: list[str] = []
    with connect(server) as device:
        assert device.machine() == os.uname().machine
        (place,) = device.place([script], pushed.append)
        assert device.place([script], pushed.append) == [place]
        assert len(pushed) == 1
        arguments = ["a b", "it's", "\\", "!!", "$HOME", "%s", "ä", "\n"]
        assert device.run([place, *arguments], 30).stdout == "".join(f"{each}\n" for each in arguments)
        device.clean()
    assert not Path(place).parents[1].exists()
    return place


@pytest.mark.parametrize("shell", ["csh", "tcsh", "fish", "zsh", "ksh", "busybox"])
def test_another_login_shell(shell: str, script: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = shutil.which(shell)
    if path is None:
        if shell == "csh":
            skip(f"{shell} is missing: install it with  apt install csh")
        pytest.skip(f"{shell} is missing; csh stands for those that are no POSIX shells")
    folder = tmp_path_factory.mktemp("shell")
    command = forced(folder, f'exec {path}{" sh" if shell == "busybox" else ""} -c "$SSH_ORIGINAL_COMMAND"')
    with run_sshd(folder, command=command) as server:
        check_that_it_works(server, script)


@pytest.mark.parametrize("name", ["a\\b", "a b", "a'b\"c", "$(echo no)", "-n", "a\nb", "ä", "a%sb", "*"])
def test_odd_names_of_the_cache(name: str, script: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("odd")
    command = forced(
        folder, f'export XDG_CACHE_HOME={shlex.quote(str(folder / name))}\nexec sh -c "$SSH_ORIGINAL_COMMAND"'
    )
    with run_sshd(folder, command=command) as server:
        assert Path(check_that_it_works(server, script)).is_relative_to(folder / name)


@pytest.mark.parametrize(
    ("fails", "message"),
    [
        (
            "echo 'sha256sum: Bad address' >&2; exit 1",
            r"its sha256sum fails \(sha256sum: Bad address\): install coreutils",
        ),
        ("kill -ILL $$", "its sha256sum fails"),
        ("echo 'sh: sha256sum: not found' >&2; exit 127", "it has no sha256sum: install coreutils"),
        ("echo 0000", "arrived damaged: sha256 0000: try again"),
    ],
)
def test_a_sha256sum_that_does_not_work(
    fails: str, message: str, script: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("sum")
    (folder / "sha256sum").write_text(f"#!/bin/sh\n{fails}\n")
    (folder / "sha256sum").chmod(0o755)
    with (
        run_sshd(folder, environment={"PATH": f"{folder}:/usr/bin:/bin"}) as server,
        connect(server) as device,
        pytest.raises(RuntimeMissingError, match=f"takes no files, show failed: {message}"),
    ):
        device.place([script], quiet)


def test_without_a_home(script: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The list of users knows it; where that has none either, it is said."""
    folder = tmp_path_factory.mktemp("homeless")
    command = forced(folder, 'unset HOME XDG_CACHE_HOME\nexec sh -c "$SSH_ORIGINAL_COMMAND"')
    with run_sshd(folder, command=command) as server, connect(server) as device:
        home = Path(f"~{getuser()}").expanduser()
        assert device._make_folder() == f"{home}/.cache/fdabnn-profile"
    (folder / "id").write_text("#!/bin/sh\necho nobody-of-this-name\n")
    (folder / "id").chmod(0o755)
    command = forced(
        folder, f'unset HOME XDG_CACHE_HOME\nPATH={folder}:$PATH\nexec sh -c "$SSH_ORIGINAL_COMMAND"'
    )
    other = folder / "other"
    other.mkdir()
    with (
        run_sshd(other, command=command) as server,
        connect(server) as device,
        pytest.raises(
            RuntimeMissingError,
            match="its user has no home folder: give the user a home folder, or set HOME or",
        ),
    ):
        device.place([script], quiet)


@contextlib.contextmanager
def slow_way(server: Sshd, chunk: int, seconds: float) -> Iterator[str]:
    """An address that leads to a server over a connection on which one chunk of what it sends comes late."""

    def carry(source: socket.socket, target: socket.socket, late: int) -> None:
        with contextlib.suppress(OSError):
            for number in itertools.count():
                content = source.recv(65536)
                if number == late:
                    time.sleep(seconds)
                if not content:
                    break
                target.sendall(content)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", server.port))
                stack.callback(client.close)
                stack.callback(far.close)
                threading.Thread(target=carry, args=(client, far, -1), daemon=True).start()
                threading.Thread(target=carry, args=(far, client, chunk), daemon=True).start()

    with contextlib.ExitStack() as stack, socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield f"ssh://{getuser()}@127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def trusting(server: Sshd, tmp_path: Path) -> SshOptions:
    """Options with which the server is known under every port."""
    config = tmp_path / "config"
    known = (server.folder / "host_key.pub").read_text()
    (tmp_path / "known").write_text(f"device {known}")
    config.write_text("IdentityAgent none\nHostKeyAlias device\n")
    return replace(server.options, known_hosts=tmp_path / "known", config=config)


IN_THE_LOGIN = 4
"""The chunk in which the server answers the client's key; before it come its banner and the exchange of keys."""


@pytest.mark.long
def test_a_shell_that_takes_35_seconds(script: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("slow")
    command = forced(folder, 'sleep 35\nexec sh -c "$SSH_ORIGINAL_COMMAND"')
    with run_sshd(folder, command=command) as server, connect(server) as device:
        assert device.machine() == os.uname().machine
        (place,) = device.place([script], quiet)
        assert device.run([place, "x"], 90).stdout == "x\n"


@pytest.mark.long
def test_a_login_that_takes_35_seconds(server: Sshd, trusting: SshOptions) -> None:
    with slow_way(server, IN_THE_LOGIN, 35) as address, SshDevice(parse(address), trusting) as device:
        assert device.machine() == os.uname().machine


def test_a_login_that_takes_too_long(
    server: Sshd, trusting: SshOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    with slow_way(server, IN_THE_LOGIN, 1.5) as address, SshDevice(parse(address), trusting) as device:
        assert device.machine() == os.uname().machine
    monkeypatch.setattr("fdabnn_deploy.measure.devices.ssh._ALIVE_SECONDS", 1)
    with slow_way(server, IN_THE_LOGIN, 10) as address:
        assert "accepts the connection, but the login did not go on for 3 s" in refusal(address, trusting)
    monkeypatch.setattr("fdabnn_deploy.measure.devices.ssh.LOGIN_SECONDS", 1)
    with slow_way(server, IN_THE_LOGIN, 10) as address:
        assert "accepts the connection, but the login did not end within 1 s" in refusal(address, trusting)


def test_a_server_that_accepts_and_says_nothing(
    server: Sshd, trusting: SshOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fdabnn_deploy.measure.devices.ssh.CONNECT_SECONDS", 1)
    with slow_way(server, 0, 10) as address:
        assert (
            "accepts the connection, and its sshd says nothing for 1 s: is the device overloaded?"
            in refusal(address, trusting)
        )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_connection_ends_with_the_process(number: signal.Signals, server: Sshd) -> None:
    """Also one that is killed; what it leaves in the folder of temporary files goes with the next one."""
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from fdabnn_deploy.measure.devices.address import parse\nfrom fdabnn_deploy.measure.devices.ssh import SshDevice, SshOptions\n"
        "address, *files = sys.argv[1:]\n"
        "device = SshDevice(parse(address), SshOptions(*map(Path, files)))\n"
        "print(device._scratch.path, flush=True)\ntime.sleep(60)"
    )
    options = server.options
    files = (str(options.identity), str(options.known_hosts), str(options.config))
    command = [sys.executable, "-c", code, server.address, *files]
    # Connections of other tests may still be ending, one that was cut in its login after two minutes.
    others = set(server.connections())
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = process.stdout.readline().strip()
        assert running(folder)
        own = set(server.connections()) - others
        assert own
        process.send_signal(number)
    assert_ended(folder)
    wait_until(lambda: own.isdisjoint(server.connections()))
    assert Path(folder).is_dir()
    with connect(server):
        assert not Path(folder).exists()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("armv7l", r"it runs a 32-bit system \(armv7l\)"),
        ("riscv64", "its processor is called riscv64"),
        ("aarch64\n32", "its kernel is aarch64, but its system has 32 bits"),
    ],
)
def test_a_device_of_another_kind(
    tmp_path_factory: pytest.TempPathFactory, answer: str, message: str
) -> None:
    folder = tmp_path_factory.mktemp("other")
    kernel, _, bits = answer.partition("\n")
    for name, text in (("uname", kernel), ("getconf", bits)):
        (folder / name).write_text(f"#!/bin/sh\necho {text}\n")
        (folder / name).chmod(0o755)
    with (
        run_sshd(folder, environment={"PATH": f"{folder}:/usr/bin:/bin"}) as server,
        connect(server) as device,
        pytest.raises(RuntimeMissingError, match=message),
    ):
        device.machine()


def test_a_program_for_another_processor(server: Sshd, tmp_path: Path) -> None:
    """The head of an ELF file for another machine."""
    foreign = tmp_path / "foreign"
    head = bytearray(Path("/bin/sh").resolve().read_bytes()[:4096])
    head[18:20] = (0xF3).to_bytes(2, "little")
    foreign.write_bytes(head)
    with connect(server) as device:
        (place,) = device.place([foreign], quiet)
        with pytest.raises(RuntimeMissingError, match="cannot start foreign"):
            device.run([place], 30)


def test_a_processor_without_the_instructions(server: Sshd, tmp_path: Path) -> None:
    """A program that meets an instruction the processor does not know."""
    compiler = wanted_compiler("cc")
    source = tmp_path / "trap.c"
    source.write_text("int main(void) { __builtin_trap(); }\n")
    subprocess.run([compiler, "-o", str(tmp_path / "trap"), str(source)], check=True, timeout=60)
    with connect(server) as device:
        (place,) = device.place([tmp_path / "trap"], quiet)
        with pytest.raises(RuntimeMissingError, match="its processor lacks an instruction"):
            device.run([place], 30)


def assert_ended(command: str) -> None:
    """No process with these arguments runs any more, at the latest in some seconds."""
    wait_until(lambda: not running(command))


def running(command: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        # The client's own command line holds the script in one argument.
        if command in text and not text.startswith("ssh") and "/ssh" not in text.split("\0")[0]:
            found.append(text)
    return found


def wait_until(condition: object, seconds: float = 30) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
