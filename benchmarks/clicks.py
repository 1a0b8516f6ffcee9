"""Simulate a person who clicks where the result is worst, and measure what the clicks are worth.

    python benchmarks/clicks.py DATA [--split val] [--weights DIR] [--clicks 5] [--json FILE]

DATA is a folder with cases.tsv. Of every case the networks run once. Then, again and again, the largest connected error among the
labelled structures is found, and its innermost voxel clicked: with the structure that should be there (missed), or with ``background``
(too much). What is not labelled in a case counts nowhere. A click that is refused with an error is not made; the next largest
error is clicked instead.

For 1, 3 and 5 clicks: the mean Dice of the structures that they touch (the one clicked, and the one that was wrongly there), before
and after, and what happened to the other labelled structures: the mean change, and the largest fall of one of them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cascade import Click, LabelMap, NoSpineError, NumberingError, Segmenter
from cascade.evaluation.metrics import dice
from cascade.io.cases import read_cases
from cascade.labels import CANAL
from cascade.segmentation import Perception

COUNTS = (1, 3, 5)
#: Errors smaller than this are not worth a click.
SMALLEST_MM3 = 30.0


@dataclass(frozen=True)
class Error:
    """A connected error: what was there, what should be, and a point in its middle."""

    found: str | None
    wanted: str | None
    point_mm: tuple[float, float, float]
    volume_mm3: float

    @property
    def click(self) -> Click:
        """What a person would click."""
        return Click(self.point_mm, self.wanted or "background")


@dataclass(frozen=True)
class Run:
    """Dice by structure before any click and after each, and the structures touched so far."""

    name: str
    clicks: tuple[Click, ...]
    dices: tuple[dict[str, float], ...]
    touched: tuple[frozenset[str], ...]


def main() -> None:
    """Simulate every case and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--clicks", type=int, default=max(COUNTS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    segmenter = Segmenter.from_pretrained(weights=options.weights)
    runs = []
    for case in read_cases(options.data, options.split):
        runs.append(simulate(segmenter, segmenter.perceive(case.image), case.load_labels(), f"{case.dataset} {case.name}", options.clicks))
        print(line(runs[-1]), flush=True)
    print(table(runs))
    if options.json:
        content = [
            {"case": r.name, "clicks": list(map(str, r.clicks)), "dice": r.dices, "touched": [*map(sorted, r.touched)]} for r in runs
        ]
        options.json.write_text(json.dumps(content, indent=2), encoding="utf-8")


def simulate(segmenter: Segmenter, seen: Perception, reference: LabelMap, name: str, count: int) -> Run:
    """Click `count` times at the largest error that is left."""
    labels = segmenter.name(seen, scheme=reference.scheme).labels
    clicks: list[Click] = []
    dices, touched = [dices_of(labels, reference)], [frozenset[str]()]
    while len(clicks) < count:
        for error in errors(labels, reference, clicks):
            try:
                labels = segmenter.name(seen, scheme=reference.scheme, clicks=[*clicks, error.click]).labels
            except (NumberingError, NoSpineError) as refused:
                print(f"  {name}: refused: {refused}")
                continue
            clicks.append(error.click)
            dices.append(dices_of(labels, reference))
            touched.append(touched[-1] | ({error.found, error.wanted} & set(dices[0])))
            break
        else:
            break
    return Run(name, tuple(clicks), tuple(dices), tuple(touched))


def dices_of(labels: LabelMap, reference: LabelMap) -> dict[str, float]:
    """Dice of every labelled structure; 0 where it was not found."""
    return {name: dice(labels[name], reference[name]) for name in structures(reference)}


def structures(reference: LabelMap) -> list[str]:
    """The structures that a case labels, but for the canal, which is not segmented."""
    return [name for name in reference.structures if name != CANAL]


def errors(labels: LabelMap, reference: LabelMap, clicks: list[Click]) -> Iterator[Error]:
    """Connected errors of the labelled structures, the largest first; a voxel is not clicked twice."""
    found: list[tuple[float, tuple[int, ...]]] = []
    for name in structures(reference):
        here, there = labels[name], reference[name]
        box = ndimage.find_objects((here | there).astype(np.uint8))[0]
        for wrong in (there[box] & ~here[box], here[box] & ~there[box]):
            pieces, _ = ndimage.label(wrong)
            sizes = np.bincount(pieces.ravel())[1:] * labels.grid.voxel_mm3
            for n in (n for n in np.argsort(sizes)[::-1][:3] if sizes[n] >= SMALLEST_MM3):
                inner = innermost(pieces == n + 1, labels.grid.spacing_mm)
                found.append((float(sizes[n]), tuple(v + s.start for v, s in zip(inner, box, strict=True))))
    done = {click.position_mm for click in clicks}
    for size, voxel in sorted(found, reverse=True):
        x, y, z = (float(v) for v in labels.grid.to_world(voxel))
        names = [_name(volume, voxel) for volume in (labels, reference)]
        if (x, y, z) not in done:
            yield Error(names[0], names[1], (x, y, z), size)


def _name(labels: LabelMap, voxel: tuple[int, ...]) -> str | None:
    value = int(labels.data[voxel])
    name = labels.scheme.structure(value) if value else None
    return None if name == CANAL else name


def innermost(mask: NDArray[np.bool_], spacing_mm: tuple[float, ...]) -> tuple[int, ...]:
    """The voxel of a mask that is furthest from its border."""
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    depth = ndimage.distance_transform_edt(np.pad(mask[box], 1), sampling=spacing_mm)[1:-1, 1:-1, 1:-1]
    return tuple(int(v) + s.start for v, s in zip(np.unravel_index(depth.argmax(), depth.shape), box, strict=True))


def changes(runs: list[Run], count: int) -> dict[str, list[float]]:
    """Dice of touched structures before and after `count` clicks (or as many as were made), and the changes elsewhere."""
    result: dict[str, list[float]] = {"before": [], "after": [], "elsewhere": []}
    for run in runs:
        last = min(count, len(run.clicks))
        for name, value in run.dices[0].items():
            after = run.dices[last][name]
            if name in run.touched[last]:
                result["before"].append(value)
                result["after"].append(after)
            else:
                result["elsewhere"].append(after - value)
    return result


def line(run: Run) -> str:
    """One case in one line."""
    parts = []
    for last in range(1, len(run.clicks) + 1):
        touched = [(run.dices[0][n], run.dices[last][n]) for n in run.touched[last]]
        before, after = np.mean(touched, axis=0) if touched else (np.nan, np.nan)
        elsewhere = min((run.dices[last][n] - run.dices[0][n] for n in run.dices[0] if n not in run.touched[last]), default=0.0)
        parts.append(f"{before:.3f}>{after:.3f} ({elsewhere:+.4f})")
    return f"{run.name:20} {'  '.join(parts)}"


def table(runs: list[Run]) -> str:
    """The table of the documentation."""
    rows = [
        "| clicks | structures clicked | Dice before | Dice after | mean change elsewhere | largest fall elsewhere |",
        "|---|---|---|---|---|---|",
    ]
    for count in COUNTS:
        c = changes(runs, count)
        falls = min([0.0, *c["elsewhere"]])
        rows.append(
            f"| {count} | {len(c['before'])} | {np.mean(c['before']):.3f} | {np.mean(c['after']):.3f} | "
            f"{np.mean(c['elsewhere']):+.4f} | {falls:+.4f} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    main()
