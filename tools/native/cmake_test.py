"""CMakeLists.txt builds what build.py builds: the same exported symbols, and the same results from another compiler."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fdabnn_deploy.system.programs_testing import wanted_compiler
from native.binaries_testing import DYNSYM, LOCAL, symbols
from native.build_test import load_build

pytestmark = pytest.mark.programs
ROOT = Path(__file__).parents[2]
NATIVE = ROOT / "fdabnn_deploy" / "native"
KERNELS = ("bconv_test.py", "bmaxpool_test.py", "conv_sum_test.py", "quantize_test.py")
# The kernel tests on a library that lies elsewhere.
RUN_TESTS = (
    "import sys; from pathlib import Path; from fdabnn_deploy import native; native._FOLDER = Path(sys.argv[1])\n"
    "import pytest; sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '--hypothesis-profile=ci', *sys.argv[2:]]))"
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = wanted_compiler("g++", ["-std=c++17"])
    folder = tmp_path_factory.mktemp("cmake")
    binaries = Path(sys.executable).parent
    configure: list[str | Path] = [
        *(binaries / "cmake", "-S", NATIVE, "-B", folder, "-G", "Ninja"),
        *(f"-DCMAKE_CXX_COMPILER={compiler}", f"-DCMAKE_MAKE_PROGRAM={binaries / 'ninja'}"),
    ]
    compile_: list[str | Path] = [binaries / "cmake", "--build", folder, "--target", "libfdabnn_delegate_so"]
    for command in (configure, compile_):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    return folder


def exported(library: Path) -> set[str]:
    table = symbols(library.read_bytes(), DYNSYM)
    return {name for name, binding, defined in table if defined and binding != LOCAL}


def test_the_same_symbols(built: Path) -> None:
    build = load_build()
    build.build()
    assert exported(built / build.DELEGATE.name) == exported(build.LIBRARY)


def test_the_same_results(built: Path) -> None:
    tests = [str(NATIVE / "kernels" / name) for name in KERNELS]
    done = subprocess.run(
        [sys.executable, "-c", RUN_TESTS, built, *tests],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr


def test_both_compile_the_same_files_with_the_same_flags(built: Path) -> None:
    """Also those of products that this compiler cannot make, but for what CMake adds itself."""
    listed = json.loads((built / "compile_commands.json").read_text())
    made = {Path(entry["file"]).relative_to(NATIVE).as_posix(): entry["command"].split() for entry in listed}
    build = load_build()
    commands = {
        str(entry["file"]): entry["arguments"] for entry in build.compile_commands(build.supported_machine())
    }
    assert {name for name in commands if not name.startswith("training/")} == set(made)
    for name, command in made.items():
        for flag in commands[name]:
            assert flag in command or flag in ("c++", "-c", "-I.", name), (name, flag)
        added = [
            flag for flag in command if flag.startswith(("-m", "-O", "-f")) and flag not in commands[name]
        ]
        assert added == [], name
