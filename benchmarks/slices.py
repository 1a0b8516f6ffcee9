"""Count how often the levels are named right in single slices of which only the discs are known, as they are and changed.

    python benchmarks/slices.py POINTS [--split val] [--patients FILE] [--weights DIR] [--forms NAME ...] [--json FILE] [--margins FILE.svg]

POINTS is a folder with cases.tsv (case, patient, split), sagittal slices <case>_image.nii.gz and <case>_points.nii.gz, where 120 to 124
mark the posterior edge of the discs L1/L2 to L5/S1. Each slice is repeated to a slab of 11 x 4 mm, with noise of 1 % of its deviation, and
segmented in these forms:

  unchanged          as it is
  turned +8, -8      in its plane, about its middle, by so many degrees; the corners that come into view are black
  scaled +10, -10    the header says so many percent more or less in both directions, which is what the networks see
  T1-like            through the tone curve of benchmarks/robustness.py, whatever the scan was
  blurred            with a Gaussian of 1 mm standard deviation in its plane
  cut below S1/S2    what lies 1.25 steps or more below the point L5/S1 is gone
  cut at mid-S1      what lies 0.6 steps or more below it is gone

A step is the mean distance from point to point. Where S1 ends is not marked: both shares were read off eight pictures, in which the
middle of S1 lay 0.5 to 0.8 and the lower end of S1/S2 1.0 to 1.5 steps below the point; eight more were looked at. A view that ends
higher is left as it is.

A result is right by the rule of benchmarks/ranks.py; flagged if not right but with `numbering-uncertain`, or refused; else silent.

The margin of a slice is the cost, in nats, of the best numbering that names the body above the point L5/S1 otherwise, less that of the
best that calls it L5, among numberings with five lumbar vertebrae: below 0, another one was preferred, as where S1 is called L5.

With --json what was found is added to the file; what it holds already is not done again, and the table is of all that it holds. So
patients of several folds, each with the weights that have not seen them (--patients, a name a line), make one table.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ranks import are_named
from robustness import VARIANTS
from scipy import ndimage
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from cascade import CascadeError, LabelMap, Segmenter, Volume
from cascade.io.formats import read_labels_file, read_scan_file
from cascade.labels import VERSE
from cascade.networks.threads import set_threads
from cascade.postproc.identify import Evidence, lay_out
from cascade.postproc.naming import weigh
from cascade.volume import FloatArray, Grid, resample_array

SLICES, SLICE_MM, NOISE = 11, 4.0, 0.01
BLUR_MM = 1.0
#: The lower end of S1/S2 and the middle of S1 below the point L5/S1, in steps from point to point.
BELOW_S1_S2, MID_S1 = 1.25, 0.6
#: Edges of the histogram in nats; what lies beyond counts with the last.
EDGES = np.arange(-36.0, 40.1, 4.0)


@dataclass(frozen=True, eq=False)
class Slice:
    """A sagittal slice and what is known of it.

    Parameters
    ----------
    image : Volume
        RAS axes, one voxel thick.
    points_mm : mapping of int to (3,) array
        RAS+ mm by the disc's number in VerSe.
    """

    image: Volume
    points_mm: dict[int, FloatArray]

    @classmethod
    def read(cls, folder: Path, case: str) -> Slice:
        """The slice of a case and its points."""
        image, _ = read_scan_file(folder / f"{case}_image.nii.gz")
        marks, grid = read_labels_file(folder / f"{case}_points.nii.gz")
        numbers = sorted(set(np.unique(marks)) & set(range(VERSE["L1-L2"], VERSE["L5-S1"] + 1)))
        points = {int(number): grid.to_world(np.argwhere(marks == number).mean(axis=0)) for number in numbers}
        return cls(image.reoriented("RAS"), points)

    @property
    def step_mm(self) -> float:
        """Mean distance from a point to the next."""
        return float(np.linalg.norm(np.diff(list(self.points_mm.values()), axis=0), axis=1).mean())

    def slab(self) -> Volume:
        """The slice repeated, with a little noise, about where it was."""
        data = np.repeat(self.image.data, SLICES, axis=0).astype(np.float32)
        data += np.random.default_rng(0).normal(0, NOISE * data.std(), data.shape).astype(np.float32)
        vox2world = self.image.grid.vox2world.copy()
        vox2world[:3, 0] *= SLICE_MM / self.image.grid.spacing_mm[0]
        vox2world[:3, 3] -= vox2world[:3, 0] * (SLICES // 2)
        return Volume(np.maximum(np.rint(data), 0), Grid(data.shape, vox2world))


#: Turns a slice into another.
Form = Callable[[Slice], Slice]


def _turned(degrees: float) -> Form:
    def form(one: Slice) -> Slice:
        grid = one.image.grid
        centre, turn = grid.to_world((np.array(grid.shape) - 1) / 2), np.eye(4)
        turn[:3, :3] = Rotation.from_euler("x", degrees, degrees=True).as_matrix()
        turn[:3, 3] = centre - turn[:3, :3] @ centre
        image = resample_array(one.image.data, grid, Grid(grid.shape, turn @ grid.vox2world), order=1)
        points = {number: turn[:3, :3].T @ (point - turn[:3, 3]) for number, point in one.points_mm.items()}
        return Slice(Volume(image, grid), points)

    return form


def _scaled(factor: float) -> Form:
    def form(one: Slice) -> Slice:
        scale = np.diag([1, factor, factor, 1])
        grid = Grid(one.image.grid.shape, scale @ one.image.grid.vox2world)
        return Slice(Volume(one.image.data, grid), {number: scale[:3, :3] @ point for number, point in one.points_mm.items()})

    return form


def _cut(steps: float) -> Form:
    def form(one: Slice) -> Slice:
        place = one.points_mm[VERSE["L5-S1"]] - (0, 0, steps * one.step_mm)
        row = int(np.clip(np.ceil(one.image.grid.to_voxels(place)[2]), 0, one.image.grid.shape[2] - 1))
        y = one.image.grid.shape[1]
        return replace(one, image=one.image.cropped((slice(0, 1), slice(0, y), slice(row, one.image.grid.shape[2]))))

    return form


def _t1_like(one: Slice) -> Slice:
    nothing = LabelMap(np.zeros(one.image.grid.shape, np.uint8), one.image.grid, VERSE)
    return replace(one, image=VARIANTS["T1-like contrast"](one.image, nothing)[0])


def _blurred(one: Slice) -> Slice:
    sigma = (0.0, *(BLUR_MM / np.array(one.image.grid.spacing_mm[1:])))
    return replace(one, image=Volume(ndimage.gaussian_filter(one.image.data.astype(np.float32), sigma), one.image.grid))


CUT: dict[str, Form] = {"cut below S1/S2": _cut(BELOW_S1_S2), "cut at mid-S1": _cut(MID_S1)}
FORMS: dict[str, Form] = {
    "unchanged": lambda one: one,
    "turned +8": _turned(8),
    "turned -8": _turned(-8),
    "scaled +10": _scaled(1.1),
    "scaled -10": _scaled(0.9),
    "T1-like": _t1_like,
    "blurred": _blurred,
    **CUT,
}


def main() -> None:
    """Segment every slice in every form and print the table."""
    options = _parser().parse_args()
    set_threads(1)
    segmenter = Segmenter.from_pretrained("cpu", options.weights, backend="onnx")
    found = json.loads(options.json.read_text(encoding="utf-8"))["scans"] if options.json and options.json.is_file() else []
    done = {(scan["case"], scan["form"]) for scan in found}
    cases = list(_cases(options))
    for case, name in tqdm([(case, name) for name in options.forms for case in cases if (case, name) not in done]):
        found.append({"case": case, "form": name} | judge(segmenter, FORMS[name](Slice.read(options.points, case))))
        if options.json:
            options.json.write_text(json.dumps({"margins": histogram(found), "scans": found}, indent=1), encoding="utf-8")
    print_table(found)
    if options.margins:
        options.margins.write_text(drawn(histogram(found)), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("points", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--patients", type=Path, help="a file with the patients to take, one a line")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS), metavar="NAME")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--margins", type=Path, help="a picture of the margins of the unchanged slices")
    return parser


def _cases(options: argparse.Namespace) -> Iterator[str]:
    wanted = set(options.patients.read_text(encoding="utf-8").split()) if options.patients else None
    with (options.points / "cases.tsv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            known = (options.points / f"{row['case']}_points.nii.gz").is_file()
            if known and row["split"] == options.split and (wanted is None or row["patient"] in wanted):
                yield row["case"]


def judge(segmenter: Segmenter, one: Slice) -> dict[str, Any]:
    """Segment a slice: state, codes with their highest rank, margin in nats (None where it cannot be told) and seconds."""
    start, slab = time.perf_counter(), one.slab()
    try:
        seen = segmenter.perceive(slab)
        result = segmenter.name(seen, scheme=VERSE)
    except CascadeError as error:
        return {"state": "flagged", "codes": {type(error).__name__: "refused"}, "margin": None, "seconds": time.perf_counter() - start}
    seconds = time.perf_counter() - start
    codes = {notice.code: notice.rank for notice in sorted(result.warnings, key=lambda notice: notice.rank)}
    places = {number: slab.grid.to_voxels(point)[1:] for number, point in one.points_mm.items()}
    right = are_named(places, result.labels.data[SLICES // 2], np.array(slab.grid.spacing_mm[1:]))
    state = "right" if right else "flagged" if "numbering-uncertain" in codes else "silent"
    return {"state": state, "codes": codes, "margin": margin(seen.evidence, one), "seconds": round(seconds, 2)}


def margin(evidence: Evidence, one: Slice) -> float | None:
    """By how much the numberings that call the body above the point L5/S1 L5 are cheaper than all others, in nats."""
    laid = lay_out(evidence)
    behind_l5 = (one.points_mm[VERSE["L4-L5"]] + one.points_mm[VERSE["L5-S1"]]) / 2
    distances = {}
    for i, link in enumerate(laid.chain.links):
        if link.body is not None:
            voxels = np.argwhere(laid.instances.values == link.body.value)
            distances[i] = np.linalg.norm(evidence.grid.to_world(voxels)[:, 1:] - behind_l5[1:], axis=1).min()
    index = min(distances, key=distances.__getitem__)
    costs: dict[bool, float] = {}
    for cost, variant, names in weigh(laid.chain, laid.room_below_mm, shape=laid.shape, parameters=evidence.parameters):
        if not variant.startswith(("four-lumbar", "six-lumbar")) and names[index] is not None:
            costs.setdefault(names[index] == "L5", cost)
    return round(costs[False] - costs[True], 2) if len(costs) == 2 else None


def histogram(found: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    """Edges in nats, and how many unchanged slices that are right, and that are not, have a margin between them."""
    result = {"edges": EDGES.tolist()}
    for word, right in (("right", True), ("not right", False)):
        margins = [s["margin"] for s in found if s["form"] == "unchanged" and s["margin"] is not None and (s["state"] == "right") is right]
        result[word] = np.histogram(np.clip(margins, EDGES[0], EDGES[-1] - 0.01), EDGES)[0].tolist()
    return result


def drawn(counts: dict[str, list[float]]) -> str:
    """The histogram as SVG: those that are right in blue, the others in red on top of them."""
    width, height, base = 24, 240, 262
    highest = max(1.0, *np.add(counts["right"], counts["not right"]))
    parts = []
    for i, (low, right, wrong) in enumerate(zip(counts["edges"], counts["right"], counts["not right"], strict=False)):
        top = base
        for number, colour in ((right, "#4477aa"), (wrong, "#cc3311")):
            tall = height * number / highest
            top -= tall
            parts.append(f'<rect x="{20 + i * width}" y="{top:.1f}" width="{width - 2}" height="{tall:.1f}" fill="{colour}"/>')
        parts.append(f'<text x="{20 + i * width}" y="{base + 14}">{low:g}</text>')
        if right + wrong:
            parts.append(f'<text x="{22 + i * width}" y="{top - 3:.1f}">{right + wrong:g}</text>')
    title = "margin of the right names in nats; red: not named right; what lies beyond the ends counts with them"
    parts.append(f'<text x="20" y="{base + 32}">{title}</text>')
    across = 40 + width * len(counts["right"])
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{across}" height="{base + 40}" font-family="sans-serif" font-size="11">'
    return "\n".join((head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>")) + "\n"


def print_table(found: Sequence[dict[str, Any]]) -> None:
    """A row a form and two for all of a kind; then what is not right, by name, and what the margins were."""
    print("| form | scans | right | flagged | silent | `possible-lstv` of the right | `numbering-uncertain` of the right |")
    print("|---|---|---|---|---|---|---|")
    groups = {name: [name] for name in FORMS} | {"all uncut": [name for name in FORMS if name not in CUT], "all cut": list(CUT)}
    for title, names in groups.items():
        part = [scan for scan in found if scan["form"] in names]
        if not part:
            continue
        states, right = Counter(scan["state"] for scan in part), [scan["codes"] for scan in part if scan["state"] == "right"]
        lstv = sum(codes.get("possible-lstv") == "warning" for codes in right)
        unsure = sum("numbering-uncertain" in codes for codes in right)
        share = f"{states['right'] / len(part):.1%}"
        print(f"| {title} | {len(part)} | {share} | {states['flagged']} | {states['silent']} | {lstv} | {unsure} |")
    print()
    for scan in found:
        if scan["state"] != "right":
            print(f"{scan['state']}: {scan['case']}, {scan['form']}: margin {scan['margin']}, {' '.join(scan['codes'])}")
    counts = histogram(found)
    print("\n| margin from (nats) | right | not right |\n|---|---|---|")
    for low, right, wrong in zip(counts["edges"], counts["right"], counts["not right"], strict=False):
        print(f"| {low:g} | {right} | {wrong} |")


if __name__ == "__main__":
    main()
