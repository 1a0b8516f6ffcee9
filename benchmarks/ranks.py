"""How many scans carry a note, a warning or an alarm, of those whose levels are all right and of the others.

    cascade-segment CASES -o PRED --scheme verse --json JSON
    cascade-evaluate PRED CASES/cases.tsv --split val -o EVAL
    python benchmarks/ranks.py --volumes JSON EVAL/results.csv --slices JSON_OF_SLICES PRED_OF_SLICES POINTS/cases.tsv [--split val]

--volumes, scans with labels: right if every labelled structure that was found carries its name. --slices, scans of which the discs are
known as points (<case>_points.nii.gz beside the table, VerSe numbers): right if each point is nearest to its own disc; one may miss,
unless they miss together. A scan counts with the highest rank that it carries. A JSON is that of a case by its name: CASE.json,
CASE_image.json or DATASET_CASE.json.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cascade.io.formats import read_labels_file
from cascade.labels import VERSE, is_disc
from cascade.notices import CODES, RANKS

NOTHING = "nothing"
HIGHEST = (NOTHING, *RANKS)


@dataclass(frozen=True)
class Scan:
    """What became of one scan.

    Parameters
    ----------
    name : str
    right : bool
    codes : mapping of str to str
        Code to its highest rank.
    """

    name: str
    right: bool
    codes: dict[str, str]

    @property
    def highest(self) -> str:
        """The highest rank, or `NOTHING`."""
        return max(self.codes.values(), key=HIGHEST.index, default=NOTHING)


def codes_of(folder: Path, dataset: str, case: str) -> dict[str, str] | None:
    """Codes and ranks of a case's JSON; None if there is none. An older JSON has no ranks; then that of the code counts."""
    names = {case, f"{case}_image", f"{dataset}_{case}", f"{dataset}_{case}_image"}
    path = next((path for path in sorted(folder.rglob("*.json")) if path.stem in names), None)
    if path is None:
        return None
    codes: dict[str, str] = {}
    for notice in json.loads(path.read_text(encoding="utf-8"))["warnings"]:
        rank = notice.get("rank") or CODES[notice["code"]].rank
        codes[notice["code"]] = max(rank, codes.get(notice["code"], NOTHING), key=HIGHEST.index)
    return codes


def volumes(folder: Path, table: Path) -> Iterator[Scan]:
    """Scans that ``cascade-evaluate`` compared with their labels."""
    right: dict[tuple[str, str], bool] = defaultdict(lambda: True)
    with table.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            right[row["dataset"], row["case"]] &= row["detected"] in ("0", "False") or row["level_right"] in ("1", "True")
    for (dataset, case), verdict in right.items():
        codes = codes_of(folder, dataset, case)
        if codes is not None:
            yield Scan(f"{dataset} {case}", verdict, codes)


def slices(folder: Path, predictions: Path, table: Path, split: str) -> Iterator[Scan]:
    """Scans whose discs are known as points."""
    with table.open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream, delimiter="\t") if row.get("split", split) == split]
    for row in rows:
        points, found = table.parent / f"{row['case']}_points.nii.gz", predictions / f"{row['case']}.nii.gz"
        codes = codes_of(folder, row.get("dataset", ""), row["case"])
        if codes is not None and points.is_file() and found.is_file():
            yield Scan(row["case"], is_right(points, found), codes)


def is_right(points: Path, found: Path) -> bool:
    """Whether the points lie at the discs of their names; the slice may have been repeated to a slab."""
    known, grid = read_labels_file(points)
    labels, slab = read_labels_file(found)
    across = int(np.argmin(known.shape))
    spacing_mm = np.delete(grid.spacing_mm, across)
    known, labels = known.max(axis=across), labels.take(slab.shape[across] // 2, across)
    numbers = set(np.unique(known)) & set(range(VERSE["L1-L2"], VERSE["L5-S1"] + 1))
    places = {int(number): np.argwhere(known == number).mean(axis=0) for number in numbers}
    return are_named(places, labels, spacing_mm)


def are_named(places: Mapping[int, NDArray[np.float64]], labels: NDArray[np.integer[Any]], spacing_mm: NDArray[np.float64]) -> bool:
    """Whether points lie nearest to the discs of their names: all of them, or all but one.

    Parameters
    ----------
    places : mapping of int to (2,) array
        Of a disc's number, as in VerSe, to a point at its edge, in voxels of `labels`.
    labels : (rows, columns) array
        One slice, numbers as in VerSe.
    spacing_mm : (2,) array
    """
    discs = [VERSE[name] for name in VERSE.ids if is_disc(name) and (labels == VERSE[name]).any()]
    distances = {number: ndimage.distance_transform_edt(labels != number, spacing_mm) for number in discs}
    shifts = []
    for number, place in sorted(places.items()):
        voxel = tuple(np.rint(place).astype(int))
        shifts.append(min(discs, key=lambda disc: distances[disc][voxel]) - number if discs else 99)
    return sum(shift != 0 for shift in shifts) <= 1 and Counter(shifts).most_common(1)[0][0] == 0


def report(groups: dict[str, list[Scan]]) -> None:
    """Print both tables and the two shares."""
    print("| scans | all levels | scans | " + " | ".join(HIGHEST) + " |")
    print("|---|---|---|" + "---|" * len(HIGHEST))
    for name, scans in groups.items():
        for word, right in (("right", True), ("not right", False)):
            part = [scan for scan in scans if scan.right is right]
            counts = Counter(scan.highest for scan in part)
            print(f"| {name} | {word} | {len(part)} | " + " | ".join(str(counts[rank]) for rank in HIGHEST) + " |")
    everything = [scan for scans in groups.values() for scan in scans]
    for word, right in (("right", True), ("not right", False)):
        part = [scan for scan in everything if scan.right is right]
        seen = sum(scan.highest in ("warning", "alarm") for scan in part)
        print(f"\n{seen} of {len(part)} scans that are {word} carry a warning or an alarm" + (f": {seen / len(part):.1%}" if part else ""))
    _codes(everything)
    for scan in everything:
        if not scan.right:
            print(f"not right: {scan.name}: {' '.join(f'{code} ({rank})' for code, rank in scan.codes.items()) or NOTHING}")


def _codes(scans: Sequence[Scan]) -> None:
    print("\n| code | rank | of scans that are right | of the others |\n|---|---|---|---|")
    counts = Counter((code, rank, scan.right) for scan in scans for code, rank in scan.codes.items())
    for code, rank in sorted({key[:2] for key in counts}, key=lambda key: (-HIGHEST.index(key[1]), key[0])):
        print(f"| `{code}` | {rank} | {counts[code, rank, True]} | {counts[code, rank, False]} |")


def main() -> None:
    """Read the words and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volumes", nargs=2, type=Path, metavar=("JSON", "RESULTS"))
    parser.add_argument("--slices", nargs=3, type=Path, metavar=("JSON", "PRED", "TABLE"))
    parser.add_argument("--split", default="val")
    given = parser.parse_args()
    groups = {}
    if given.volumes:
        groups[f"{given.split} volumes"] = list(volumes(*given.volumes))
    if given.slices:
        groups[f"{given.split} slices"] = list(slices(*given.slices, given.split))
    report(groups)


if __name__ == "__main__":
    main()
