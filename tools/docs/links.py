"""A hook of mkdocs: links of documents to files of the checkout that are not in docs/.

Read as plain files the documents link to sources and to the README. The site has no such pages: there the link's text remains. A link to a
file that does not exist is a warning, with which `mkdocs build --strict` fails.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<target>\.\./[^)#\s]+)(#[^)\s]*)?\)")
LOG = logging.getLogger("mkdocs.hooks.links")


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Replaces links out of docs/ by their text; mkdocs calls this for every page."""
    del files
    docs = Path(config["docs_dir"]).resolve()
    return without_outer_links(markdown, docs / page.file.src_uri, docs)


def without_outer_links(markdown: str, page: Path, docs: Path) -> str:
    """A page's Markdown without its links out of docs/."""

    def replaced(link: re.Match[str]) -> str:
        target = (page.parent / link["target"]).resolve()
        if target.is_relative_to(docs):
            return link[0]
        if not target.exists():
            LOG.warning("%s links to %s, which does not exist", page.relative_to(docs), link["target"])
        return link["text"]

    return LINK.sub(replaced, markdown)
