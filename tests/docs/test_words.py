"""Words that only those who made it know are kept out of what others read."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

import cascade
from tests.docs.pages import ROOT
from tests.docs.test_commands import COMMANDS, LIVING

PACKAGE = Path(cascade.__file__).parent
#: Each with what to say instead.
HOUSE_WORDS = {
    r"\blegs?\b": "run (of training)",
    r"\bnats?\b": "how many times as likely",
    r"\bmade (?:scans?|stud(?:y|ies))\b": "synthetic",
    r"\bsettle[sd]?\b": "decided, done",
    r"\btouched\b": "clicked, changed",
    r"\bStageSpec\b": "the JSON beside the weights",
}
#: Rooms that weigh names by costs, whose docstrings say the unit; and a class, which docstrings have to name.
WEIGHING, UNIT, CLASS = {"postproc", "study"}, r"\bnats?\b", r"\bStageSpec\b"
TEMPLATES = [path for end in ("html", "js", "md") for path in PACKAGE.rglob(f"*.{end}")]


def found(text: str, allowed: tuple[str, ...] = ()) -> list[str]:
    """The house words in a text, with some of what stands around them."""
    hits = [hit for pattern in HOUSE_WORDS if pattern not in allowed for hit in re.finditer(pattern, text, re.IGNORECASE)]
    return [text[max(0, hit.start() - 30) : hit.end() + 20] for hit in hits]


@pytest.mark.parametrize("page", LIVING, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_page_has_one(page: Path) -> None:
    assert found(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_no_help_has_one(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module, function = COMMANDS[name].split(":")
    with pytest.raises(SystemExit):
        getattr(importlib.import_module(module), function)(["--help"])
    said = capsys.readouterr().out
    assert len(said) > 300
    assert found(said) == []


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_page_that_is_written_has_one(template: Path) -> None:
    assert found(template.read_text(encoding="utf-8")) == []


def test_no_docstring_has_one() -> None:
    assert {path.as_posix(): words for path in PACKAGE.rglob("*.py") if (words := in_docstrings(path))} == {}


def test_nothing_is_installed_from_an_index_that_does_not_have_it_and_brackets_are_quoted() -> None:
    files = [*LIVING, *TEMPLATES, *PACKAGE.rglob("*.py"), *ROOT.glob("integrations/**/*.py")]
    texts = {path: path.read_text(encoding="utf-8") for path in files}
    assert [path for path, text in texts.items() if re.search(r"pip install[^\n`]*cascade-spine", text)] == []
    assert [path for path, text in texts.items() if re.search(r"pip install[^\n`]*[ '](?:-e )?\.\[", text)] == []


def in_docstrings(path: Path) -> list[str]:
    """House words in the docstrings of a file; `legs` is an entry of recipes."""
    allowed = (CLASS, UNIT) if path.relative_to(PACKAGE).parts[0] in WEIGHING else (CLASS,)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, documented)]
    return [word for node in nodes for word in found((ast.get_docstring(node) or "").replace("legs : tuple", ""), allowed)]
