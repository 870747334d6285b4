"""The C++ tests of the kernels, file by file: on this machine, and those of aarch64 under an emulator."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from fdabnn_deploy.system.programs import QEMU
from fdabnn_deploy.system.programs_testing import skip, wanted
from native.build import framework_header, supported_machine
from native.kernel_tests import STATIC, build_kernel_tests

pytestmark = [
    pytest.mark.programs,
    pytest.mark.slow,
    pytest.mark.skipif(supported_machine() is None, reason="no native library for this platform"),
]
FILES = sorted(path.name for path in Path(__file__).parent.glob("*_test.cc"))


@pytest.fixture(scope="module", params=["own", "aarch64"])
def command(request: pytest.FixtureRequest) -> list[str | Path]:
    """The command that runs the tests."""
    if framework_header() is None:
        skip("doctest/doctest.h is missing: install it with  apt install doctest-dev")
    if request.param == "own":
        return [build_kernel_tests()]
    if supported_machine() == request.param:
        pytest.skip("this machine is one")
    emulator = wanted(QEMU)
    return [emulator, build_kernel_tests(STATIC[request.param])]


@pytest.mark.parametrize("file", FILES)
def test_kernels_are_their_reference(command: list[str | Path], file: str) -> None:
    check(command, file)


@pytest.mark.parametrize("processor", ["cortex-a53", "neoverse-n1"])
def test_sums_with_and_without_dot_products(processor: str) -> None:
    """A Cortex-A53 has none, a Neoverse N1 has them."""
    if framework_header() is None:
        skip("doctest/doctest.h is missing: install it with  apt install doctest-dev")
    check([wanted(QEMU), "-cpu", processor, build_kernel_tests(STATIC["aarch64"])], "conv_sum_test.cc")


def check(command: list[str | Path], file: str) -> None:
    """Runs the tests of a file, of which there are some, and all pass."""
    done = subprocess.run(
        [*command, f"--source-file=*/{file}", "--no-colors"],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    found = re.search(r"test cases: +(\d+) \| +(\d+) passed", done.stdout)
    assert found is not None, done.stdout
    assert int(found[1]) == int(found[2]) > 0
