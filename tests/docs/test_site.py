"""The pages as a site."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import cascade
from tests.docs.pages import ROOT

pytest.importorskip("sphinx")


def test_the_site_is_built_without_a_warning_and_holds_every_page_and_public_class(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(ROOT / "docs"), str(tmp_path)]
    process = subprocess.run(words, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    pages = {page.relative_to(ROOT / "docs").with_suffix(".html") for page in (ROOT / "docs").rglob("*.md")}
    assert {page for page in pages if not (tmp_path / page).is_file()} == set()
    reference = (tmp_path / "reference.html").read_text(encoding="utf-8")
    classes = [name for name in cascade.__all__ if isinstance(getattr(cascade, name), type)]
    assert [name for name in classes if f"{name}</span>" not in reference] == []
