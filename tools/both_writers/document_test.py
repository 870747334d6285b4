from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from both_writers import document
from both_writers.file_facts import KERNELS, FileFacts, Row

pytestmark = pytest.mark.runtimes


def facts(
    size: int = 1000,
    adds: int = 3,
    copies: int = 0,
    constants: int = 0,
    differing: int = 0,
    reference: bool = True,
) -> FileFacts:
    kernels = KERNELS if reference else KERNELS[:2]
    operators = Counter(ADD=adds, PAD=copies, DEQUANTIZE=constants)
    return FileFacts(size, operators, copies, constants, kernels, 5, 50, differing, ())


ROWS = [
    Row("net", facts(), facts(1200)),
    Row("seed0", facts(constants=2), facts(), random=True),
    Row("seed1", facts(copies=1, reference=False), facts(reference=False), random=True),
]


def test_random_graphs_are_one_row() -> None:
    lines = document.table(ROWS).splitlines()
    assert [line for line in lines if line][2:] == [
        "| net | 1,000 | 1,200 | 3 | 3 | yes | yes | yes | 100 | 0 |",
        "| 2 random graphs | 2,000 | 2,000 | 9, 1 of them copies, 2 of them of weights | 6 | 2 | 2 | 1 | 200 | 0 |",
    ]


def test_what_is_written_is_read_and_the_text_around_it_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "PATH", tmp_path / "page.md")
    document.PATH.write_text("before\n<!-- table -->\n<!-- end of table -->\nbehind\n")
    for rows in (ROWS[:1], ROWS):
        document.write(document.table(rows))
        assert document.read() == document.table(rows)
        assert document.PATH.read_text().startswith("before\n")
        assert document.PATH.read_text().endswith("\nbehind\n")


@pytest.mark.parametrize(
    ("own", "lce", "fault"),
    [
        (facts(1001), facts(1000), "1001 bytes instead of 1000"),
        (facts(adds=4), facts(), "more operators"),
        (facts(adds=4, constants=2), facts(), "more operators"),
        (facts(differing=2), facts(), "own writer: 2 of 50 values differ"),
        (facts(), facts(differing=2), "LCE's converter: 2 of 50 values differ"),
        (facts(reference=False), facts(), "taken by"),
    ],
)
def test_faults_are_named(own: FileFacts, lce: FileFacts, fault: str) -> None:
    (found,) = Row("net", own, lce).faults()
    assert found.startswith("net: ")
    assert fault in found


def test_copies_and_what_reads_weights_are_no_fault() -> None:
    assert Row("net", facts(copies=2, constants=3), facts()).faults() == []
