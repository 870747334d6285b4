"""Words that docs/glossary.md replaces stand nowhere: in no name, docstring, comment, message or document."""

from __future__ import annotations

import io
import keyword
import re
import subprocess
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GLOSSARY = ROOT / "docs" / "glossary.md"
ENDINGS = {".py", ".md", ".cc", ".h", ".j2", ".toml", ".yml", ".yaml"}
ELSEWHERE = ("findings/", "tools/lint/words_test.py", "docs/glossary.md")
"""Where the words are allowed: the records of earlier faults, the list itself, and this test."""

SENTENCES = ("nobody's promise", "no program decides", "what is no matrix", "What a file's bytes are not")
"""Riddles that were rewritten."""

NAMES = ("beside", "held", "turn", "turned", "turns", "workbench")
"""English words that were private ones as names; sentences, tests' names among them, may use them."""

KEPT = {
    "twin": r'[`"]twins|\.twins\b|\btwins(=|:)|no twin|build_twin|float_twin|quantised_twin|`Twin|twin_\*|TwinRow',
    "ceiling": r'[`"]ceiling[`"]|of_ceiling|--ceiling|fdabnn_ceiling|\.ceiling\b|\bceiling: |of the ceiling, (?:float|packed)',
}
"""Where a replaced word stays: fields of JSON, options, the C interface, records of benchmarks, and old names in the CHANGELOG."""


def replaced_words() -> tuple[str, ...]:
    """The last column of the glossary's table."""
    rows = [line for line in GLOSSARY.read_text(encoding="utf-8").splitlines() if line.startswith("| ")][1:]
    cells = (row.strip("|").split("|")[-1].strip() for row in rows)
    return tuple(word for cell in cells for word in cell.split(", ") if word)


def found(word: str, text: str) -> list[str]:
    """The lines with a word, its plural, or a name of which it is a part, but for what `KEPT` allows."""
    pattern = re.compile(rf"(?<![a-zA-Z]){re.escape(word)}s?(?![a-zA-Z])", re.IGNORECASE)
    lines = []
    for line in text.splitlines():
        searched = re.sub(KEPT[word], "", line) if word in KEPT else line
        searched = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", searched).replace("_", " ")
        if pattern.search(searched):
            lines.append(line.strip())
    return lines


def names(source: str) -> set[str]:
    """The names in a Python source."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        token.string
        for token in tokens
        if token.type == tokenize.NAME and not keyword.iskeyword(token.string)
    }


def words_of(name: str) -> set[str]:
    """The words of a name in snake or camel case, in lower case; none of a test's, which is a sentence."""
    if name.startswith("test_"):
        return set()
    return set(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().split("_"))


def files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a checkout of git")
    found_names = [name for name in listed.stdout.split("\0") if name and not name.startswith(ELSEWHERE)]
    return [ROOT / name for name in found_names if Path(name).suffix in ENDINGS and (ROOT / name).is_file()]


def test_the_glossary_lists_replaced_words() -> None:
    assert {"picture", "way out", "stranger", "twin", "ceiling", "workbench"} <= set(replaced_words())


def test_no_replaced_word_stands_anywhere() -> None:
    texts = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in files()}
    hits = [
        f"{name}: {word}: {line}"
        for name, text in texts.items()
        for word in (*replaced_words(), *SENTENCES)
        for line in (name, *found(word, text))
        if line != name or found(word, name)
    ]
    assert hits == []


def test_no_name_is_made_of_a_private_word() -> None:
    hits = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in files()
        if path.suffix == ".py"
        for name in names(path.read_text(encoding="utf-8"))
        if words_of(name) & set(NAMES)
    ]
    assert hits == []


def test_no_docstring_begins_with_what() -> None:
    """A docstring says what a thing is; "What a thing does" makes a riddle of it."""
    begins = re.compile(r'^\s*"""What\b', re.MULTILINE)
    sources = [path for path in files() if path.suffix == ".py"]
    hits = [
        str(path.relative_to(ROOT)) for path in sources if begins.search(path.read_text(encoding="utf-8"))
    ]
    assert hits == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("a picture", 1),
        ("PICTURES", 1),
        ("to_picture_2", 1),
        ("ToPicture", 1),
        ("depicture", 0),
        ("an image", 0),
    ],
)
def test_words_are_found_in_names_too(text: str, count: int) -> None:
    assert len(found("picture", text)) == count


def test_kept_fields_are_no_hits_and_all_else_is() -> None:
    assert found("twin", 'content["twins"]') == []
    assert found("twin", "a twin of `twins`") == ["a twin of `twins`"]
    assert words_of("runTurned_2") & set(NAMES) == {"turned"}
    assert words_of("test_in_turn") == set()
