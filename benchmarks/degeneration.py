"""Grades of degeneration (Pfirrmann et al. 2001, Spine 26:1873-1878) from single T2 slices, against those of a radiologist.

``SLICES`` is a folder of single sagittal slices with ``cases.tsv`` (case, patient, split, sequence), ``<case>_image.nii.gz``, and
``<case>_points.nii.gz`` where the levels are marked; ``RESULTS`` holds the labels (scheme ``verse``) that networks made of each slice,
repeated to a slab, best networks that had not seen it; ``GRADINGS.CSV`` are SPIDER's gradings. The training patients are graded in ten
folds, each by an ordinal model of twelve features (`benchmarks.disc_tones`), chosen on and fitted to the patients of the other folds; the
validation patients by the model of all training patients. Figures without some patients are told beside those of all if these are named.
Run: ``python -m benchmarks.degeneration SLICES RESULTS GRADINGS.CSV [PATIENT ...]``.
"""

from __future__ import annotations

import collections
import csv
import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.disc_tones import Numbers, Tone, see
from benchmarks.ordinal import Model, choose, kappa
from cascade.io.nifti import read_image, read_label_array
from cascade.labels import VERSE, is_disc
from cascade.points import NEAR_MM, read_points
from cascade.volume import FloatArray, LabelMap, Volume

#: Changes of the scan under which a grade should stay; the model is fitted to the first three.
TONES: Mapping[str, Tone] = {
    "as it is": lambda data: data,
    "gamma 0.8": lambda data: data.max() * (data / data.max()) ** 0.8,
    "gamma 1.25": lambda data: data.max() * (data / data.max()) ** 1.25,
    "gain 3": lambda data: 3 * data,
    "1 and 2 % clipped": lambda data: np.clip(data, *np.percentile(data, [1, 98])) - np.percentile(data, 1),
    "5 % clipped": lambda data: np.minimum(data, np.percentile(data, 95)),
}
SEEN = ("as it is", "gamma 0.8", "gamma 1.25")
FEATURES, FOLDS, SHARE = 12, 10, 0.87
_LOWEST = VERSE["L5-S1"]


@dataclass(frozen=True)
class Disc:
    """A graded disc; levels count from the lowest disc, 1, up; numbers by tone."""

    patient: str
    split: str
    level: int
    grade: int
    numbers: Mapping[str, Numbers]


def collect(slices: Path, results: Path, gradings: Path) -> Iterator[Disc]:
    """Every graded disc of the T2 slices that was found."""
    with gradings.open(encoding="utf-8-sig") as stream:
        grades = {(row["Patient"], int(row["IVD label"])): int(row["Pfirrman grade"]) for row in csv.DictReader(stream)}
    with (slices / "cases.tsv").open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream, delimiter="\t") if row["sequence"] == "t2"]
    for row in rows:
        path = results / f"{row['case']}.nii.gz"
        if not path.is_file():
            print("no result:", row["case"])
            continue
        labels = middle_of(read_labels(path))
        image = read_image(slices / f"{row['case']}_image.nii.gz")[0].data
        scan = Volume(np.ascontiguousarray(np.broadcast_to(image, labels.grid.shape)), labels.grid)
        lower = shift(labels, slices / f"{row['case']}_points.nii.gz")
        yield from graded(see(labels, scan, TONES), row["patient"], row["split"], grades, lower)


def read_labels(path: Path) -> LabelMap:
    """Labels in VerSe's numbers; others are left out."""
    numbers, grid = read_label_array(path)
    return LabelMap(np.where(np.isin(numbers, list(VERSE.ids.values())), numbers, 0).astype(np.uint8), grid, VERSE)


def middle_of(labels: LabelMap) -> LabelMap:
    """The middle three slices of a slab, the slices of which are alike."""
    axis = int(np.argmin(labels.grid.shape))
    first = labels.grid.shape[axis] // 2 - 1
    x, y, z = (slice(first, first + 3) if own == axis else slice(0, length) for own, length in enumerate(labels.grid.shape))
    return LabelMap(labels.data[x, y, z], labels.grid.cropped((x, y, z)), labels.scheme)


def graded(
    found: Mapping[str, Mapping[str, Numbers]], patient: str, split: str, grades: Mapping[tuple[str, int], int], lower: int = 0
) -> Iterator[Disc]:
    """The discs of a scan that have a grade; `lower` is by how many levels the names are too low."""
    for name in found.get("as it is", {}):
        level = _LOWEST - VERSE[name] + lower + 1
        if (patient, level) in grades:
            yield Disc(patient, split, level, grades[patient, level], {tone: rows[name] for tone, rows in found.items()})


def shift(labels: LabelMap, path: Path) -> int:
    """By how many levels the names are too low, as most of the marked discs say; 0 where none is marked."""
    if not path.is_file():
        return 0
    discs = {name: labels.grid.to_world(np.argwhere(labels[name])) for name in labels.structures if is_disc(name)}
    votes: collections.Counter[int] = collections.Counter()
    for marked, point in read_points(path, VERSE).items():
        away = {name: float(np.linalg.norm((places - point)[:, 1:], axis=1).min()) for name, places in discs.items()}
        nearest = min(away, key=lambda name: away[name])
        if away[nearest] < NEAR_MM and is_disc(marked):
            votes[VERSE[nearest] - VERSE[marked]] += 1
    return votes.most_common(1)[0][0] if votes else 0


