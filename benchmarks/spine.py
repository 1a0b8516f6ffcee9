"""Measure stage 1 alone: its single tag, what it leaves of the spine for stage 2 to find, and whether it says no where no spine is.

    python benchmarks/spine.py DATA [--split val] [--weights DIR] [--made 60]

DATA is a folder with cases.tsv. The tag is compared with the labelled bodies and discs, gaps between them closed, in the rows from
the lowest to the highest labelled one: what lies above and below is visible but unlabelled. Scans without labelled bodies count for
the box only.

  Dice, volume   of the tag on the scan's grid, against the closed labels
  left out       how far labelled bodies and discs reach out of the tag's box, at most
  to spare       from there to the end of what stage 2 gets to see

At last scans of balls, blocks and noise, other ones than training makes, in which no spine should be found.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from cascade import LabelMap, NoSpineError, Volume
from cascade.evaluation.metrics import dice
from cascade.io.cases import Case, read_cases
from cascade.labels import BODIES
from cascade.networks.checkpoint import Checkpoint, load_checkpoint
from cascade.stage1_spine.locate import COLUMN_PROBABILITY, Spine, locate
from cascade.stage1_spine.target import bodies_and_discs, column
from cascade.stage2_levels.classify import MARGIN_MM
from cascade.training.spineless import spineless_examples
from cascade.volume import Grid, resample_array

_SEED = 4242


class Found(NamedTuple):
    """What stage 1 made of one scan; NaN where it cannot be judged."""

    dice: float
    volume: float
    left_out_mm: float


def main() -> None:
    """Locate the spine in every case and in synthetic scans, and print a line for each data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--made", type=int, default=60, help="number of synthetic scans (default: 60)")
    options = parser.parse_args()
    stage1 = load_checkpoint("stage1_spine", options.weights)
    by_dataset: dict[str, list[Found]] = {}
    for case in tqdm(read_cases(options.data, options.split)):
        by_dataset.setdefault(case.dataset, []).append(judge(case, stage1))
    by_dataset["all"] = [found for rows in by_dataset.values() for found in rows]
    print("data set        scans  found  Dice   volume  left out at most  to spare at least")
    for dataset, rows in by_dataset.items():
        print(f"{dataset:15} {len(rows):5}  {summary(rows)}")
    made = spineless_examples(stage1.spec, options.made, _SEED)
    taken = sum(has_spine(Volume(scan.image.float().numpy(), scan.grid), stage1) for scan in tqdm(made))
    print(f"a spine was found in {taken} of {options.made} synthetic scans without one")


def judge(case: Case, stage1: Checkpoint) -> Found:
    """Compare one scan's tag with its labels."""
    scan, labels = case.load()
    labels = labels.reoriented("RAS")
    try:
        spine = locate(scan, stage1)
    except NoSpineError:
        return Found(0.0, 0.0, np.inf)
    bone = bodies_and_discs(labels)
    has_bodies = not set(BODIES).isdisjoint(labels.structures)
    return Found(*(agreement(spine, labels, bone) if has_bodies else (np.nan, np.nan)), beyond(spine, bone, labels.grid))


def agreement(spine: Spine, labels: LabelMap, bone: NDArray[np.bool_]) -> tuple[float, float]:
    """Dice and volume of the tag in the labelled rows."""
    probability = resample_array(spine.probability.data, spine.probability.grid, labels.grid, order=1)
    rows = np.flatnonzero(bone.any(axis=(0, 1)))
    seen = (..., slice(rows[0], rows[-1] + 1))
    tag, reference = probability[seen] > COLUMN_PROBABILITY, column(labels)[seen]
    return dice(tag, reference), float(tag.sum() / reference.sum())


def beyond(spine: Spine, bone: NDArray[np.bool_], grid: Grid) -> float:
    """How far labelled bodies and discs reach out of the tag's box, in mm; negative where all lie inside."""
    low, high = spine.box_mm()
    working = spine.probability.grid
    points = working.to_voxels(grid.to_world(np.argwhere(bone))) * working.spacing_mm
    return float(max((low - points.min(axis=0)).max(), (points.max(axis=0) - high).max()))


def summary(rows: Sequence[Found]) -> str:
    """How many spines were found, the means of Dice and volume, and the most that is left out."""
    overlap, volume, left_out = np.array(rows).T
    judged, most = ~np.isnan(overlap), left_out.max()
    means = f"{overlap[judged].mean():.3f}  {volume[judged].mean():6.2f}" if judged.any() else "    -       -"
    return f"{np.isfinite(left_out).sum():5}  {means}  {most:14.1f} mm  {MARGIN_MM - most:13.1f} mm"


def has_spine(scan: Volume, stage1: Checkpoint) -> bool:
    """Whether stage 1 finds a spine."""
    try:
        locate(scan, stage1)
    except NoSpineError:
        return False
    return True


if __name__ == "__main__":
    main()
