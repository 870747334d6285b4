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
}


def test_levels_are_those_that_the_kernel_of_the_system_reports() -> None:
    fields = (line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines())
    features = next(set(value.split()) for name, _, value in fields if name.strip() in {"flags", "Features"})
    expected = ["scalar", *(level for level, needs in NEEDS.items() if needs <= features)]
    assert list(library.levels()) == expected


def test_the_environment_forces_a_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FDABNN_KERNELS", raising=False)
    assert library.chosen_level() == library.levels()[-1]
    monkeypatch.setenv("FDABNN_KERNELS", "")
    assert library.chosen_level() == library.levels()[-1]
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
