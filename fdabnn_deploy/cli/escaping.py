"""Names come from models and files, which anybody can have made: what they hold of control characters is shown and never obeyed.

A terminal obeys ESC and its relatives (title, colours, moved cursor, on some more than that), and characters that turn the direction of
writing make a name look like another.
"""

from __future__ import annotations

import re

from rich.console import ConsoleRenderable, RenderHook
from rich.text import Text

_DIRECTION = "\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069"
_CONTROLS = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029{_DIRECTION}]")
"""All but tab and line feed, which the texts of this package have themselves."""
_IN_NAMES = re.compile(f"[\x00-\x1f\x7f-\x9f\u2028\u2029{_DIRECTION}]")


def escape_name(name: str) -> str:
    r"""A name in one line: `a\x1b[31m` with a backslash and letters in place of the control character."""
    return _IN_NAMES.sub(_escape, name)


def escape_text(text: str) -> str:
    """A text of maybe several lines."""
    return _CONTROLS.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    known = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}
    return known.get(found[0]) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


class EscapingHook(RenderHook):
    """Escapes what a console prints as text, whoever forgot to; styles stay where they were."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """See `rich.console.RenderHook`."""
        return [_escaped(each) if isinstance(each, Text) else each for each in renderables]


def _escaped(text: Text) -> Text:
    result = text.blank_copy()
    last = 0
    for found in _CONTROLS.finditer(text.plain):
        result.append_text(text[last : found.start()])
        result.append(_escape(found))
        last = found.end()
    if last == 0:
        return text
    return result.append_text(text[last:])
