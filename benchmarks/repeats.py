"""Errors of measurements, fitted and checked: what networks see again against what reference labels say.

Every scan is segmented, seen again on views (``cascade-segment --repeat``) and measured; so are its reference labels. For each kind of row
and column, factor and floor of ``sd^2 = floor^2 + (factor * spread)^2`` are those under which the differences are most probable
(Student's t with 4 degrees of freedom, for the outliers that there are), scaled so that 95 % of them lie within two standard deviations.
The check leaves out one scan after the other: the share of its numbers within two standard deviations by the others' factor and floor.
A column is kept if there are 10 numbers of 5 scans, 85 to 98 % of them lie within (of fewer than 50 also all), and at least 85 % of
those of phantoms, which have no part in the fit. Networks leave out the dark rim of the phantoms' bodies, 1.3 mm on every side, which
belongs to the solids and makes way for the discs; so the median difference of a column on phantoms is taken off first.

Run: ``python benchmarks/repeats.py CASES ROWS`` (the folder with ``cases.tsv``; split ``val``; ``ROWS`` keeps what was measured, so
that a second run takes seconds). ``--write`` writes ``cascade/measure/calibration.json``.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import functools
import json
import pickle
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

import cascade.measure
from cascade.io.nifti import read_image, read_label_array
from cascade.labels import VERSE
from cascade.measure import Measurement, measure
from cascade.measure.spread import by_row, spread
from cascade.phantom import PhantomSpec, render
from cascade.pipeline import Segmenter
from cascade.volume import LabelMap, Volume

QUANTITIES = tuple(
    field.name
    for field in dataclasses.fields(Measurement)
    if field.name.endswith(("_mm", "_mm2", "_ml", "_deg", "_percent", "_index", "signal")) and field.name not in ("x_mm", "y_mm", "z_mm")
)
PHANTOMS = (
    PhantomSpec(seed=1, slip=("L4", 6.0)),
    PhantomSpec(seed=2, stenosis=("L3", 8.0), canal_ap_mm=13.0, spacing_mm=(3.0, 0.8, 0.8), shape=(21, 300, 360)),
    PhantomSpec(seed=3, cobb_deg=12.0, collapse=("L2", 0.3, 0.1)),
    PhantomSpec(seed=4, slip=("L5", 9.0), thoracic=1, spacing_mm=(1.5, 1.2, 1.2), shape=(41, 200, 240)),
    PhantomSpec(seed=5, noise=0.06, collapsed_disc="L4"),
)
#: Fragments and posterior elements, which have no place in the scheme.
REST = 90
FREEDOM, WITHIN = 4, 0.95
LEAST_NUMBERS, LEAST_SCANS, MANY, GOAL = 10, 5, 50, (0.85, 0.98)
HEADINGS = (
    *("structure", "measure", "scans", "numbers", "within 2 SD"),
    *("of phantoms", "taken off", "median SD", "factor", "floor", "kept"),
)

#: Per number: scan, difference to the reference, spread over scan and views.
Told = tuple[str, float, float]
Rows = tuple[Sequence[Measurement], Sequence[Sequence[Measurement]], Sequence[Measurement]]


def scans(folder: Path) -> Iterator[tuple[str, Callable[[], tuple[Volume, LabelMap]]]]:
    """Name of every validation scan and phantom, and what gives its image and reference labels."""
    with (folder / "cases.tsv").open(encoding="utf-8") as stream:
        cases = [row for row in csv.DictReader(stream, delimiter="\t") if row["split"] == "val"]
    for case in cases:
        yield f"{case['dataset']}_{case['case']}", functools.partial(labelled, folder / case["dataset"], case["case"])
    for number, spec in enumerate(PHANTOMS):
        yield f"phantom_{number}", functools.partial(render, spec)


def labelled(folder: Path, case: str) -> tuple[Volume, LabelMap]:
    """Image and reference labels of a validation scan."""
    numbers, grid = read_label_array(folder / f"{case}_labels.nii.gz")
    known = LabelMap(np.where(numbers == REST, 0, numbers).astype(np.uint8), grid, VERSE)
    return read_image(folder / f"{case}_image.nii.gz")[0], known


def measured(folder: Path, keep: Path, views: int) -> dict[str, Rows]:
    """Rows of the result, of each view and of the reference, by scan."""
    keep.mkdir(parents=True, exist_ok=True)
    networks, found = functools.cache(Segmenter.from_pretrained), {}
    for name, read in scans(folder):
        kept = keep / f"{name}.pkl"
        if not kept.exists():
            scan, labels = read()
            result = networks().segment(scan, scheme=VERSE.name, repeat=views)
            kept.write_bytes(pickle.dumps((result.measurements, result.again, measure(labels, scan))))
        found[name] = pickle.loads(kept.read_bytes())
    return found


def differences(found: Mapping[str, Rows]) -> dict[tuple[str, str], list[Told]]:
    """What every number of results and references differs by, by kind and column."""
    told: dict[tuple[str, str], list[Told]] = defaultdict(list)
    for scan, (rows, again, reference) in found.items():
        views, truth = by_row(again), {(row.kind, row.structure): row for row in reference}
        for row in rows:
            for column in QUANTITIES if (row.kind, row.structure) in truth else ():
                other = truth[row.kind, row.structure]
                seen = spread(row, views, column)
                comparable = row.signal_reference == other.signal_reference or not column.endswith("signal")
                if seen is None or getattr(other, column) is None or not comparable:
                    continue
                told[row.kind, column].append((scan, getattr(row, column) - getattr(other, column), seen))
    return told


def fit(told: Sequence[Told]) -> tuple[float, float]:
    """Factor and floor."""
    off, seen = np.array([entry[1] for entry in told]), np.array([entry[2] for entry in told])
    unit = np.median(np.abs(off)) + 1e-6

    def cost(logs: NDArray[np.floating]) -> float:
        sd = np.hypot(np.exp(logs[0]) * seen, np.exp(logs[1]) * unit)
        return float(-stats.t.logpdf(off / sd, FREEDOM).sum() + np.log(sd).sum() + 0.5 * (logs**2).sum())

    factor, floor = np.exp(optimize.minimize(cost, np.zeros(2), method="Nelder-Mead").x) * (1.0, unit)
    scale = float(np.quantile(np.abs(off) / np.hypot(factor * seen, floor), WITHIN)) / 2
    return float(factor) * scale, float(floor) * scale


def within(told: Sequence[Told], factor: float, floor: float) -> int:
    """How many lie within two standard deviations."""
    return sum(abs(off) <= 2 * np.hypot(factor * seen, floor) for _, off, seen in told)


def left_out(told: Sequence[Told]) -> int:
    """The same, each scan by the calibration of the others."""
    names = {entry[0] for entry in told}
    return sum(within([e for e in told if e[0] == name], *fit([e for e in told if e[0] != name])) for name in names)


def main() -> None:
    """Print the table, and write the calibration if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--views", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    told = differences(measured(options.cases, options.rows, options.views))
    kept: dict[str, dict[str, list[float]]] = {}
    print(f"| {' | '.join(HEADINGS)} |\n{'|---' * len(HEADINGS)}|")
    for (kind, column), entries in sorted(told.items()):
        real, made = ([e for e in entries if e[0].startswith("phantom") == phantom] for phantom in (False, True))
        names = {entry[0] for entry in real}
        if len(real) < LEAST_NUMBERS or len(names) < LEAST_SCANS:
            continue
        factor, floor = fit(real)
        share = left_out(real) / len(real)
        rim = float(np.median([off for _, off, _ in made])) if made else 0.0
        of_phantoms = within([(name, off - rim, seen) for name, off, seen in made], factor, floor) / len(made) if made else np.nan
        good = GOAL[0] <= share and (share <= GOAL[1] or len(real) < MANY) and not of_phantoms < GOAL[0]
        if good:
            kept.setdefault(kind, {})[column] = [float(f"{factor:.3g}"), float(f"{floor:.3g}")]
        sd = float(np.median([np.hypot(factor * seen, floor) for _, _, seen in real]))
        print(f"| {kind} | {column} | {len(names)} | {len(real)} | {share:.0%} | {of_phantoms:.0%} of {len(made)} | {rim:.2g} | {sd:.3g} "
              f"| {factor:.2f} | {floor:.2g} | {'yes' if good else 'no'} |")  # fmt: skip
    if options.write:
        path = Path(cascade.measure.__file__).with_name("calibration.json")
        path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
