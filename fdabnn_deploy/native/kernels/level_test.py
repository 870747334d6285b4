"""The choice of instructions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.native import library

NEEDS = {
    "popcnt": {"sse4_2", "popcnt"},
    "avx2": {"avx2", "bmi2", "fma"},
    "avx512": {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni", "avx512_vpopcntdq"},
    "neon": {"asimd"},
    "neon_lookup": {"asimd"},
}
# By implementer and part, as MIDR_EL1 has them beside variant and revision.
A53, A55, A72, A76 = 0x410FD034, 0x411FD050, 0x410FD083, 0x414FD0B1
N1, N2, V1, V2 = 0x413FD0C1, 0x410FD490, 0x411FD401, 0x410FD4F1
APPLE_M1, FOREIGN_A76 = 0x611F0221, 0x614FD0B1


def test_levels_are_those_that_the_kernel_of_the_system_reports() -> None:
    fields = (line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines())
    features = next(set(value.split()) for name, _, value in fields if name.strip() in {"flags", "Features"})
    expected = ["scalar", *(level for level, needs in NEEDS.items() if needs <= features)]
    assert list(library.levels()) == expected


def test_the_environment_forces_a_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FDABNN_KERNELS", raising=False)
    levels = library.levels()
    own = library.arm_level(library.arm_cores()) if "neon" in levels else levels[-1]
    assert library.chosen_level() == own
    monkeypatch.setenv("FDABNN_KERNELS", "")
    assert library.chosen_level() == own
    for level in library.levels():
        monkeypatch.setenv("FDABNN_KERNELS", level)
        assert library.chosen_level() == level


@pytest.mark.parametrize("name", ["AVX2", "avx1024", "scalar "])
def test_an_unknown_level_is_refused_with_those_there_are(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("FDABNN_KERNELS", name)
    with pytest.raises(UsageError, match=rf"FDABNN_KERNELS={name} is not a level .*; use one of .*scalar"):
        library.chosen_level()


def test_a_level_of_another_processor_is_refused() -> None:
    foreign = ({"scalar", *NEEDS} - set(library.levels())).pop()
    with pytest.raises(UsageError, match=f"level {foreign} is not supported here"):
        library.quantize(np.ones((1, 1), np.float32), level=foreign)


@pytest.mark.parametrize(
    ("cores", "level"),
    [
        *(([core] * 4, "neon") for core in (A53, A55, A72, V1, APPLE_M1, FOREIGN_A76)),
        *(([core] * 4, "neon_lookup") for core in (A76, N1, N2, V2)),
        ([], "neon"),
        # Two kinds of core, as most telephones have, in any order.
        ([A55] * 4 + [A76] * 4, "neon_lookup"),
        ([A76, A55, A55, A55, A55, A55, A55], "neon_lookup"),
        ([A72, A72, A53, A53, A53, A53], "neon"),
        ([V1, V1, A76], "neon"),
        # What is not known has no say.
        ([N1, APPLE_M1, APPLE_M1], "neon_lookup"),
    ],
)
def test_the_cores_decide_between_the_levels_of_aarch64(cores: list[int], level: str) -> None:
    assert library.arm_level(cores) == level


def test_cores_are_read_as_linux_describes_them(tmp_path: Path) -> None:
    (tmp_path / "cpu1").mkdir()  # switched off
    for cpu, text in ((0, "0x00000000414fd0b1\n"), (2, "0x00000000411fd050\n")):
        file = tmp_path / f"cpu{cpu}" / "regs" / "identification" / "midr_el1"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    (tmp_path / "cpufreq").mkdir()
    assert library.arm_cores(tmp_path) == (A76, A55)


def test_gaps_between_the_numbers_of_cores_hide_none(tmp_path: Path) -> None:
    for cpu, midr in ((1, A55), (4, A76), (12, A72)):
        file = tmp_path / f"cpu{cpu}" / "regs" / "identification" / "midr_el1"
        file.parent.mkdir(parents=True)
        file.write_text(f"{midr:#018x}\n")
    assert library.arm_cores(tmp_path) == (A55, A76, A72)


@pytest.mark.parametrize("text", [None, "", "\n", "no number\n", "0\n"])
def test_without_such_files_a_core_is_asked_itself(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "cpu0" / "regs" / "identification" / "midr_el1"
    if text is not None:
        file.parent.mkdir(parents=True)
        file.write_text(text)
    own = library.arm_cores(tmp_path)
    assert len(own) == ("neon" in library.levels())
    assert all(0 < midr < 2**32 for midr in own)
