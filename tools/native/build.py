"""Builds `fdabnn_deploy/native/` with the compiler of the PyPI package `ziglang`.

    python tools/native/build.py                                   for this machine, into the checkout
    python tools/native/build.py --target aarch64-linux-gnu.2.17 --out build/aarch64
    python tools/native/build.py --compile-commands                compile_commands.json, for editors and clang-tidy

`build.json` there says what is linked from which folders and compiled with which flags; the end of a file's name says which instructions
it may use, beyond those of the target's first processors. Whether a processor has them is asked at run time.
Objects are kept in `build/native/` by the content of what they were made from. Products need nothing but glibc 2.17 or newer. What is
made depends on the sources and the compiler alone, not on where and when.
"""

from __future__ import annotations

import argparse
import hashlib
import json
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
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "fdabnn_deploy" / "native"
LIB = NATIVE / "lib"
CACHE = ROOT / "build" / "native"

TARGETS = {"x86_64": "x86_64-linux-gnu.2.17", "aarch64": "aarch64-linux-gnu.2.17"}
MACOS = "aarch64-macos.11.0"
"""Linked only: nothing of it has run."""

RULES: dict[str, Any] = json.loads((NATIVE / "build.json").read_text(encoding="utf-8"))
"""Sources, flags and ISA levels; CMakeLists.txt reads the same file."""
EXPORTS = NATIVE / "exports.map"
COMPILE = [f"-std=c++{RULES['standard']}", *RULES["compile"], "-I."]


class Product(NamedTuple):
    """A file that is linked from the sources in folders of `native/`.

    Attributes:
        name: of the file.
        folders: whose .cc files belong to it.
        link: flags besides those of the system.
        machines: the processors, or "macos", that it is for.
    """

    name: str
    folders: tuple[str, ...]
    link: tuple[str, ...]
    machines: tuple[str, ...]


def _product(rule: dict[str, Any]) -> Product:
    link = tuple(flag.format(exports=EXPORTS) for flag in rule["link"])
    return Product(rule["name"], tuple(rule["folders"]), link, tuple(rule["machines"]))


PRODUCTS = tuple(map(_product, RULES["products"]))
# The plugin leaves open what qemu brings. Training takes of `kernels/` the levels and the threads; the linker drops the rest. zig's
# linker has no list of exports for macOS: the compiler's flags for visibility hide what is ours, and of its C++ library `operator new`
# and its like stay visible.
DELEGATE, RUNNER, INSTRUCTION_COUNT, TRAINING, DELEGATE_MACOS = PRODUCTS
LIBRARY = LIB / DELEGATE.name
KERNEL_TESTS = _product(RULES["tests"])
"""Built by kernel_tests.py; part of no wheel."""


def products(target: str) -> tuple[Product, ...]:
    """The products that are linked for a target."""
    machine = "macos" if "-macos" in target else target.split("-", 1)[0]
    return tuple(product for product in PRODUCTS if machine in product.machines)


class Wheel(NamedTuple):
    """A platform that wheels are built for.

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
    return next((flags for end, flags in RULES["levels"].items() if source.stem.endswith(end)), [])


def framework_header() -> Path | None:
    """The header of the framework of the C++ tests; None where it is not installed."""
    if "FDABNN_WITHOUT" in os.environ:  # tools/without
        return None
    places = [Path(folder, RULES["tests"]["header"]) for folder in ("/usr/local/include", "/usr/include")]
    return next((place for place in places if place.is_file()), None)


def compile_commands(machine: str) -> list[dict[str, str | list[str]]]:
    """How each source is compiled for a processor, in the form that editors and clang-tidy read (compile_commands.json).

    Those of the C++ tests are among them where their header is installed.
    """
    commands: list[dict[str, str | list[str]]] = []
    listed = PRODUCTS if framework_header() is None else (*PRODUCTS, KERNEL_TESTS)
    for source in sources(sorted({folder for product in listed for folder in product.folders})):
        name = str(source.relative_to(NATIVE))
        flags = [*COMPILE, *instruction_flags(source, machine), *RULES["folders"].get(source.parent.name, [])]
        commands.append({"directory": str(NATIVE), "file": name, "arguments": ["c++", *flags, "-c", name]})
    return commands


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

    with _built(products(target), target, cache) as made:
        files = [out / product.name for product in products(target)]
        for file, linked in zip(files, made, strict=True):
            _put(linked, file)
    return files


def build_kernel_tests(target: str, cache: Path, headers: Path) -> Path:
    """Compiles what has changed of the kernels and their C++ tests, and links it.

    Args:
        target: As `build` takes it.
        cache: Folder for objects and the program.
        headers: The folder of the framework's.

    Returns:
        The program, in the cache.

    Raises:
        BuildError: an error in the sources.
    """
    with _built((KERNEL_TESTS,), target, cache, headers) as made:
        return made[0]


@contextmanager
def _built(
    wanted: Sequence[Product], target: str, cache: Path, headers: Path | None = None
) -> Iterator[list[Path]]:
    """Products in a cache, which nobody changes meanwhile, and which holds nothing else afterwards."""
    with _alone(cache):
        made = [_build_one(product, target, cache, headers) for product in wanted]
        used = {file for objects, linked in made for file in (*objects, linked)}
        for old in cache.iterdir():
            if old.is_dir():
                shutil.rmtree(old)  # of a build that was killed
            elif old not in used and old.name != "lock":
                old.unlink()
        yield [linked for _, linked in made]


def _build_one(product: Product, target: str, cache: Path, headers: Path | None) -> tuple[list[Path], Path]:
    """The objects of a product, and what they were linked into, in the cache. headers: a folder of those that are not ours."""
    machine = target.split("-", maxsplit=1)[0]

    def compiled(source: Path) -> Path:
        name = source.relative_to(NATIVE)
        command = ["c++", "-target", target, *COMPILE, *instruction_flags(source, machine), "-c", str(name)]
        command += RULES["folders"].get(source.parent.name, [])
        command += ["-isystem", str(headers)] if headers is not None else []
        key = _digest(command, [source, *sorted(_headers(source, set()))])
        path = cache / f"{name.parent.name}-{name.stem}.{key}.o"
        _make(path, path.name, command, f"compiling {name}")
        return path

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compiled, sources(product.folders)))
    link = [
        "c++",
        "-target",
        target,
        *RULES["link"]["macos" if "-macos" in target else "linux"],
        *product.link,
    ]
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
    parser.add_argument(
        "--compile-commands", action="store_true", help="write compile_commands.json instead of building"
    )
    arguments = parser.parse_args()
    if arguments.compile_commands:
        text = json.dumps(compile_commands(supported_machine() or "x86_64"), indent=1)
        (ROOT / "compile_commands.json").write_text(text + "\n", encoding="utf-8")
        return 0
    try:
        print(*build(arguments.target, arguments.out.absolute()), sep="\n")
    except BuildError as error:
        print(f"build: {error}", file=sys.stderr)
        return 6
    return 0


if __name__ == "__main__":
    sys.exit(main())
