from __future__ import annotations

import logging
from pathlib import Path

import pytest

from docs.links import without_outer_links


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    (tmp_path / "docs" / "ops").mkdir(parents=True)
    (tmp_path / "README.md").touch()
    return tmp_path / "docs"


@pytest.mark.parametrize(
    ("page", "markdown", "expected"),
    [
        ("a.md", "see the [README](../README.md#try-it).", "see the README."),
        (
            "a.md",
            "see [b](b.md) and [there](https://example.org/../x)",
            "see [b](b.md) and [there](https://example.org/../x)",
        ),
        ("ops/a.md", "see [b](../b.md) and [c](../../README.md)", "see [b](../b.md) and c"),
    ],
)
def test_links_out_of_the_folder_become_text(docs: Path, page: str, markdown: str, expected: str) -> None:
    assert without_outer_links(markdown, docs / page, docs) == expected


def test_a_link_to_nothing_is_a_warning(docs: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        without_outer_links("[gone](../gone.md)", docs / "a.md", docs)
    assert "../gone.md, which does not exist" in caplog.text
