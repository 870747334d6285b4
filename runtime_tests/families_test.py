"""The trained networks of docs/families.md: each exports, is verified on every runtime, and has the layers that the table says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from families.document import PATH
from families.exporting import export
from families.families_list import CHECKPOINTS, FAMILIES, Family

pytestmark = pytest.mark.runtimes

LARGEST, LARGEST_OF_ALL = 100_000, 5_000_000


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_family_exports_as_the_document_says(family: Family, tmp_path: Path) -> None:
    report = export(family, tmp_path, None)
    assert report.verified
    expected = [layer for layer in report.coverage if layer.expected]
    binary = sum(layer.binary_layers > 0 for layer in expected)
    assert binary == len(expected) >= 2
    row = re.search(rf"^\| {re.escape(family.title)} \|.*$", PATH.read_text(encoding="utf-8"), re.MULTILINE)
    assert row is not None
    assert f"| {binary} of {len(expected)} |" in row[0]


def test_the_shipped_networks_are_small() -> None:
    sizes = [path.stat().st_size for path in CHECKPOINTS.glob("*.pt")]
    assert len(sizes) == len(FAMILIES)
    assert max(sizes) <= LARGEST
    assert sum(sizes) <= LARGEST_OF_ALL
