"""Whole vertebrae cut to bodies, measured against the bodies alone.

In SPIDER's reference labels posterior elements (90) are merged into the nearest body; the result is cut along the canal and measured.
Prints the largest differences of a case. Run: ``python benchmarks/whole_vertebrae.py CASES`` (the folder with ``cases.tsv``).
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cascade.io.nifti import read_label_array
from cascade.labels import VERSE
from cascade.measure import measure
from cascade.measure.whole import cut_bodies, whole_vertebrae
from cascade.volume import Grid, LabelMap

POSTERIOR = 90
QUANTITIES = ("anterior_mm", "middle_mm", "posterior_mm", "slip_mm")


def merged(numbers: NDArray[np.unsignedinteger], grid: Grid) -> LabelMap:
    """Posterior elements with the number of the nearest body."""
    bodies = np.isin(numbers, range(VERSE["T1"], VERSE["L6"] + 1))
    nearest = ndimage.distance_transform_edt(~bodies, sampling=grid.spacing_mm, return_distances=False, return_indices=True)
    return LabelMap(np.where(numbers == POSTERIOR, numbers[tuple(nearest)], numbers).astype(np.uint8), grid, VERSE)


def differences(path: Path) -> Iterator[tuple[str, str, float]]:
    """Quantity, body and difference, cut minus alone."""
    numbers, grid = read_label_array(path)
    whole = merged(numbers, grid)
    cut = cut_bodies(whole) if whole_vertebrae(whole) else None
    if cut is None:
        raise SystemExit(f"{path}: not recognised as whole vertebrae")
    alone = LabelMap(np.where(numbers == POSTERIOR, 0, numbers).astype(np.uint8), grid, VERSE)
    after = {row.structure: row for row in measure(cut[0])}
    for row in measure(alone):
        for quantity in QUANTITIES if row.kind == "body" else ():
            before, now = getattr(row, quantity), getattr(after[row.structure], quantity)
            if before is not None and now is not None:
                yield quantity, row.structure, now - before


def main() -> None:
    """Print the largest difference of each quantity, case by case."""
    folder = Path(sys.argv[1])
    with (folder / "cases.tsv").open(encoding="utf-8") as stream:
        cases = [row["case"] for row in csv.DictReader(stream, delimiter="\t") if (row["dataset"], row["split"]) == ("spider", "val")]
    for case in cases:
        found = list(differences(folder / "spider" / f"{case}_labels.nii.gz"))
        largest = {q: max(((abs(d), body) for name, body, d in found if name == q), default=(0.0, "")) for q in QUANTITIES}
        print(case, *(f"{q} {d:.2f} ({body})" for q, (d, body) in largest.items()))


if __name__ == "__main__":
    main()
