"""The tutorials: what stands in them was printed and drawn by what they say, and they have the parts that a reader looks for."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, text_of, without_code

TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
RUN = ROOT / "docs" / "tutorials" / "run.py"
MOST_WORDS = 600


def test_there_is_one_for_each_way_to_begin() -> None:
    assert {page.stem for page in TUTORIALS} == {"first-scan", "cohort", "dicom-study", "correct-a-level", "train", "measure"}


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
class TestEachTutorial:
    def test_says_what_one_needs_types_and_sees_and_what_to_do_when_it_looks_different(self, page: Path) -> None:
        text = text_of(page)
        assert "**You need**" in text.split("## ")[0]
        assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == ["What you type", "What you see", "When it looks different"]
        assert len(without_code(text).split()) < MOST_WORDS

    def test_shows_what_was_printed_and_drawn(self, page: Path) -> None:
        text = text_of(page)
        assert text.count("```output\n") >= 2
        pictures = re.findall(r"\((pictures/[^)]+)\)", text)
        assert pictures
        assert [name for name in pictures if name.split("/")[1] != page.stem] == []
        assert max((page.parent / name).stat().st_size for name in pictures) < 150_000

    @pytest.mark.full
    def test_prints_and_draws_the_same_when_it_is_typed_again(self, page: Path) -> None:
        done = subprocess.run([sys.executable, RUN, "--check", page], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
