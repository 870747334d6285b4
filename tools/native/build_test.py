"""What the built library asks for and shows, read from its ELF tables."""

from __future__ import annotations

import importlib.util
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

BUILD = Path(__file__).with_name("build.py")
LOCAL, GLOBAL, WEAK = 0, 1, 2
SYMTAB, DYNSYM = 2, 11


def load_build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fdabnn_native_build", BUILD)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def symbols(file: Path, table: int) -> Iterator[tuple[str, int, bool]]:
    """Name, binding and whether it is defined, of a 64-bit little-endian ELF file's symbols (System V ABI, chapter 4)."""
    content = file.read_bytes()
    assert content[:6] == b"\x7fELF\x02\x01"
    (offset,) = struct.unpack_from("<Q", content, 40)
    size, count = struct.unpack_from("<HH", content, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", content, offset + i * size) for i in range(count)]
    for kind, start, length, link in ((s[1], s[4], s[5], s[6]) for s in sections):
        if kind != table:
            continue
        names = sections[link][4]
        for place in range(start, start + length, 24):
            name, info, _, section = struct.unpack_from("<IBBH", content, place)
            end = content.index(b"\0", names + name)
            yield content[names + name : end].decode(), info >> 4, section != 0


@pytest.fixture(scope="module")
def build() -> ModuleType:
    module = load_build()
    if module.supported_machine() is None:
        pytest.skip("no native library for this platform")
    module.build()
    return module


def test_exports_nothing_but_its_interfaces(build: ModuleType) -> None:
    exported = {
        name for name, binding, defined in symbols(build.LIBRARY, DYNSYM) if defined and binding != LOCAL
    }
    assert {"tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate", "fdabnn_bconv_run"} <= exported
    others = {name for name in exported if not name.startswith(("fdabnn_", "tflite_plugin_"))}
    assert others == {"RegisterCustomOps"}


@pytest.mark.parametrize("product", ["DELEGATE", "RUNNER"])
def test_asks_for_an_old_glibc_only(build: ModuleType, product: str) -> None:
    content = (build.LIB / getattr(build, product).name).read_bytes()
    versions = {
        tuple(map(int, found.split(b"."))) for found in re.findall(rb"\0GLIBC_([0-9.]+)(?=\0)", content)
    }
    assert versions
    assert max(versions) <= (2, 17)
    needed = set(re.findall(rb"(?<=\0)(?:lib|ld-)[\w-]+\.so(?:\.\d+)?(?=\0)", content))
    # Those that are opened at run time, and the library's own name.
    needed -= {b"libfdabnn_delegate.so", b"libLiteRt.so", b"libonnxruntime.so", b"libonnxruntime.so.1"}
    known = b"libc.so.6 libm.so.6 libpthread.so.0 libdl.so.2 librt.so.1 ld-linux-x86-64.so.2 ld-linux-aarch64.so.1".split()
    assert needed <= set(known)


def test_the_runner_is_small(build: ModuleType) -> None:
    assert (build.LIB / build.RUNNER.name).stat().st_size < 1_000_000


def test_files_with_special_instructions_share_no_code(build: ModuleType) -> None:
    """A function that several files contain exists once in the library: an old processor would meet the copy with new instructions."""
    machine = build.supported_machine()
    found = [
        file
        for file in (build.CACHE / machine).glob("*.o")
        if build.instruction_flags(Path(file.name.split(".")[0]), machine)
    ]
    assert found or machine != "x86_64"
    for file in found:
        shared = {name for name, binding, defined in symbols(file, SYMTAB) if defined and binding == WEAK}
        assert shared == set(), file.name


def test_a_second_build_compiles_nothing(build: ModuleType) -> None:
    files = [build.LIBRARY, *sorted((build.CACHE / build.supported_machine()).glob("*.o"))]
    before = [(file, file.stat().st_mtime_ns, file.stat().st_ino) for file in files]
    done = subprocess.run([sys.executable, str(BUILD)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str(build.LIB / product.name) for product in build.PRODUCTS]
    assert before == [(file, file.stat().st_mtime_ns, file.stat().st_ino) for file in files]


def test_an_error_in_the_sources_is_shown_and_leaves_the_library_alone(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "lib" / build.DELEGATE.name
    library.parent.mkdir()
    library.write_bytes(b"as it was")
    broken = tmp_path / "kernels" / "broken.cc"
    broken.parent.mkdir()
    broken.write_text("int broken( { }")
    monkeypatch.setattr(build, "NATIVE", tmp_path)
    with pytest.raises(build.BuildError, match=r"compiling kernels/broken.cc failed:\n(.|\n)*expected"):
        build.build(out=library.parent, cache=tmp_path / "cache")
    assert library.read_bytes() == b"as it was"
    assert list((tmp_path / "cache" / build.supported_machine()).iterdir()) == [
        tmp_path / "cache" / build.supported_machine() / "lock"
    ]
