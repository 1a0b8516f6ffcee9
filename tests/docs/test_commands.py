"""What the pages tell people to type: every command line is understood, every piece of Python compiles and finds what it imports."""

from __future__ import annotations

import ast
import configparser
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT

#: Notes tell what was typed at their time. What `extending.md` makes up is made and run by its own test.
LIVING = [page for page in PAGES if "notes" not in page.parts and page.name != "CHANGELOG.md"]
IMPORTING = [page for page in LIVING if page.name != "extending.md"]
_SETUP = configparser.ConfigParser()
_SETUP.read(ROOT / "setup.cfg", encoding="utf-8")
#: Module and function of each command.
COMMANDS = dict(line.split(" = ") for line in _SETUP.get("options.entry_points", "console_scripts", fallback="").split("\n") if line)
_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def fences(page: Path, *languages: str) -> Iterator[str]:
    """The pieces of a page between fences, of some languages."""
    for language, content in _FENCE.findall(page.read_text(encoding="utf-8")):
        if language in languages:
            yield content


def typed(page: Path) -> Iterator[list[str]]:
    """The words of every command of ours that a page shows on a line of its own, also behind ``&&``."""
    for content in fences(page, "", "sh", "bash", "console"):
        for line in content.replace("\\\n", " ").splitlines():
            for part in line.split(" #")[0].split("\t")[0].replace("||", "&&").split("&&"):
                words = part.strip().removeprefix("$ ").split(" ", 1)
                if words[0] in COMMANDS:
                    yield shlex.split(part)


def understood(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the real command parse its words, and stop before it does anything."""
    module, function = COMMANDS[words[0]].split(":")
    command = importlib.import_module(module)
    monkeypatch.setattr("cascade.cli.console.run", lambda *_, **__: 0)
    monkeypatch.setattr("cascade.cli.options.is_there", lambda _: True)
    getattr(command, function)(words[1:])


@pytest.mark.parametrize("page", LIVING, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_on_a_page_is_understood(page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = []
    for words in typed(page):
        try:
            understood(words, monkeypatch)
        except SystemExit as end:
            if end.code:
                wrong.append((" ".join(words), capsys.readouterr().err.splitlines()[-1]))
    assert not wrong


@pytest.mark.skipif(not COMMANDS, reason="the package is installed, not a source tree")
def test_commands_were_found() -> None:
    found = [words[0] for page in LIVING for words in typed(page)]
    assert len(found) > 30
    assert set(found) == set(COMMANDS)


@pytest.mark.parametrize("page", IMPORTING, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_piece_of_python_compiles_and_finds_what_it_imports_from_us(page: Path) -> None:
    nodes = [node for content in fences(page, "python") for node in ast.walk(ast.parse(content))]
    ours = [node for node in nodes if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "cascade"]
    names = [(str(node.module), alias.name) for node in ours for alias in node.names]
    assert [(module, name) for module, name in names if not hasattr(importlib.import_module(module), name)] == []