def matrix(discs: Sequence[Disc], tone: str, usual: Mapping[int, float]) -> tuple[list[str], FloatArray]:
    """Names and values of all candidates, one row a disc; `usual` is the usual height by level."""
    rows = []
    for _, patients in itertools.groupby(discs, key=lambda disc: disc.patient):
        group = list(patients)
        above = [disc.numbers[tone]["height"] - usual.get(disc.level, usual[1]) for disc in group]
        for disc, height in zip(group, above, strict=True):
            numbers = {key: value for key, value in disc.numbers[tone].items() if key not in ("height", "disc_dark")}
            numbers |= {"height": height, "height_squared": height**2, "heights": float(np.median(above)), "highest": max(above)}
            rows.append(numbers | {"level": min(disc.level, 7), "lowest": float(disc.level == 1), "thoracic": float(disc.level >= 6)})
    return list(rows[0]), np.array([list(row.values()) for row in rows])


def usual_heights(discs: Iterable[Disc]) -> dict[int, float]:
    """The median height by level."""
    by_level: dict[int, list[float]] = collections.defaultdict(list)
    for disc in discs:
        by_level[disc.level].append(disc.numbers["as it is"]["height"])
    return {level: float(np.median(heights)) for level, heights in by_level.items()}


def grade(known: Sequence[Disc], others: Sequence[Disc]) -> tuple[dict[str, FloatArray], list[str]]:
    """Probabilities of the grades of `others` by tone, from a model fitted to the `known`, and the features that it uses."""
    usual = usual_heights(known)
    truth, patients = np.array([disc.grade for disc in known]), np.array([disc.patient for disc in known])
    names, plain = matrix(known, SEEN[0], usual)
    chosen = choose(plain, truth, patients, FEATURES)
    model = Model.fitted(np.concatenate([matrix(known, tone, usual)[1][:, chosen] for tone in SEEN]), np.tile(truth, len(SEEN)), len(SEEN))
    shares = {tone: model.shares(matrix(others, tone, usual)[1][:, chosen]) for tone in TONES}
    return shares, [names[index] for index in chosen]


def out_of_fold(discs: Sequence[Disc]) -> tuple[dict[str, FloatArray], collections.Counter[str]]:
    """Probabilities by tone, each patient graded by the model of other patients, and how often each feature was chosen."""
    patients = sorted({disc.patient for disc in discs})
    np.random.default_rng(0).shuffle(patients)
    fold = {patient: index % FOLDS for index, patient in enumerate(patients)}
    of = np.array([fold[disc.patient] for disc in discs])
    shares, used = {tone: np.zeros((len(discs), 5)) for tone in TONES}, collections.Counter[str]()
    for index in range(FOLDS):
        found, names = grade(*([disc for disc, own in zip(discs, of == index, strict=True) if own == wanted] for wanted in (False, True)))
        used.update(names)
        for tone, values in found.items():
            shares[tone][of == index] = values
    return shares, used


def answer(shares: FloatArray) -> NDArray[np.int_]:
    """The median grade."""
    return np.asarray(np.argmax(np.cumsum(shares, axis=1) >= 0.5, axis=1) + 1)


def tell(name: str, truth: NDArray[np.int_], told: NDArray[np.int_]) -> None:
    """Print the figures of some discs."""
    off = np.abs(told - truth)
    print(f"{name}: {len(truth)} discs, quadratic kappa {kappa(truth, told):.3f}, linear {kappa(truth, told, 1):.3f}, "
          f"right {np.mean(off == 0):.1%}, off by more than one {np.sum(off > 1)} ({np.mean(off > 1):.1%})")  # fmt: skip


def report(name: str, discs: Sequence[Disc], shares: Mapping[str, FloatArray], apart: Sequence[str] = ()) -> None:
    """Print the figures of a split: of all discs, of those of which the model is surest, of lumbar ones, without the patients `apart`."""
    truth, patients = np.array([disc.grade for disc in discs]), np.array([disc.patient for disc in discs])
    plain, level = shares[SEEN[0]], np.array([disc.level for disc in discs])
    told, sure = answer(plain), plain.max(axis=1)
    clear, lumbar, others = sure >= np.quantile(sure, 1 - SHARE), level <= 5, ~np.isin(patients, apart)
    low, high = interval(truth, told, patients)
    print(f"{name}: {len(set(patients))} patients, 95 % interval of kappa {low:.2f} to {high:.2f}")
    parts = {"all": clear | ~clear, f"surest {SHARE:.0%}": clear, "lumbar": lumbar, "lumbar, surest": lumbar & clear}
    for part, mask in parts.items():
        tell(f"  {part}", truth[mask], told[mask])
        if apart:
            tell(f"  {part}, without {' and '.join(apart)}", truth[mask & others], told[mask & others])
    same = {tone: np.mean(answer(values) == told) for tone, values in shares.items() if tone != SEEN[0]}
    print("  unchanged:", ", ".join(f"{tone} {share:.1%}" for tone, share in same.items()))


def interval(truth: NDArray[np.int_], told: NDArray[np.int_], patients: NDArray[np.str_]) -> tuple[float, float]:
    """95 % interval of quadratic kappa, bootstrapped over patients."""
    rng, of = np.random.default_rng(0), [np.flatnonzero(patients == patient) for patient in np.unique(patients)]
    draws = [np.concatenate([of[index] for index in rng.integers(0, len(of), len(of))]) for _ in range(1000)]
    low, high = np.percentile([kappa(truth[draw], told[draw]) for draw in draws], [2.5, 97.5])
    return float(low), float(high)


def main() -> None:
    """Print the figures."""
    slices, results, gradings = map(Path, sys.argv[1:4])
    discs = list(collect(slices, results, gradings))
    train, val = ([disc for disc in discs if disc.split == split] for split in ("train", "val"))
    shares, used = out_of_fold(train)
    report("out of fold", train, shares, sys.argv[4:])
    print("features, and in how many folds:", ", ".join(f"{name} {count}" for name, count in used.most_common()))
    shares, names = grade(train, val)
    report("validation", val, shares)
    print("features:", ", ".join(names))


if __name__ == "__main__":
    main()
