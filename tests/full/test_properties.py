"""What holds for every spine, grid and file: with twice as many examples as the quick tests draw."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.full
def test_every_property_holds_for_more_examples() -> None:
    words = ["-q", "-p", "no:cacheprovider", "-m", "hypothesis and not full", "--hypothesis-profile=full", "tests"]
    process = subprocess.run([sys.executable, "-m", "pytest", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout[-4000:] + process.stderr[-4000:]
