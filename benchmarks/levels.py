"""Count how often the level names are right, flagged, or silently wrong when the field of view is cut.

    python benchmarks/levels.py DATA [--split val] [--weights DIR] [--json FILE]

DATA is a folder with cases.tsv. Every case is segmented whole, and then cut, turned or thinned in the ways that
scans come; a result counts as

  right     every labelled structure that was found carries the right name
  flagged   not right, but the result says so: numbering-uncertain, possible-lstv, missing-body, or an error
  wrong     not right, and none of these
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cascade import CascadeError, LabelMap, Segmenter, Volume
from cascade.io.cases import read_cases
from cascade.labels import CANAL, SACRUM

FLAGS = {"numbering-uncertain", "possible-lstv", "missing-body"}


def main() -> None:
    """Run every case in every variant and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    segmenter = Segmenter.from_pretrained(weights=options.weights)
    table: dict[str, Counter[str]] = {}
    uncertain = Counter[str]()
    for case in read_cases(options.data, options.split):
        for variant, scan, labels in variants(*case.load()):
            verdict, codes = judge(segmenter, scan, labels)
            table.setdefault(variant, Counter())[verdict] += 1
            uncertain[variant] += "numbering-uncertain" in codes
            if verdict == "wrong":
                print(f"wrong: {case.dataset} {case.name}, {variant}")
    print(f"{'variant':26} scans  right  flagged  silently wrong  numbering-uncertain")
    for variant, counts in table.items():
        total = counts.total()
        shares = [counts[verdict] / total for verdict in ("right", "flagged", "wrong")]
        print(
            f"{variant:26} {total:5}  {shares[0]:5.1%}  {shares[1]:7.1%}  {shares[2]:14.1%}  {uncertain[variant] / total:19.1%}", flush=True
        )
    if options.json:
        options.json.write_text(json.dumps({k: dict(v) | {"uncertain": uncertain[k]} for k, v in table.items()}, indent=2))


def variants(scan: Volume, labels: LabelMap) -> Iterator[tuple[str, Volume, LabelMap]]:
    """The scan as it is, and cut, turned and thinned."""
    yield "full field of view", scan, labels
    top, bottom = scan.grid.shape[2], 0
    yield from _cut("sacrum cut off", scan, labels, _row(labels, "L5", np.min), top)
    yield from _cut("L5 and below cut off", scan, labels, _row(labels, "L4", np.min), top)
    yield from _cut("all above L2 cut off", scan, labels, bottom, _row(labels, "L2", np.max))
    yield from _cut("three bodies, L2-L4", scan, labels, _row(labels, "L4", np.min), _row(labels, "L2", np.max))
    yield "stored as PIL", scan.reoriented("PIL"), labels.reoriented("PIL")
    thick = scan.grid.with_spacing((4.5, *scan.grid.spacing_mm[1:]))
    if thick.shape[0] >= 8:
        yield "4.5 mm slices", scan.resampled(thick), labels.resampled(thick)


def _row(labels: LabelMap, structure: str, end: Callable[[NDArray[np.intp]], np.intp]) -> int | None:
    rows = np.flatnonzero(labels[structure].any(axis=(0, 1)))
    return int(end(rows)) if len(rows) else None


def _cut(variant: str, scan: Volume, labels: LabelMap, low: int | None, high: int | None) -> Iterator[tuple[str, Volume, LabelMap]]:
    if low is None or high is None:
        return
    x, y, rows = scan.grid.shape
    box = (slice(0, x), slice(0, y), slice(low, min(high + 1, rows)))
    yield variant, scan.cropped(box), labels.cropped(box)


def judge(segmenter: Segmenter, scan: Volume, labels: LabelMap) -> tuple[str, set[str]]:
    """Segment and compare names; a structure is matched to the label that overlaps it most."""
    try:
        result = segmenter.segment(scan, scheme=labels.scheme)
    except CascadeError as error:
        return "flagged", {type(error).__name__}
    codes = {notice.code for notice in result.warnings}
    names = [name for name in labels.structures if name not in (CANAL, SACRUM)]
    sizes = {name: int(labels[name].sum()) for name in names}
    whole = [name for name in names if sizes[name] > 0.3 * np.median(list(sizes.values()))]
    right = all(_matches(result.labels, labels, name) for name in whole)
    return "right" if right else "flagged" if codes & FLAGS else "wrong", codes


def _matches(prediction: LabelMap, reference: LabelMap, name: str) -> bool:
    """Whether the predicted structure of the same kind that overlaps `name` most has its name; not found counts as a match."""
    values = prediction.data[reference[name]]
    kind = [value for value in prediction.values if ("-" in prediction.scheme.structure(value)) == ("-" in name)]
    overlap = {value: int((values == value).sum()) for value in kind}
    best = max(overlap, key=lambda value: overlap[value], default=0)
    return overlap.get(best, 0) < 0.2 * len(values) or best == prediction.scheme[name]


if __name__ == "__main__":
    main()
