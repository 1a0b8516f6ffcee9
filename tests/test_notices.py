"""Warnings: one table of codes, which the documentation repeats and the code uses up."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import cascade
from cascade.notices import CODES, Notice

PACKAGE = Path(cascade.__file__).parent
PAGE = PACKAGE.parent / "docs" / "warnings.md"
#: What a section of the page is about, by its heading.
SECTIONS = {"About the names": "names", "About single structures": "structure", "About the scan": "scan", "About labelled cases": "case"}


def documented() -> dict[str, tuple[str, str]]:
    """What each code of the page's tables is about, and its rank."""
    found = {}
    for section in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        heading, _, body = section.partition("\n")
        for cell, rank in re.findall(r"^\| (`[^|]*) \| ([a-z]+) \|", body, re.MULTILINE) if heading in SECTIONS else ():
            found |= dict.fromkeys(re.findall(r"`([^`]+)`", cell), (SECTIONS[heading], rank))
    return found


def given() -> set[str]:
    """The codes of the notices that the code makes."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "Notice"]
    return {call.args[0].value for call in calls if call.args and isinstance(call.args[0], ast.Constant)}


def test_the_page_tells_of_every_code_where_it_belongs_and_of_no_other() -> None:
    assert documented() == {code: (meaning.about, meaning.rank) for code, meaning in CODES.items()}


def test_every_code_is_given_somewhere() -> None:
    assert given() == set(CODES)


def test_a_code_that_is_not_in_the_table_is_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"cascade\.notices\.CODES; found 'no-such-code'"):
        Notice("no-such-code", None, "")


def test_doubt_about_the_names_is_never_a_note() -> None:
    assert CODES["numbering-uncertain"].rank == "alarm"


def test_a_notice_has_the_rank_of_its_code_unless_it_says_otherwise() -> None:
    assert [Notice("stray-component-removed", None, "").rank, Notice("stray-component-removed", None, "", "warning").rank] == [
        "note",
        "warning",
    ]
    assert not Notice("few-slices", None, "").is_for_looking
    with pytest.raises(ValueError, match="expected one of note, warning, alarm; found 'shout'"):
        Notice("few-slices", None, "", "shout")  # type: ignore[arg-type]
