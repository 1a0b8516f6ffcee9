"""Names in single slices of which only the discs are known, counted by the benchmark on slices of a phantom."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cascade.io.nifti import write_labels, write_volume
from cascade.labels import VERSE
from cascade.phantom import render
from cascade.volume import LabelMap

pytestmark = pytest.mark.full

ROOT = Path(__file__).resolve().parents[2]
DISCS = ("L1-L2", "L2-L3", "L3-L4", "L4-L5", "L5-S1")
FORMS = ("unchanged", "turned +8", "scaled -10")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The middle slice of a phantom twice: with its points, and with points that lie a level too high."""
    folder = tmp_path_factory.mktemp("points")
    scan, labels = render()
    middle = tuple(slice(n // 2, n // 2 + 1) if axis == 0 else slice(0, n) for axis, n in enumerate(scan.grid.shape))
    scan, labels = scan.reoriented("RAS").cropped(middle), labels.reoriented("RAS").to_scheme(VERSE).cropped(middle)
    for case, moved in (("as-told", 0), ("told-wrong", 1)):
        points = np.zeros(labels.grid.shape, np.uint8)
        for name in DISCS:
            disc = np.argwhere(labels[VERSE[name] - moved])
            points[tuple(disc[disc[:, 1].argmin()])] = VERSE[name]
        write_volume(scan, folder / f"{case}_image.nii.gz")
        write_labels(LabelMap(points, labels.grid, VERSE), folder / f"{case}_points.nii.gz")
    (folder / "cases.tsv").write_text("case\tpatient\tsplit\nas-told\t1\tval\ntold-wrong\t2\tval\nelsewhere\t3\ttrain\n", "utf-8")
    return folder


def counted(folder: Path, *words: str) -> str:
    command = [sys.executable, "benchmarks/slices.py", str(folder), "--json", str(folder / "found.json"), *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def scans(folder: Path, case: str) -> dict[str, dict[str, Any]]:
    found = json.loads((folder / "found.json").read_text("utf-8"))["scans"]
    return {scan["form"]: scan for scan in found if scan["case"] == case}


@pytest.fixture(scope="module")
def printed(folder: Path) -> str:
    return counted(folder, "--forms", *FORMS, "--margins", str(folder / "margins.svg"))


@pytest.mark.usefixtures("printed")
@pytest.mark.parametrize("form", FORMS)
def test_a_slice_is_right_in_each_form_where_the_points_say_what_is_there(folder: Path, form: str) -> None:
    assert scans(folder, "as-told")[form]["state"] == "right"
    assert scans(folder, "told-wrong")[form]["state"] != "right"


@pytest.mark.usefixtures("printed")
def test_the_margin_is_below_nothing_where_the_names_are_not_those_of_the_points(folder: Path) -> None:
    assert scans(folder, "as-told")["unchanged"]["margin"] > 0 > scans(folder, "told-wrong")["unchanged"]["margin"]
    assert "<svg" in (folder / "margins.svg").read_text("utf-8")


def test_the_table_has_a_row_a_form_and_what_was_done_is_not_done_again(folder: Path, printed: str) -> None:
    rows = [line.split(" | ") for line in printed.splitlines() if line.startswith("| ")]
    assert ["| unchanged", "2", "50.0%"] in [row[:3] for row in rows]
    assert ["| all uncut", "6", "50.0%"] in [row[:3] for row in rows]
    before = scans(folder, "as-told")
    assert counted(folder, "--forms", *FORMS) == printed
    assert scans(folder, "as-told") == before
