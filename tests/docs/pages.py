"""The project's pages, as tests read them."""

from __future__ import annotations

import re
from pathlib import Path

import cascade

ROOT = Path(cascade.__file__).parents[1]
#: Pages that people read: at the root, below docs/, the model card, and the READMEs of integrations.
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("weights/*.md"), *ROOT.glob("integrations/**/*.md")})
NOTES = sorted((ROOT / "docs" / "notes").glob("[0-9]*.md"))


def text_of(page: Path) -> str:
    """A page's text."""
    return page.read_text(encoding="utf-8")


def without_code(text: str) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def blocks(text: str, language: str) -> list[str]:
    """The blocks of code of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def links(text: str) -> list[str]:
    """Where the links and pictures of a page lead."""
    return re.findall(r"\]\(([^)\s]+)\)", without_code(text))


def anchors(text: str) -> set[str]:
    """The anchors that GitHub makes of a page's headings.

    >>> sorted(anchors("# A `b-c`: d\\n## A, really?"))
    ['a-b-c-d', 'a-really']
    """
    headings = re.findall(r"^#+ +(.*)$", without_code(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}
