"""Measure what is lost when labelled scans get worse: thicker slices, other contrasts, noise, turned patients, small fields of view.

    python benchmarks/robustness.py DATA [--split val] [--weights DIR] [--json FILE]

DATA is a folder with cases.tsv. Every case is segmented as it is and in every variant; the table gives the mean Dice of
matched structures (whatever their names), its difference to the unchanged scans, how many structures carry the right name, and how
many were judged: those of which the variant leaves at least three quarters in view. Of slivers at its border Dice tells little.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from cascade import CascadeError, LabelMap, Segmenter, Volume
from cascade.evaluation.compare import StructureScore, compare
from cascade.io.cases import Case, read_cases
from cascade.io.scan import MIN_VOXELS
from cascade.labels import VERSE
from cascade.volume import Grid, resample_array

#: A structure is judged where a variant leaves at least this part of its volume.
LEAST_IN_VIEW = 0.75

#: Turns one labelled scan, stored in RAS+ axes, into another.
Variant = Callable[[Volume, LabelMap], tuple[Volume, LabelMap]]


def main() -> None:
    """Segment every case in every variant and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    segmenter = Segmenter.from_pretrained(weights=options.weights)
    cases = read_cases(options.data, options.split)
    jobs = tqdm([(name, case) for name in VARIANTS for case in cases])
    scores: dict[str, dict[str, list[StructureScore]]] = {name: {} for name in VARIANTS}
    for name, case in jobs:
        scores[name][f"{case.dataset} {case.name}"] = score(segmenter, case, VARIANTS[name])
    rows = {name: summary(found, scores["unchanged"]) for name, found in scores.items()}
    print("variant                bodies  change  named right  judged   discs  change  named right  judged")
    for name, row in rows.items():
        parts = [f"{of['dice']:.3f}  {of['change']:+.3f}  {of['named']:11.1%}  {of['judged']:6.0f}" for of in (row["body"], row["disc"])]
        print(f"{name:22} {'   '.join(parts)}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2), encoding="utf-8")


def score(segmenter: Segmenter, case: Case, variant: Variant) -> list[StructureScore]:
    """Scores of the labelled bodies and discs of one case that a variant leaves in view; none where it leaves too few slices."""
    scan, whole = case.load()
    scan, labels = variant(scan.reoriented("RAS"), whole.reoriented("RAS"))
    in_view = {name for name, ml in volumes(labels).items() if ml >= LEAST_IN_VIEW * volumes(whole)[name]}
    if min(scan.grid.shape) < MIN_VOXELS:
        return []
    try:
        found = segmenter.segment(scan, scheme=VERSE).labels
    except CascadeError:
        found = LabelMap(np.zeros_like(labels.data), labels.grid, VERSE)
    scores = [structure for kind in compare(found, labels) if kind.kind in ("body", "disc") for structure in kind.structures]
    return [score for score in scores if score.structure in in_view]


def volumes(labels: LabelMap) -> dict[str, float]:
    """Volume of each structure in ml."""
    return {name: float(labels[name].sum()) * labels.grid.voxel_mm3 / 1000 for name in labels.structures}


def summary(found: Mapping[str, list[StructureScore]], unchanged: Mapping[str, list[StructureScore]]) -> dict[str, dict[str, float]]:
    """Mean Dice, its change for the structures that are in both, the share of right names, and how many structures these are."""
    result = {}
    for kind in ("body", "disc"):
        pairs = []
        for case, scores in found.items():
            before = {score.structure: score for score in unchanged[case]}
            pairs += [(score, before[score.structure]) for score in scores if score.kind == kind and score.structure in before]
        result[kind] = {
            "dice": float(np.mean([after.matched_dice for after, _ in pairs])),
            "change": float(np.mean([after.matched_dice - before.matched_dice for after, before in pairs])),
            "named": float(np.mean([after.level_right for after, _ in pairs])),
            "judged": len(pairs),
        }
    return result


def _on_grid(spacing_mm: Callable[[Grid], tuple[float, float, float]]) -> Variant:
    def variant(scan: Volume, labels: LabelMap) -> tuple[Volume, LabelMap]:
        grid = scan.grid.with_spacing(spacing_mm(scan.grid))
        return scan.resampled(grid), labels.resampled(grid)

    return variant


def _intensities(change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Variant:
    def variant(scan: Volume, labels: LabelMap) -> tuple[Volume, LabelMap]:
        return Volume(np.asarray(change(scan.data), dtype=np.float32), scan.grid), labels

    return variant


def _toned(data: NDArray[np.float32], heights: tuple[float, ...]) -> NDArray[np.float32]:
    """Pass intensities between the 1st and 99th percentile through a tone curve."""
    low, high = np.percentile(data, (1, 99))
    return np.asarray(np.interp((data - low) / (high - low), np.linspace(0, 1, len(heights)), heights) * 1000, dtype=np.float32)


def _noisy(data: NDArray[np.float32]) -> NDArray[np.float32]:
    """Add noise until its deviation is twice what it was, which is estimated after Immerkaer (1996), doi 10.1006/cviu.1996.0060."""
    second = np.array([1.0, -2.0, 1.0])
    middle = data[data.shape[0] // 2].astype(float)
    before = float(np.sqrt(np.pi / 2) / 6 * np.abs(ndimage.convolve(middle, np.outer(second, second))).mean())
    return data + np.random.default_rng(0).normal(0, np.sqrt(3.0) * before, data.shape).astype(np.float32)


def _shaded(scan: Volume) -> Volume:
    """Dark marrow and fat, a coil behind the back (half the signal 60 mm in front of it), and outer slices twice as noisy."""
    dark = _toned(scan.data, (0.0, 0.1, 0.2, 0.35, 0.7, 0.5))
    rows = np.flatnonzero(dark.mean(axis=(0, 2)) > 0.1 * dark.mean())
    from_back_mm = (np.arange(dark.shape[1]) - rows[0]) * scan.grid.spacing_mm[1]
    shaded = (dark * 0.5 ** (from_back_mm / 60.0)[:, None]).astype(np.float32)
    noisy, outer = _noisy(shaded), len(shaded) // 4
    shaded[:outer], shaded[len(shaded) - outer :] = noisy[:outer], noisy[len(shaded) - outer :]
    return Volume(shaded, scan.grid)


def _turned(axis: str) -> Variant:
    """The patient turned in the scanner by 15 degrees."""

    def variant(scan: Volume, labels: LabelMap) -> tuple[Volume, LabelMap]:
        centre = scan.grid.to_world((np.array(scan.grid.shape) - 1) / 2)
        turn = np.eye(4)
        turn[:3, :3] = Rotation.from_euler(axis, 15, degrees=True).as_matrix()
        turn[:3, 3] = centre - turn[:3, :3] @ centre
        sampled = Grid(scan.grid.shape, turn @ scan.grid.vox2world)
        image = resample_array(scan.data, scan.grid, sampled, order=1)
        marks = resample_array(labels.data, labels.grid, sampled, order=0)
        return Volume(image, scan.grid), LabelMap(marks, labels.grid, labels.scheme)

    return variant


def _half(scan: Volume, labels: LabelMap) -> tuple[Volume, LabelMap]:
    """The middle half of the field of view along the body."""
    x, y, rows = scan.grid.shape
    box = (slice(0, x), slice(0, y), slice(rows // 4, rows - rows // 4))
    return scan.cropped(box), labels.cropped(box)


VARIANTS: dict[str, Variant] = {
    "unchanged": lambda scan, labels: (scan, labels),
    "5 mm slices": _on_grid(lambda grid: (5.0, *grid.spacing_mm[1:])),
    "in-plane 1.5 mm": _on_grid(lambda grid: (grid.spacing_mm[0], 1.5, 1.5)),
    "T1-like contrast": _intensities(lambda data: _toned(data, (0.0, 0.5, 0.75, 0.7, 0.45, 0.2))),
    "inverted, air dark": _intensities(lambda data: _toned(data, (0.0, 1.0, 0.75, 0.5, 0.25, 0.0))),
    "half the SNR": _intensities(_noisy),
    "fat-suppressed-like, shaded": lambda scan, labels: (_shaded(scan), labels),
    "turned about x, 15 deg": _turned("x"),
    "turned about y, 15 deg": _turned("y"),
    "turned about z, 15 deg": _turned("z"),
    "half the field of view": _half,
    "axial slices of 4 mm": _on_grid(lambda grid: (*grid.spacing_mm[:2], 4.0)),
}


if __name__ == "__main__":
    main()
