"""Results of single slices against what radiologists graded: slips against listhesis, heights of discs against narrowing.

``RESULTS`` holds the label files (``PATIENT_SERIES.nii.gz``, scheme ``verse``) that networks which never saw these slices made of
SPIDER's mid-sagittal slices, each repeated to a slab; ``GRADINGS.CSV`` are SPIDER's gradings. The disc below a body counts as slipped if
the slip of the body has a grade (`cascade.measure.alignment`). A disc's height is told in three ways: in mm, as height index, and as height
index over the median of the patient's other discs. Intervals of the areas under the ROC curve are 95 % of 1,000 bootstraps over patients.
Run: ``python benchmarks/listheses.py RESULTS GRADINGS.CSV``.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from cascade.io.nifti import read_label_array
from cascade.labels import SACRUM, VERSE
from cascade.measure import Measurement, measure
from cascade.volume import LabelMap

#: Vertebra above the disc that the gradings number from below.
ABOVE = {1: "L5", 2: "L4", 3: "L3", 4: "L2", 5: "L1", 6: "T12", 7: "T11"}
BOOTSTRAPS = 1000


@dataclass(frozen=True)
class Graded:
    """A disc: its patient, the vertebra above it, what was graded, and what was measured of both."""

    patient: str
    above: str
    listhesis: bool
    narrow: bool
    body: Measurement | None
    disc: Measurement | None
    others_index: float | None


def graded(results: Path, gradings: Path) -> Iterator[Graded]:
    """Every graded disc of every patient with a result."""
    with gradings.open(encoding="utf-8-sig") as stream:
        rows = [row for row in csv.DictReader(stream) if int(row["IVD label"]) in ABOVE]
    for path in sorted(results.glob("*.nii.gz")):
        patient = path.name.split("_")[0]
        numbers, grid = read_label_array(path)
        found = measure(LabelMap(numbers.astype(np.uint8), grid, VERSE))
        bodies = {row.structure: row for row in found if row.kind == "body"}
        discs = {row.structure.split("-")[0]: row for row in found if row.kind == "disc"}
        for row in (row for row in rows if row["Patient"] == patient):
            above = ABOVE[int(row["IVD label"])]
            others = [disc.height_index for name, disc in discs.items() if name != above and disc.height_index is not None]
            slipped, narrow = row["Spondylolisthesis"] == "1", row["Disc narrowing"] == "1"
            yield Graded(patient, above, slipped, narrow, bodies.get(above), discs.get(above), float(np.median(others)) if others else None)


def share(found: int, of: int) -> str:
    """A share with Wilson's 95 % interval."""
    low, high = stats.binomtest(found, of).proportion_ci(method="wilson")
    return f"{found} of {of} ({100 * low:.0f} to {100 * high:.0f} %)"


def roc_area(found: Sequence[tuple[str, bool, float]]) -> str:
    """Area under the ROC curve of a number that is larger where the grade is true; (patient, grade, number) by disc."""
    rng, patients = np.random.default_rng(0), sorted({patient for patient, _, _ in found})
    by_patient = {name: [entry for entry in found if entry[0] == name] for name in patients}
    draws = ([patients[i] for i in rng.integers(len(patients), size=len(patients))] for _ in range(BOOTSTRAPS))
    areas = [_area([entry for name in names for entry in by_patient[name]]) for names in draws]
    low, high = np.nanpercentile(areas, [2.5, 97.5])
    return f"{_area(found):.3f} ({low:.3f} to {high:.3f})"


def _area(found: Sequence[tuple[str, bool, float]]) -> float:
    yes, no = ([number for _, truth, number in found if truth == wanted] for wanted in (True, False))
    return float(stats.mannwhitneyu(yes, no).statistic / (len(yes) * len(no))) if yes and no else np.nan


def tell_slips(everything: Sequence[Graded]) -> None:
    """Print every listhesis, and how many are found."""
    for disc in (disc for disc in everything if disc.listhesis):
        slip_mm = disc.body.slip_mm if disc.body else None
        told = f"{slip_mm:+.1f} mm, grade {disc.body.slip_grade}" if disc.body and slip_mm is not None else "not measured"
        print(f"listhesis: patient {disc.patient}, {disc.above}: {told}, next to {SACRUM if disc.above == 'L5' else 'a body'}")
    known = [(d.patient, d.above, d.listhesis, d.body) for d in everything if d.body and d.body.slip_mm is not None]
    on_s1, others = ([entry for entry in known if (entry[1] == "L5") == wanted] for wanted in (True, False))
    print("patients", len({disc.patient for disc in everything}), "discs", len(everything), "measured", len(known))
    for name, chosen in (("all", known), ("but L5", others), ("L5", on_s1)):
        yes, no = ([body for _, _, truth, body in chosen if truth == wanted] for wanted in (True, False))
        print(f"{name}: found", share(sum(bool(row.slip_grade) for row in yes), len(yes)), end="; ")
        print("others without a slip", share(sum(not row.slip_grade for row in no), len(no)), end="; ")
        print("area under the ROC curve", roc_area([(patient, truth, abs(body.slip_mm or 0.0)) for patient, _, truth, body in chosen]))


def tell_limit(everything: Sequence[Graded]) -> None:
    """Print from where a slip of L5 backwards counts, by one half of the patients, and how many of the other half's then count wrongly."""
    free = [d.body for d in everything if d.above == "L5" and not d.listhesis and d.body and d.body.slip_mm is not None]
    slips_mm = np.array([body.slip_mm for body in free], dtype=float)
    print(f"L5 without listhesis: median {np.median(slips_mm):.1f} mm, 97.5 % above {np.percentile(slips_mm, 2.5):.1f} mm")
    for half in (0, 1):
        limit_mm, others = np.percentile(slips_mm[half::2], 2.5), slips_mm[1 - half :: 2]
        below = share(int((others < limit_mm).sum()), len(others))
        print(f"by every second patient above {limit_mm:.1f} mm; of the others {below} below")


def tell_narrowing(everything: Sequence[Graded]) -> None:
    """Print how well three heights of a disc tell what was graded as narrowed."""
    for name, heights in {
        "height (mm)": [(d, d.disc.middle_mm) for d in everything if d.disc and d.disc.middle_mm is not None],
        "height index": [(d, d.disc.height_index) for d in everything if d.disc and d.disc.height_index is not None],
        "height index over the others'": [
            (d, d.disc.height_index / d.others_index) for d in everything if d.disc and d.disc.height_index is not None and d.others_index
        ],
    }.items():
        yes, no = ([height for disc, height in heights if disc.narrow == wanted] for wanted in (True, False))
        area = roc_area([(disc.patient, disc.narrow, -height) for disc, height in heights])
        print(f"narrowing, {name}: median {np.median(yes):.3f} of {len(yes)}, {np.median(no):.3f} of {len(no)} others; area {area}")


def main() -> None:
    """Print the figures."""
    everything = list(graded(Path(sys.argv[1]), Path(sys.argv[2])))
    tell_slips(everything)
    tell_limit(everything)
    tell_narrowing(everything)


if __name__ == "__main__":
    main()
