from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.system.memory import (
    EXPANDED,
    available_bytes,
    check_expanded,
    check_memory,
    format_memory,
    parse_memory,
)


def _system(root: Path, available_kb: int, cgroup: str = "", **files: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable:   {available_kb} kB\n")
    (root / "proc/self/cgroup").write_text(cgroup)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_this_machine_has_some() -> None:
    available = available_bytes()
    assert available is not None
    assert available > 1 << 20


def test_without_control_groups_it_is_what_the_kernel_says(tmp_path: Path) -> None:
    assert available_bytes(_system(tmp_path, 5000)) == 5000 * 1024


def test_version_2_counts_every_group_above(tmp_path: Path) -> None:
    root = _system(
        tmp_path,
        5000,
        "0::/user/job\n",
        user__job__memory_DOT_max="max",
        user__memory_DOT_max="3000000",
        user__memory_DOT_current="1000000",
        user__memory_DOT_stat="anon 7\ninactive_file 500\n",
    )
    assert available_bytes(root) == 2000500


def test_version_1(tmp_path: Path) -> None:
    root = _system(
        tmp_path,
        5000,
        "4:cpu:/x\n3:memory:/x\n",
        memory__x__memory_DOT_limit_in_bytes="1000",
        memory__x__memory_DOT_usage_in_bytes="400",
    )
    assert available_bytes(root) == 600


def test_the_containers_own_group_is_at_the_top(tmp_path: Path) -> None:
    root = _system(tmp_path, 5000, "0::/host/path\n", memory_DOT_max="2048", memory_DOT_current="1024")
    assert available_bytes(root) == 1024


def test_a_group_above_its_limit_leaves_nothing(tmp_path: Path) -> None:
    root = _system(tmp_path, 5000, "0::/\n", memory_DOT_max="10", memory_DOT_current="20")
    assert available_bytes(root) == 0


def test_four_fifths_may_be_needed(tmp_path: Path) -> None:
    root = _system(tmp_path, 1000)
    check_memory(800 * 1024, "it", "do less", root=root)
    with pytest.raises(
        ModelRefusedError, match=r"it needs 801 KiB of memory, and 1000 KiB are available.*80%.*: do less"
    ):
        check_memory(801 * 1024, "it", "do less", ModelRefusedError, root=root)


def test_expansion_is_limited() -> None:
    check_expanded(1 << 20, None, "a.npz")
    with pytest.raises(UsageError, match=r"a\.npz expands to 4 GiB, more than the 4 GiB .*--memory-limit 5G"):
        check_expanded(EXPANDED + 1, None, "a.npz")
    with pytest.raises(UsageError, match="more than the 1 KiB"):
        check_expanded(1025, 1024, "a.npz")


def test_a_higher_limit_does_not_make_memory() -> None:
    with pytest.raises(UsageError, match="are available"):
        check_expanded(1 << 55, 1 << 60, "a.npz")


@pytest.mark.parametrize(
    ("text", "size"),
    [("6G", 6 << 30), ("500m", 500 << 20), ("1.5 GiB", 3 << 29), ("1024", 1024), ("2kB", 2048)],
)
def test_sizes_as_typed(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "0", "1e9", "4 X"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="not a size of memory"):
        parse_memory(text)


def test_units() -> None:
    assert [format_memory(n) for n in (5, 2048, 3 << 20, 5 << 29)] == ["5 B", "2 KiB", "3 MiB", "2.5 GiB"]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries give it back, or cannot")
def test_freed_memory_is_given_back() -> None:
    """In a process of its own, whose heap nothing else has filled."""
    code = """
from fdabnn_deploy.system.memory import give_back
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
before = resident()
# Small blocks with a few left between them keep the heap from shrinking by itself.
blocks = [bytes(1000) for _ in range(200_000)]
blocks = blocks[::1000]
kept = resident() - before
give_back()
print(kept, resident() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    kept, left = map(int, done.stdout.split())
    assert left < kept / 4
