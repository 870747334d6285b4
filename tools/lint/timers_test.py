"""One timer and one set of statistics: who else reads the clock, or computes medians and quantiles, is listed with the reason."""

from __future__ import annotations

import re

from lint.imports import SOURCES, is_test
from lint.rooms_test import ROOT

CLOCKS = re.compile(r"\b(perf_counter|process_time|thread_time)(_ns)?\(")
STATISTICS = re.compile(
    r"\b(np|numpy|statistics|torch)\.(nan)?(median\w*|quantiles?|percentile|pstdev|stdev)\("
)
TIMER = "fdabnn_deploy/measure/timer.py"
DURATIONS = {
    "fdabnn_deploy/pipeline/export.py": "how long an export took",
    "fdabnn_deploy/system/progress.py": "how long a stage took; the room is below `measure`",
    "models/fdabnn_models/training/train.py": "images per second and epochs, as progress",
    "tools/arm_root/command.py": "how long the command took",
    "tools/bench/exports/one_export.py": "how long a process took",
    "tools/both_writers/command.py": "how long the command took",
    "tools/instruction_counts/command.py": "how long the command took",
}
STATISTICS_MODULE = "fdabnn_deploy/measure/statistics.py"
OTHER_STATISTICS = {
    "fdabnn_deploy/verify/zeros/moved_zeros.py": "values of images, which are not figures",
    "tools/families/residual.py": "weights, which are not figures",
}


def users(pattern: re.Pattern[str]) -> set[str]:
    folders = dict.fromkeys([*(str(source).partition("/")[0] for source in SOURCES), "tools"])
    files = (file for folder in folders for file in (ROOT / folder).rglob("*.py") if not is_test(file))
    return {str(file.relative_to(ROOT)) for file in files if pattern.search(file.read_text(encoding="utf-8"))}


def test_one_module_times_runs() -> None:
    assert users(CLOCKS) == {TIMER, *DURATIONS}


def test_one_module_computes_statistics() -> None:
    assert users(STATISTICS) == {STATISTICS_MODULE, *OTHER_STATISTICS}


def test_native_code_has_one_clock() -> None:
    clocks = re.compile(r"clock_gettime|steady_clock|high_resolution_clock|system_clock")
    files = (
        file
        for folder in ("fdabnn_deploy/native", "tools")
        for file in (ROOT / folder).rglob("*")
        if file.suffix in (".cc", ".h")
    )
    found = {str(file.relative_to(ROOT)) for file in files if clocks.search(file.read_text(encoding="utf-8"))}
    # Threads of the pool wait so long before they sleep, which measures nothing.
    waiting = "fdabnn_deploy/native/kernels/thread_pool.cc"
    assert found == {"fdabnn_deploy/native/kernels/clock.h", waiting}
