"""The comparison with the real table, whose counts are altered."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from fdabnn_deploy.errors import SlowerError, UsageError
from instruction_counts import table
from instruction_counts.measure import Entry

KERNEL, MODEL = "bconv 14x14x256 float, neon", "ResNet-20, LiteRT + delegate"


@pytest.fixture
def entries() -> dict[str, Entry]:
    return table.read()


def scaled(entries: dict[str, Entry], name: str, factor: float) -> dict[str, Entry]:
    """The same with one count altered."""
    entry = entries[name]
    instructions = round(entry.counts.instructions * factor)
    return {**entries, name: Entry(entry.macs, replace(entry.counts, instructions=instructions))}


def check(known: dict[str, Entry], counted: dict[str, Entry]) -> None:
    """Nothing is raised and nothing told."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table.check(known, counted)


def test_equal_counts_pass(entries: dict[str, Entry]) -> None:
    check(entries, table.read())


@pytest.mark.parametrize("name", [KERNEL, MODEL])
def test_a_count_that_has_grown_is_named(entries: dict[str, Entry], name: str) -> None:
    before = entries[name].counts.instructions
    after = round(before * 1.021)
    with pytest.raises(SlowerError) as caught:
        table.check(entries, scaled(entries, name, 1.021))
    said = str(caught.value)
    assert f"{name}: {before:,} instructions in the table, now {after:,} (+2.1%)" in said
    assert "python tools/instruction_counts --update" in said
    assert len(said.splitlines()) == 3
    check(entries, scaled(entries, name, 1.019))


def test_rows_of_one_side(entries: dict[str, Entry]) -> None:
    fewer = {name: entry for name, entry in entries.items() if name != KERNEL}
    with pytest.raises(UsageError, match=f"{KERNEL}: .* not counted any more"):
        table.check(entries, fewer)
    with pytest.raises(UsageError, match=f"{KERNEL}: .*, not in the table"):
        table.check(fewer, entries)
    with pytest.raises(SlowerError, match=f"{KERNEL}: .*not counted any more\n.*{MODEL.replace('+', '.')}: "):
        table.check(entries, scaled(fewer, MODEL, 1.5))


def test_a_decrease_is_told_and_passes(entries: dict[str, Entry]) -> None:
    with pytest.warns(
        UserWarning, match=rf"{KERNEL}: [\d,]+ instructions in the table, now [\d,]+ \(-5\.0%\)"
    ):
        table.check(entries, scaled(entries, KERNEL, 0.95))
    check(entries, scaled(entries, MODEL, 0.999))


def test_the_files_say_the_same(entries: dict[str, Entry], tmp_path: Path) -> None:
    copy = tmp_path / "counts.json"
    table.write(entries, table.read_versions(), copy)
    assert copy.read_bytes() == table.TABLE.read_bytes()
    assert copy.with_suffix(".md").read_bytes() == table.TABLE.with_suffix(".md").read_bytes()


def test_a_table_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"No such file.*--update"):
        table.read(tmp_path / "none.json")
    whole = json.loads(table.TABLE.read_text())
    del whole["counts"][KERNEL]["vector"]
    for damaged in (table.TABLE.read_text()[:500], "[]", json.dumps(whole)):
        path = tmp_path / "damaged.json"
        path.write_text(damaged)
        with pytest.raises(UsageError, match=r"damaged\.json is damaged.*--update"):
            table.read(path)


def test_kernels_are_shown_with_their_work(entries: dict[str, Entry]) -> None:
    name, instructions, per_macs, *_ = table.cells(KERNEL, entries[KERNEL])
    assert name == KERNEL
    assert float(per_macs) == pytest.approx(
        1000 * int(instructions.replace(",", "")) / (14 * 14 * 256 * 9 * 256), abs=0.05
    )
    # Xor, count and add per 128 bits are the least that a vector of NEON can do it with.
    assert float(per_macs) > 1000 * 3 / 128
