"""Builds `fdabnn_deploy/native/` with the compiler of the PyPI package `ziglang`.

    python tools/native/build.py                                   for this machine, into the checkout
    python tools/native/build.py --target aarch64-linux-gnu.2.17 --out build/aarch64

Every product is linked from the .cc files of its folders (`PRODUCTS`); the end of a file's name says which instructions it may use.
Objects are kept in `build/native/` by the content of what they were made from. Products need nothing but glibc 2.17 or newer. What is
made depends on the sources and the compiler alone, not on where and when.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
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
MACOS = "aarch64-macos.11.0"
"""Linked only: nothing of it has run."""

COMPILE = [
    *("-std=c++17", "-O3", "-g0", "-DNDEBUG", "-fPIC", "-ffp-contract=off"),
    *("-fvisibility=hidden", "-fvisibility-inlines-hidden", "-ffunction-sections", "-fdata-sections"),
    # Files come from anywhere: a write behind an array ends the process (docs/hardening.md).
    *("-fstack-protector-strong", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"),
    *("-Wall", "-Wextra", "-I."),
]
LINK = [
    *("-s", "-pthread", "-Wl,--gc-sections", "-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack"),
    "-Wl,-z,defs",
]
LINK_MACOS = ["-s", "-pthread", "-Wl,-dead_strip"]
EXPORTS = ROOT / "tools" / "native" / "exports.map"


class Product(NamedTuple):
    """A file that is linked from the sources in folders of `native/`.

    Attributes:
        name: of the file.
        folders: whose .cc files belong to it.
        link: flags besides `LINK`.
        machines: the processors that it is for, all by default.
    """

    name: str
    folders: tuple[str, ...]
    link: tuple[str, ...]
    machines: tuple[str, ...] = tuple(TARGETS)


DELEGATE = Product(
    "libfdabnn_delegate.so",
    ("kernels", "litert", "onnxruntime", "c_api"),
    ("-shared", "-Wl,-soname,libfdabnn_delegate.so", f"-Wl,--version-script={EXPORTS}"),
)
RUNNER = Product("fdabnn-runner", ("runner",), ("-pie", "-ldl"))
# A plugin that qemu loads, and whose functions it calls: they are found when it does. What emulates aarch64 runs on x86-64.
INSTRUCTION_COUNT = Product(
    "libfdabnn_instruction_count.so", ("qemu",), ("-shared", "-Wl,-z,undefs"), machines=("x86_64",)
)
# For training only. Of `kernels/` it takes the levels and the threads; the linker drops the rest.
TRAINING = Product(
    "libfdabnn_training.so",
    ("training", "kernels"),
    (
        *("-shared", "-Wl,-soname,libfdabnn_training.so"),
        *(f"-Wl,--version-script={EXPORTS}", "-Wl,--undefined-version"),
    ),
    machines=("x86_64",),
)
PRODUCTS = (DELEGATE, RUNNER, INSTRUCTION_COUNT, TRAINING)
LIBRARY = LIB / DELEGATE.name

# zig's linker has no list of exports for macOS: the compiler's flags for visibility hide what is ours, and of its C++ library
# `operator new` and its like stay visible.
DELEGATE_MACOS = Product(
    "libfdabnn_delegate.dylib",
    DELEGATE.folders,
    ("-shared", "-Wl,-install_name,@rpath/libfdabnn_delegate.dylib"),
)
PRODUCTS_MACOS = (DELEGATE_MACOS,)


def products(target: str) -> tuple[Product, ...]:
    """What is linked for a target."""
    if "-macos" in target:
        return PRODUCTS_MACOS
    return tuple(product for product in PRODUCTS if target.split("-", 1)[0] in product.machines)


class Wheel(NamedTuple):
    """What a wheel is built for.

    Attributes:
        platform: the tag that installers choose it by (PEP 600).
        targets: what its products are built for, by their folder in `native/lib/`.
    """

    platform: str
    targets: dict[str, str]


# A workstation has the files for devices, too: it sends them there, and runs them under an emulator.
WHEELS = {
    "x86_64": Wheel("manylinux_2_17_x86_64", {".": TARGETS["x86_64"], "aarch64": TARGETS["aarch64"]}),
    "aarch64": Wheel("manylinux_2_17_aarch64", {".": TARGETS["aarch64"]}),
    "macos": Wheel("macosx_11_0_arm64", {".": MACOS}),
}

# Instructions beyond the target's first processors, by the end of a file's name. Whether the processor has them is asked at run time.
INSTRUCTIONS = {
    "_popcnt": ["-msse4.2", "-mpopcnt"],
    "_avx2": ["-mavx2", "-mfma", "-mpopcnt", "-mbmi2"],
    "_avx512": [
        *("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vpopcntdq", "-mavx512vnni"),
        *("-mpopcnt", "-mbmi2"),
    ],
}


# The plugin throws nothing and brings no C++ library; checked functions of C would be taken for some that throw.
FOLDER_FLAGS = {"qemu": ["-fno-exceptions"]}


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


def _make(path: Path, name: str, command: list[str], what: str) -> None:
    """Runs a command that writes a file, which appears whole or not at all.

    macOS programs contain the name that the linker gave them, which therefore is `name`, whatever the path.
    """
    if path.exists():
        return
    with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as folder:
        aside = Path(folder) / name
        _run([*command, "-o", str(aside)], what)
        aside.replace(path)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lets one build at a time work in a folder."""
    import fcntl  # late: Windows has none, where the hook only asks whether there is a library

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
        The files of `products`.

    Raises:
        BuildError: No compiler for this machine, or an error in the sources.
    """
    if target is None:
        own = supported_machine()
        if own is None:
            raise BuildError(
                f"the native library exists for x86-64 and aarch64 Linux with glibc, not for {platform.platform()}"
            )
        target = TARGETS[own]
    cache /= target.split("-")[0] + "-macos" * ("-macos" in target)
    try:
        version("ziglang")
    except ModuleNotFoundError as error:
        raise BuildError("the compiler is missing; install it with: pip install ziglang==0.17.1") from error

    with _alone(cache):
        made = [_build_one(product, target, cache) for product in products(target)]
        used = {file for objects, linked in made for file in (*objects, linked)}
        for old in cache.iterdir():
            if old.is_dir():
                shutil.rmtree(old)  # of a build that was killed
            elif old not in used and old.name != "lock":
                old.unlink()
        files = [out / product.name for product in products(target)]
        for file, (_, linked) in zip(files, made, strict=True):
            _put(linked, file)
    return files


def _build_one(product: Product, target: str, cache: Path) -> tuple[list[Path], Path]:
    """The objects of a product, and what they were linked into, in the cache."""
    machine = target.split("-", maxsplit=1)[0]

    def compiled(source: Path) -> Path:
        name = source.relative_to(NATIVE)
        command = ["c++", "-target", target, *COMPILE, *instruction_flags(source, machine), "-c", str(name)]
        command += FOLDER_FLAGS.get(source.parent.name, [])
        key = _digest(command, [source, *sorted(_headers(source, set()))])
        path = cache / f"{name.parent.name}-{name.stem}.{key}.o"
        _make(path, path.name, command, f"compiling {name}")
        return path

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compiled, sources(product.folders)))
    link = ["c++", "-target", target, *(LINK_MACOS if "-macos" in target else LINK), *product.link]
    key = _digest([*link, *(path.name for path in objects)], [EXPORTS])
    linked = cache / f"{product.name}.{key}.linked"
    _make(linked, product.name, [*link, *map(str, objects)], f"linking {product.name}")
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
