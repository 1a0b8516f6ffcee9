"""The page on the code's layout: its picture is that of the imports, and a scan walks as it says."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import pytest

import cascade
from cascade.cli import segment as command
from tests.docs.pages import ROOT, text_of

PAGE = ROOT / "docs" / "architecture.md"
HOW = "run python docs/make_architecture_picture.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_architecture_picture", ROOT / "docs" / "make_architecture_picture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_that_of_the_imports(script: ModuleType) -> None:
    assert text_of(ROOT / "docs" / "architecture.svg") == script.picture(), HOW


def test_the_table_is_that_of_the_rooms(script: ModuleType) -> None:
    text = text_of(PAGE)
    assert text == script.page(text), HOW


def test_only_arrows_that_follow_from_others_are_left_out(script: ModuleType) -> None:
    pairs = script.arrows()
    kept = reached = script.reduced(pairs)
    while (more := reached | {(a, d) for a, b in reached for c, d in kept if b == c}) != reached:
        reached = more
    assert kept < pairs <= reached


def test_a_scan_walks_as_the_page_says(scans: Path, oracle_weights: Path, tmp_path: Path) -> None:
    walk = re.findall(r"^\d+\. `([\w.]+)`", text_of(PAGE), flags=re.MULTILINE)
    words = [scans / "sub" / "a.nii.gz", "-o", tmp_path / "l.nii.gz", "--json", tmp_path / "run.json", "--report", tmp_path / "qc.html"]
    called = calls_of([str(word) for word in (*words, "--weights", oracle_weights, "--device", "cpu")])
    assert len(walk) > 10
    assert [step for step in called if step in walk] == walk


def calls_of(words: list[str]) -> list[str]:
    """Full names of the functions of the package that the command calls, in the order of their first call."""
    package = Path(cascade.__file__).parent
    seen: dict[str, None] = {}

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(str(package)):
            module = Path(frame.f_code.co_filename).relative_to(package.parent).with_suffix("")
            seen.setdefault(".".join([*module.parts, frame.f_code.co_qualname]))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        assert command.main(words) == 0
    finally:
        sys.setprofile(before)
    return list(seen)
