"""Labels on the axial slices of a study, by the networks, on phantoms."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.full

ROOT = Path(__file__).resolve().parents[2]
#: Contrast and rim; Dice of bodies and discs in the sagittal scan, on blocks of five axial slices, and of nine.
Figures = dict[tuple[str, str], list[float]]


@pytest.fixture(scope="module")
def measured() -> Figures:
    words = [sys.executable, "benchmarks/study.py", "--phantom"]
    printed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return figures(printed, r"(T1|T2|STIR), rim (within|around)")


def figures(text: str, case: str) -> Figures:
    rows = (line for line in text.splitlines() if re.match(case, line))
    return {re.match(case, row).groups(): [float(value) for value in re.findall(r"\b0\.\d{3}", row)] for row in rows}  # type: ignore[union-attr,misc]


@pytest.mark.parametrize(("contrast", "of_discs"), [("T1", 0.85), ("T2", 0.84)])
def test_bodies_with_a_rim_as_in_real_labels_and_discs_are_where_the_phantom_has_them(
    measured: Figures, contrast: str, of_discs: float
) -> None:
    *_, bodies, discs = measured[contrast, "around"]
    assert bodies >= 0.90
    assert discs >= of_discs


def test_the_page_tells_what_is_measured(measured: Figures) -> None:
    told = figures((ROOT / "docs" / "study.md").read_text("utf-8"), r"\| (T1|T2|STIR) \| (within|around)")
    assert told.keys() == measured.keys()
    assert len(told) == 6
    for case, values in told.items():
        assert values == pytest.approx(measured[case], abs=0.01), case
