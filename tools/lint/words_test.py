"""Words that docs/glossary.md replaces stand nowhere: in no name, docstring, comment, message or document."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GLOSSARY = ROOT / "docs" / "glossary.md"
ENDINGS = {".py", ".md", ".cc", ".h", ".j2", ".toml", ".yml", ".yaml"}
ELSEWHERE = ("findings/", "tools/lint/words_test.py", "docs/glossary.md")
"""Where the words are allowed: the records of earlier faults, the list itself, and this test."""

SENTENCES = ("nobody's promise", "no program decides", "what is no matrix", "What a file's bytes are not")
"""Riddles that were rewritten."""


def replaced_words() -> tuple[str, ...]:
    """The last column of the glossary's table."""
    rows = [line for line in GLOSSARY.read_text(encoding="utf-8").splitlines() if line.startswith("| ")][1:]
    return tuple(word for row in rows for word in [row.strip("|").split("|")[-1].strip()] if word)


def found(word: str, text: str) -> list[str]:
    """The lines with a word, its plural, or a name of which it is a part."""
    pattern = re.compile(rf"(?<![a-zA-Z]){re.escape(word)}s?(?![a-zA-Z])", re.IGNORECASE)
    return [line.strip() for line in text.splitlines() if pattern.search(line)]


def files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a checkout of git")
    names = [name for name in listed.stdout.split("\0") if name and not name.startswith(ELSEWHERE)]
    return [ROOT / name for name in names if Path(name).suffix in ENDINGS and (ROOT / name).is_file()]


def test_the_glossary_lists_replaced_words() -> None:
    assert {"picture", "way out", "stranger"} <= set(replaced_words())


def test_no_replaced_word_stands_anywhere() -> None:
    texts = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in files()}
    hits = [
        f"{name}: {word}: {line}"
        for name, text in texts.items()
        for word in (*replaced_words(), *SENTENCES)
        for line in found(word, text)
    ]
    assert hits == []


@pytest.mark.parametrize(
    ("text", "count"),
    [("a picture", 1), ("PICTURES", 1), ("to_picture_2", 1), ("depicture", 0), ("an image", 0)],
)
def test_words_are_found_in_names_too(text: str, count: int) -> None:
    assert len(found("picture", text)) == count
