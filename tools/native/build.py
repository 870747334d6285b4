"""Builds `fdabnn_deploy/native/` with the compiler of the PyPI package `ziglang`.

    python tools/native/build.py                                   for this machine, into the checkout
    python tools/native/build.py --target aarch64-linux-gnu.2.17 --out build/aarch64

Every product is linked from the .cc files of its folders (`PRODUCTS`); the end of a file's name says which instructions it may use.
Objects are kept in `build/native/` by the content of what they were made from. Products need nothing but glibc 2.17 or newer.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "fdabnn_deploy" / "native"
LIB = NATIVE / "lib"
CACHE = ROOT / "build" / "native"

TARGETS = {"x86_64": "x86_64-linux-gnu.2.17", "aarch64": "aarch64-linux-gnu.2.17"}

COMPILE = [
    *("-std=c++17", "-O3", "-g0", "-DNDEBUG", "-fPIC", "-ffp-contract=off"),
    *("-fvisibility=hidden", "-fvisibility-inlines-hidden", "-ffunction-sections", "-fdata-sections"),
    *("-Wall", "-Wextra", "-I."),
]
LINK = [
    *("-s", "-pthread", "-Wl,--gc-sections", "-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack"),
    "-Wl,-z,defs",
]
EXPORTS = ROOT / "tools" / "native" / "exports.map"


class Product(NamedTuple):
    """A file that is linked from the sources in folders of `native/`.

    Attributes:
        name: of the file.
        folders: whose .cc files belong to it.
        link: flags besides `LINK`.
    """

    name: str
    folders: tuple[str, ...]
    link: tuple[str, ...]


DELEGATE = Product(
    "libfdabnn_delegate.so",
    ("kernels", "litert", "onnxruntime", "c_api"),
    ("-shared", "-Wl,-soname,libfdabnn_delegate.so", f"-Wl,--version-script={EXPORTS}"),
)
RUNNER = Product("fdabnn-runner", ("runner",), ("-ldl",))
PRODUCTS = (DELEGATE, RUNNER)
LIBRARY = LIB / DELEGATE.name

# Instructions beyond the target's first processors, by the end of a file's name. Whether the processor has them is asked at run time.
INSTRUCTIONS = {
    "_popcnt": ["-msse4.2", "-mpopcnt"],
    "_avx2": ["-mavx2", "-mfma", "-mpopcnt", "-mbmi2"],
    "_avx512": [
        *("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vpopcntdq", "-mavx512vnni"),
        *("-mpopcnt", "-mbmi2"),
    ],
}


class BuildError(Exception):
    """The library cannot be built, in words for whoever installs the package."""


def supported_machine() -> str | None:
    """The processor as in `TARGETS` where the library can be built and loaded, else None."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine())
    is_glibc = platform.system() == "Linux" and platform.libc_ver()[0] == "glibc"
    return machine if is_glibc and machine in TARGETS else None


def sources(folders: Sequence[str] = DELEGATE.folders) -> list[Path]:
    """The C++ files of a product, sorted."""
    return sorted(path for folder in folders for path in (NATIVE / folder).glob("*.cc"))


def instruction_flags(source: Path, machine: str) -> list[str]:
    """The flags for the instructions that a file may use."""
    if machine != "x86_64":
        return []
    return next((flags for end, flags in INSTRUCTIONS.items() if source.stem.endswith(end)), [])


def _headers(source: Path, seen: set[Path]) -> set[Path]:
    """Files of ours that a file includes, by way of others too."""
    for name in re.findall(rb'^#include "([^"]+)"', source.read_bytes(), re.MULTILINE):
        header = NATIVE / os.fsdecode(name)
        if header.is_file() and header not in seen:
            seen.add(header)
            _headers(header, seen)
    return seen


def _digest(command: list[str], files: list[Path]) -> str:
    digest = hashlib.sha256("\0".join([version("ziglang"), *command]).encode())
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:32]


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ziglang", *command], cwd=NATIVE, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise BuildError(f"{what} failed:\n{done.stderr.strip()}")
    if done.stderr.strip():
        print(done.stderr.strip(), file=sys.stderr)


def _make(path: Path, command: list[str], what: str) -> None:
    """Runs a command that writes a file, which appears whole or not at all."""
    if path.exists():
        return
    aside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        _run([*command, "-o", str(aside)], what)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lets one build at a time work in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build(target: str | None = None, out: Path = LIB, cache: Path = CACHE) -> list[Path]:
    """Compiles what has changed and links it.

    Args:
        target: Machine, system and C library as zig writes them; this machine's by default.
        out: The folder to write to.
        cache: Folder for objects.

    Returns:
        The files of `PRODUCTS`.

    Raises:
        BuildError: No compiler for this machine, or an error in the sources.
    """
    machine = target.split("-")[0] if target else supported_machine()
    if machine is None:
        raise BuildError(
            f"the native library exists for x86-64 and aarch64 Linux with glibc, not for {platform.platform()}"
        )
    try:
        version("ziglang")
    except ModuleNotFoundError as error:
        raise BuildError("the compiler is missing; install it with: pip install ziglang==0.17.1") from error

    with _alone(cache / machine):
        made = [_build_one(product, target or TARGETS[machine], cache / machine) for product in PRODUCTS]
        used = {file for objects, linked in made for file in (*objects, linked)}
        for old in (cache / machine).glob("*.*"):
            if old not in used:
                old.unlink()
        files = [out / product.name for product in PRODUCTS]
        for file, (_, linked) in zip(files, made, strict=True):
            _put(linked, file)
    return files


def _build_one(product: Product, target: str, cache: Path) -> tuple[list[Path], Path]:
    """The objects of a product, and what they were linked into, in the cache."""
    machine = target.split("-", maxsplit=1)[0]

    def compiled(source: Path) -> Path:
        name = source.relative_to(NATIVE)
        command = ["c++", "-target", target, *COMPILE, *instruction_flags(source, machine), "-c", str(name)]
        key = _digest(command, [source, *sorted(_headers(source, set()))])
        path = cache / f"{name.parent.name}-{name.stem}.{key}.o"
        _make(path, command, f"compiling {name}")
        return path

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compiled, sources(product.folders)))
    link = ["c++", "-target", target, *LINK, *product.link]
    key = _digest([*link, *(path.name for path in objects)], [EXPORTS])
    linked = cache / f"{product.name}.{key}.linked"
    _make(linked, [*link, *map(str, objects)], f"linking {product.name}")
    return objects, linked


def _put(linked: Path, file: Path) -> None:
    """Brings a linked file to its place, which keeps its time where nothing has changed."""
    content = linked.read_bytes()
    if not file.exists() or file.read_bytes() != content:
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_name(f".{os.getpid()}.{file.name}")
        aside.write_bytes(content)
        aside.chmod(0o755)
        aside.replace(file)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Builds the native library.")
    parser.add_argument(
        "--target", help="machine, system and C library, e.g. aarch64-linux-gnu.2.17 (default: this machine)"
    )
    parser.add_argument("--out", type=Path, default=LIB, help="folder to write to (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        print(*build(arguments.target, arguments.out.absolute()), sep="\n")
    except BuildError as error:
        print(f"build: {error}", file=sys.stderr)
        return 6
    return 0


if __name__ == "__main__":
    sys.exit(main())
