"""Slips on results of single slices against what radiologists graded as listhesis: sensitivity and specificity.

``RESULTS`` holds the label files (``PATIENT_SERIES.nii.gz``, scheme ``verse``) that networks which never saw these slices made of
SPIDER's mid-sagittal slices, each repeated to a slab; ``GRADINGS.CSV`` are SPIDER's gradings. The disc below a body counts as slipped if
the slip of the body has a grade (`cascade.measure.alignment`). Run: ``python benchmarks/listheses.py RESULTS GRADINGS.CSV``.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import stats

from cascade.io.nifti import read_label_array
from cascade.labels import SACRUM, VERSE, is_disc
from cascade.measure import Measurement, measure
from cascade.volume import LabelMap

#: Vertebra above the disc that the gradings number from below.
ABOVE = {1: "L5", 2: "L4", 3: "L3", 4: "L2", 5: "L1", 6: "T12", 7: "T11"}


def graded(results: Path, gradings: Path) -> Iterator[tuple[str, str, bool, Measurement | None]]:
    """Patient, body, whether its disc is graded as listhesis, and what was measured of it."""
    with gradings.open(encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    for path in sorted(results.glob("*.nii.gz")):
        patient = path.name.split("_")[0]
        numbers, grid = read_label_array(path)
        discs = [value for name, value in VERSE.ids.items() if is_disc(name)]
        bodies = LabelMap(np.where(np.isin(numbers, discs), 0, numbers).astype(np.uint8), grid, VERSE)
        found = {row.structure: row for row in measure(bodies)}
        for row in (row for row in rows if row["Patient"] == patient and int(row["IVD label"]) in ABOVE):
            above = ABOVE[int(row["IVD label"])]
            yield patient, above, row["Spondylolisthesis"] == "1", found.get(above)


def share(found: int, of: int) -> str:
    """A share with Wilson's 95 % interval."""
    low, high = stats.binomtest(found, of).proportion_ci(method="wilson")
    return f"{found} of {of} ({100 * low:.0f} to {100 * high:.0f} %)"


def main() -> None:
    """Print the figures, and every listhesis."""
    everything = list(graded(Path(sys.argv[1]), Path(sys.argv[2])))
    known = [(truth, row) for _, _, truth, row in everything if row is not None and row.slip_mm is not None]
    for patient, body, _, row in (entry for entry in everything if entry[2]):
        told = "not measured" if row is None or row.slip_mm is None else f"{row.slip_mm:+.1f} mm, grade {row.slip_grade}"
        print(f"listhesis: patient {patient}, {body}: {told}, next to {SACRUM if body == 'L5' else 'a body'}")
    print("patients", len({entry[0] for entry in everything}), "discs", len(everything), "measured", len(known))
    for name, chosen in (("all", known), ("but L5", [entry for entry in known if entry[1].structure != "L5"])):
        yes, no = ([row for truth, row in chosen if truth == wanted] for wanted in (True, False))
        print(f"{name}: found", share(sum(bool(row.slip_grade) for row in yes), len(yes)), end="; ")
        print("others without a slip", share(sum(not row.slip_grade for row in no), len(no)), end="; ")
        sizes = [[abs(row.slip_mm or 0.0) for row in group] for group in (yes, no)]
        print(f"area under the ROC curve {stats.mannwhitneyu(*sizes).statistic / (len(yes) * len(no)):.3f}")


if __name__ == "__main__":
    main()
