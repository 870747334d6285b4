from __future__ import annotations

import re
from pathlib import Path

import pytest

from fdabnn_deploy.exact.fusion_hazards import HAZARDS, Hazard

TABLE = Path(__file__).parents[2] / "docs" / "assumptions.md"


def rows() -> list[list[str]]:
    section = TABLE.read_text().split("## Fusions seen", 1)[1].split("##", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_document_has_a_row_for_every_hazard() -> None:
    assert [(row[0], row[1]) for row in rows()] == [(hazard.runtime, hazard.versions) for hazard in HAZARDS]


@pytest.mark.parametrize("hazard", HAZARDS, ids=lambda hazard: hazard.pattern)
def test_a_hazard_is_cited_and_has_a_remedy(hazard: Hazard) -> None:
    assert hazard.source == "observed" or re.fullmatch(r"[\w/]+\.(cc|td)", hazard.source)
    assert all((hazard.pattern, hazard.effect, hazard.remedy))
