"""What is measured on reference labels against what radiologists graded: listhesis, narrowing, degeneration of discs.

Of every SPIDER volume of both splits with its reference labels: is a body with a slip graded as listhesis, is a disc with a small height
index graded as narrowed, and how near does an ordinal model of signal and height come to the grade of degeneration (Pfirrmann et al. 2001,
Spine 26:1873-1878), each patient graded by a model fitted to the others. Single slices and
more features do better, see `benchmarks.degeneration`. Run: ``python -m benchmarks.gradings CASES GRADINGS.CSV [PATIENT ...]``; the
patients that are named are not graded.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks.ordinal import Model, kappa
from cascade.io.nifti import read_image, read_label_array
from cascade.labels import VERSE
from cascade.measure import Measurement, measure
from cascade.volume import LabelMap

#: Vertebra above the disc that the gradings number from below.
ABOVE = {1: "L5", 2: "L4", 3: "L3", 4: "L2", 5: "L1", 6: "T12", 7: "T11", 8: "T10", 9: "T9"}
FEATURES = ("signal", "nucleus_signal", "annulus_signal", "height_index")
REST = 90


def graded(folder: Path, gradings: Path) -> Iterator[tuple[str, dict[str, str], Measurement, Measurement | None]]:
    """Patient, grades, disc and the body above it."""
    with gradings.open(encoding="utf-8-sig") as stream:
        grades = {(row["Patient"], ABOVE.get(int(row["IVD label"]), "")): row for row in csv.DictReader(stream)}
    with (folder / "cases.tsv").open(encoding="utf-8") as stream:
        cases = [row["case"] for row in csv.DictReader(stream, delimiter="\t") if row["dataset"] == "spider"]
    for case in cases:
        numbers, grid = read_label_array(folder / "spider" / f"{case}_labels.nii.gz")
        labels = LabelMap(np.where(numbers == REST, 0, numbers).astype(np.uint8), grid, VERSE)
        rows = measure(labels, read_image(folder / "spider" / f"{case}_image.nii.gz")[0])
        bodies = {row.structure: row for row in rows if row.kind == "body"}
        for disc in (row for row in rows if row.kind == "disc"):
            above = disc.structure.split("-")[0]
            if (case, above) in grades:
                yield case, grades[case, above], disc, bodies.get(above)


def interval(found: int, of: int) -> str:
    """A share with Wilson's 95 % interval."""
    if not of:
        return "none"
    low, high = stats.binomtest(found, of).proportion_ci(method="wilson")
    return f"{found} of {of} ({100 * low:.0f}-{100 * high:.0f} %)"


def main() -> None:
    """Print the figures."""
    everything = list(graded(Path(sys.argv[1]), Path(sys.argv[2])))
    slips = [(grade["Spondylolisthesis"] == "1", body) for _, grade, _, body in everything if body and body.slip_mm is not None]
    for truth, word in ((True, "found"), (False, "told as none")):
        chosen = [body for listhesis, body in slips if listhesis == truth]
        print(f"listhesis {truth}: {word}", interval(sum(bool(body.slip_grade) == truth for body in chosen), len(chosen)))
    narrow = [(grade["Disc narrowing"] == "1", disc.height_index) for _, grade, disc, _ in everything if disc.height_index]
    yes, no = ([index for truth, index in narrow if truth == wanted] for wanted in (True, False))
    area = stats.mannwhitneyu(no, yes).statistic / (len(yes) * len(no))
    print(f"narrowing: height index {np.median(yes):.3f} of {len(yes)}, {np.median(no):.3f} of {len(no)} others, ROC area {area:.3f}")
    known = [(case, int(grade["Pfirrman grade"]), [getattr(d, name) for name in FEATURES]) for case, grade, d, _ in everything]
    known = [entry for entry in known if None not in entry[2] and entry[0] not in sys.argv[3:]]
    patients, truth = np.array([entry[0] for entry in known]), np.array([entry[1] for entry in known])
    features = np.log(np.array([entry[2] for entry in known], dtype=float) + 0.02)
    answer = np.zeros_like(truth)
    for patient in np.unique(patients):
        out = patients == patient
        shares = Model.fitted(features[~out], truth[~out]).shares(features[out])
        answer[out] = np.argmax(np.cumsum(shares, axis=1) >= 0.5, axis=1) + 1
    off = np.abs(answer - truth)
    print(f"grades of {len(truth)} discs of {len(np.unique(patients))} patients: quadratic kappa {kappa(truth, answer):.2f}, "
          f"right {np.mean(off == 0):.0%}, off by more than one {np.mean(off > 1):.1%}")  # fmt: skip


if __name__ == "__main__":
    main()
