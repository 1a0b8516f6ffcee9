"""Usual heights of vertebral bodies, level by level, from reference labels; `cascade.measure.bodies.USUAL` quotes them.

Of every training case with at least three of L1 to L4, each height over the mean of all three of L1 to L4; medians over the cases.
Cases of the data set ``zukic`` are left out: it was collected for its fractures and slips. Run:
``python benchmarks/usual_heights.py CASES`` (the folder with ``cases.tsv``).
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from cascade.io.nifti import read_label_array
from cascade.labels import VERSE
from cascade.measure import measure
from cascade.volume import FloatArray, LabelMap

HEIGHTS = ("anterior_mm", "middle_mm", "posterior_mm")
REFERENCE = ("L1", "L2", "L3", "L4")
#: Fragments and posterior elements, which have no place in the scheme.
REST = 90


def reference(folder: Path, row: dict[str, str]) -> LabelMap:
    """Reference labels of a case, without what is no structure of its own."""
    numbers, grid = read_label_array(folder / row["dataset"] / f"{row['case']}_labels.nii.gz")
    return LabelMap(np.where(numbers == REST, 0, numbers).astype(np.uint8), grid, VERSE)


def shares(labels: LabelMap) -> dict[str, FloatArray]:
    """Heights of every body over the mean of L1 to L4; empty where fewer than three of these are there."""
    rows = [row for row in measure(labels) if row.kind == "body" and all(getattr(row, name) for name in HEIGHTS)]
    heights = {row.structure: np.array([getattr(row, name) for name in HEIGHTS]) for row in rows}
    known = [heights[name].mean() for name in REFERENCE if name in heights]
    return {name: h / np.mean(known) for name, h in heights.items()} if len(known) >= 3 else {}


def main() -> None:
    """Print a line a level."""
    folder = Path(sys.argv[1])
    found = defaultdict(list)
    with (folder / "cases.tsv").open(encoding="utf-8") as stream:
        chosen = [row for row in csv.DictReader(stream, delimiter="\t") if row["split"] == "train" and row["dataset"] != "zukic"]
    for row in chosen:
        for name, share in shares(reference(folder, row)).items():
            found[name].append(share)
    for name, values in found.items():
        middle, spread = np.median(values, axis=0), np.std(values, axis=0)
        print(name, len(values), "median", *(f"{v:.3f}" for v in middle), "sd", *(f"{v:.3f}" for v in spread))


if __name__ == "__main__":
    main()
