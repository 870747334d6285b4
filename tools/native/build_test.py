"""Imported and exported symbols of the built library, read from its ELF tables."""

from __future__ import annotations

import ctypes
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from native.binaries_testing import DYNSYM, KNOWN, LOCAL, SYMTAB, WEAK, glibc, needed, symbols

pytestmark = pytest.mark.slow

BUILD = Path(__file__).with_name("build.py")


def load_build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fdabnn_native_build", BUILD)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def build() -> ModuleType:
    module = load_build()
    if module.supported_machine() is None:
        pytest.skip("no native library for this platform")
    module.build()
    return module


def test_exports_nothing_but_its_interfaces(build: ModuleType) -> None:
    exported = {
        name
        for name, binding, defined in symbols(build.LIBRARY.read_bytes(), DYNSYM)
        if defined and binding != LOCAL
    }
    assert {"tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate", "fdabnn_bconv_run"} <= exported
    others = {name for name in exported if not name.startswith(("fdabnn_", "tflite_plugin_"))}
    assert others == {"RegisterCustomOps"}


def test_the_plugin_takes_from_qemu_what_is_qemus(build: ModuleType) -> None:
    """Checks undefined symbols, which the linker cannot: it leaves open all that the emulator provides."""
    if build.supported_machine() != "x86_64":
        pytest.skip("the plugin is for emulators that run on x86-64")
    table = list(symbols((build.LIB / build.INSTRUCTION_COUNT.name).read_bytes(), DYNSYM))
    defined = {name for name, binding, is_defined in table if is_defined and binding != LOCAL}
    assert defined == {"qemu_plugin_install", "qemu_plugin_version"}
    missing = {name for name, _, is_defined in table if not is_defined and name}
    ours = {name for name in missing if name.startswith("qemu_plugin_")}
    assert len(ours) == 10
    libc = ctypes.CDLL(None)
    assert all(hasattr(libc, name) for name in missing - ours)


def test_asks_for_an_old_glibc_only(build: ModuleType) -> None:
    for product in build.products(build.TARGETS[build.supported_machine()]):
        content = (build.LIB / product.name).read_bytes()
        assert (2, 0) < glibc(content) <= (2, 17)
        assert needed(content) <= KNOWN


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
        shared = {
            name
            for name, binding, defined in symbols(file.read_bytes(), SYMTAB)
            if defined and binding == WEAK
        }
        assert shared == set(), file.name


def test_a_second_build_compiles_nothing(build: ModuleType) -> None:
    files = [build.LIBRARY, *sorted((build.CACHE / build.supported_machine()).glob("*.o"))]
    before = [(file, file.stat().st_mtime_ns, file.stat().st_ino) for file in files]
    done = subprocess.run([sys.executable, str(BUILD)], capture_output=True, text=True, check=True)
    wanted = build.products(build.TARGETS[build.supported_machine()])
    assert done.stdout.splitlines() == [str(build.LIB / product.name) for product in wanted]
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
