from __future__ import annotations

import re
from pathlib import Path

from fdabnn_deploy.frontend.lint.codes import CODES

PAGE = Path(__file__).parents[3] / "docs" / "lint.md"


def test_the_page_has_every_code() -> None:
    rows = re.findall(
        r"^\| (B\d+) \| (\w+) \| (.*) \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert rows == [(code, entry.level, entry.meaning, entry.change) for code, entry in CODES.items()]
