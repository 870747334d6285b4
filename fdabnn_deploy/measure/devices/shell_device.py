"""A device behind a POSIX shell: what ssh and adb have in common.

Files lie in a folder of the device's user, each under its hash: `<folder>/<sha256>/<name>`. A file arrives aside, is checked with the
device's own `sha256sum` and then renamed, so that what a cut connection leaves never counts, and is removed by the next run at the
latest. A program runs under a watch that ends it when this side goes away: the shell's standard input, which the connection holds open,
ends then.
"""

from __future__ import annotations

import shlex
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.measure.devices.address import Address
from fdabnn_deploy.measure.devices.device import Completed, Device, Tell, known_machine, sha256_of

KEPT_DAYS = 30
"""Files that no run has used for so long are removed from the device."""

_ENVIRONMENT = 'export LC_ALL=C PATH="$PATH:/usr/bin:/bin"; '
_MARK = "fdabnn-profile-begins"
"""Printed before a script's own output: the start files of some shells print greetings."""
_SHORT = 120.0
"""For what takes no time by itself; the start files of a shell may take most of it."""
_HASH_FAILED = 9
_PUSH_SECONDS = 600.0
_NO_HOME = "its user has no home folder"
_NO_SPACE = ("No space left", "Disk quota exceeded", "Disc quota exceeded", "File too large")
_READ_ONLY = ("Read-only file system", "Permission denied")
_NOT_STARTED = {126, 127}
_ILLEGAL_INSTRUCTION = 128 + 4
_KILLED = 128 + 9
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _-./:=,+@")


def for_any_shell(script: str) -> str:
    r"""A command line with which every login shell, csh and fish among them, runs a script in `sh`.

    They differ in what they make of quotes, `$`, `!`, backslashes and line ends within quotes. So all that but letters, digits and some
    harmless signs is written as `\ooo`, in octal, and the `sh` that they start puts the script together again.
    """
    coded = "".join(
        chr(byte) if byte in _PLAIN else "%%" if byte == ord("%") else f"\\{byte:03o}"
        for byte in script.encode()
    )
    return f"""sh -c 'eval "$(printf "{coded}")"'"""


class ShellDevice(Device):
    """See the module.

    Args:
        address: where the device is.
        folder: for the files, a word of the shell that may hold its variables.
    """

    def __init__(self, address: Address, folder: str) -> None:
        super().__init__(address)
        self._folder_word = folder
        self._folder = ""

    @abstractmethod
    def execute(self, script: str, timeout: float, stdin: Path | None = None) -> Completed:
        """Runs a script in the device's `sh`; its standard input is a file, or stays open for as long as the call lasts.

        Raises:
            RuntimeMissingError: the device cannot be reached, the connection was cut, or the time (s) was over.
        """

    def _shell(self, script: str, timeout: float, stdin: Path | None = None) -> Completed:
        """`execute` in a known environment, without what the device's start files print."""
        done = self.execute(f"{_ENVIRONMENT}echo {_MARK}\n{script}", timeout, stdin)
        return Completed(done.status, done.stdout.partition(f"{_MARK}\n")[2], done.stderr)

    def machine(self) -> str:
        done = self._shell("uname -m && getconf LONG_BIT 2>/dev/null || :", _SHORT)
        lines = done.stdout.split()
        if done.status != 0 or not lines:
            raise RuntimeMissingError(
                f"{self.address.text} does not answer `uname -m` ({done.last_line or done.status}): a POSIX shell is needed there"
            )
        # The kernel of 64 bits that many boards run under a system of 32.
        if lines[1:] == ["32"]:
            raise RuntimeMissingError(
                f"{self.address.text}: its kernel is {lines[0]}, but its system has 32 bits: install a 64-bit system on it"
            )
        return known_machine(lines[0], self.address.text)

    def place(self, files: Sequence[Path], tell: Tell) -> list[str]:
        folder = self._make_folder()
        wanted = [(path, sha256_of(path)) for path in files]
        places = [f"{folder}/{digest}/{path.name}" for path, digest in wanted]
        present = self._present(places, [digest for _, digest in wanted])
        for (path, digest), place in zip(wanted, places, strict=True):
            if place not in present:
                tell(f"pushing {path.name} ({path.stat().st_size / 1e6:.1f} MB)")
                self._push(path, digest, place)
                present.add(place)
        return places

    def run(self, command: Sequence[str], timeout: float) -> Completed:
        # A background process of `sh` reads /dev/null and ignores Ctrl-C; the watch sees the end of our standard input instead.
        script = (
            "exec 3<&0\n"
            f"{shlex.join(command)} 3<&- </dev/null & pid=$!\n"
            "(trap 'exit 0' TERM; cat <&3 >/dev/null; kill $pid) >/dev/null 2>&1 & watch=$!\n"
            "exec 3<&-\n"
            "wait $pid; status=$?; kill $watch 2>/dev/null\n"
            "exit $status"
        )
        done = self._shell(script, timeout)
        name = Path(command[0]).name
        said = f" ({done.last_line})" if done.last_line else ""
        if done.status in _NOT_STARTED:
            raise RuntimeMissingError(
                f"{self.address.text} cannot start {name}{said}: it needs a 64-bit Linux with glibc, and a folder for "
                f"{self._folder} that is not mounted noexec"
            )
        if done.status == _ILLEGAL_INSTRUCTION:
            raise RuntimeMissingError(
                f"{self.address.text}: its processor lacks an instruction that {name} or the runtime was compiled with"
            )
        if done.status == _KILLED:
            raise RuntimeMissingError(
                f"{self.address.text}: {name} was killed there, most likely for want of memory"
            )
        return done

    def clean(self) -> None:
        """Removes all files that any run has brought to the device."""
        self._shell(f"rm -rf {shlex.quote(self._make_folder())}", _SHORT)

    def _make_folder(self) -> str:
        """Makes the folder, removes parts that a cut connection left and files long unused, and gives back its path."""
        if not self._folder:
            # mtime counts days since the last use: `_present` touches what it finds.
            script = (
                # Where the environment has no HOME, the list of users may know it.
                'case "${HOME:-}" in /*) ;; *) HOME=$(eval "echo ~$(id -un)"); esac\n'
                f"umask 077; d={self._folder_word}\n"
                f'case "$d" in "~"*) echo "{_NO_HOME}" >&2; exit 1;; esac\n'
                'mkdir -p "$d" || exit 1\n'
                'find "$d" -name "part.*" -mmin +10 -exec rm -f {} + 2>/dev/null\n'
                f'find "$d" -mindepth 1 -maxdepth 1 -mtime +{KEPT_DAYS} -exec rm -rf {{}} + 2>/dev/null\n'
                'printf "%s\\n" "$d"'
            )
            done = self._shell(script, _SHORT)
            if done.status != 0:
                raise self._refused(done, "its folder for files")
            self._folder = done.stdout.removesuffix("\n")
        return self._folder

    def _present(self, places: Sequence[str], digests: Sequence[str]) -> set[str]:
        """Those of the files that are there with the right content."""
        tests = [
            # The name is not sha256sum's to print, which escapes some.
            f"if [ -f {shlex.quote(place)} ]; then set -- $(sha256sum <{shlex.quote(place)}); "
            f'[ "$1" = {digest} ] && touch {shlex.quote(str(Path(place).parent))} && echo {number}; fi'
            for number, (place, digest) in enumerate(zip(places, digests, strict=True))
        ]
        done = self._shell("\n".join([*tests, ":"]), _PUSH_SECONDS)
        return {places[int(number)] for number in done.stdout.split()}

    def _push(self, path: Path, digest: str, place: str) -> None:
        target = shlex.quote(place)
        folder = shlex.quote(str(Path(place).parent))
        script = (
            f"umask 077; mkdir -p {folder} || exit 1; t={folder}/part.$$\n"
            "trap 'rm -f \"$t\"' EXIT; trap 'exit 1' HUP INT PIPE TERM\n"
            'cat >"$t" || exit 1\n'
            f's=$(sha256sum <"$t") || exit {_HASH_FAILED}\n'
            "set -- $s\n"
            f'[ "$1" = {digest} ] || {{ echo "arrived damaged: sha256 $1" >&2; exit 1; }}\n'
            f'chmod 700 "$t" && mv -f "$t" {target}'
        )
        done = self._shell(script, _PUSH_SECONDS, path)
        if done.status != 0:
            raise self._refused(done, path.name)

    def _refused(self, done: Completed, what: str) -> RuntimeMissingError:
        said = done.stderr.strip() or f"status {done.status}"
        if any(text in said for text in _NO_SPACE):
            remedy = "make room there (df -h), or run once with --clean"
            reason = "its disk is full"
        elif any(text in said for text in _READ_ONLY):
            remedy, reason = "the user needs a folder to write to", "it cannot be written"
        elif done.status == _HASH_FAILED:
            reason = (
                "it has no sha256sum"
                if "not found" in said
                else f"its sha256sum fails ({said.splitlines()[-1]})"
            )
            remedy = "install coreutils there"
        elif _NO_HOME in said:
            reason = _NO_HOME
            remedy = "give the user a home folder, or set HOME or XDG_CACHE_HOME in the environment of its sessions"
        else:
            remedy, reason = "try again", done.last_line or said
        return RuntimeMissingError(f"{self.address.text} takes no files, {what} failed: {reason}: {remedy}")
