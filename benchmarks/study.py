"""Make studies of labelled scans: a series that ends above L5 is named by one that does not, and axial slices are told.

    python benchmarks/study.py DATA [--split val]
    python benchmarks/study.py --phantom

DATA is a folder with cases.tsv, as for cascade-train. Of every scan with an L5 two series are made: the scan, and what lies above its
L5. Across each labelled disc from L2/L3 down a block of five axial slices is laid, 3.5 mm apart, along the disc's own plane. Printed
are, scan by scan, the bodies that the cut series misnames alone and in the study; then how far the told distances from the discs'
middles are from those by the labels, and the Dice of the labels on the axial grids, as far as the scan's field of view goes.

With --phantom the blocks lie across phantoms in sagittal slices of 4 mm, for each contrast: Dice of the sagittal labels, of those on
blocks of five axial slices, and of nine, which show more of the bodies.
"""

from __future__ import annotations

import argparse
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from cascade import Grid, LabelMap, Numbering, Segmenter, Volume
from cascade.io.cases import read_cases
from cascade.labels import BODIES, VERSE
from cascade.phantom import PhantomSpec, render, solids, voxelise
from cascade.postproc.identify import Identified, identify
from cascade.study.find import across_slices
from cascade.study.numbering import Witness, agree, shared_numbering
from cascade.study.slices import Guide, in_view_of
from cascade.volume import FloatArray, box_between

DISCS = ("L2-L3", "L3-L4", "L4-L5", "L5-S1")
STEP_MM, PIXEL_MM, SIZE = 3.5, 0.7, (160, 160)
#: The cut series ends so many voxels below the upper end of L5.
KEPT = 3


def main() -> None:
    """Make the studies and print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--phantom", action="store_true")
    parser.add_argument("--split", default="val")
    given = parser.parse_args()
    segmenter, off_mm, dice = Segmenter.from_pretrained(), list[float](), defaultdict[str, list[float]](list)
    if given.phantom:
        return _phantoms(segmenter)
    if given.data is None:
        parser.error("expected DATA or --phantom")
    for case in read_cases(given.data, given.split):
        scan, labels = (each.reoriented("RAS") for each in case.load())
        if "L5" not in labels.structures:
            continue
        guide = _numbered(f"{case.dataset} {case.name}", scan, labels, segmenter)
        for disc in (name for name in DISCS if name in labels.structures):
            grid = _block(labels, disc)
            off_mm += [
                row.distance_mm - (i - 2) * STEP_MM for i, row in enumerate(guide.where(grid)) if row.disc == disc and row.distance_mm
            ]
            true = labels.resampled(grid)
            seen = LabelMap(np.where(in_view_of(labels.grid, grid), true.data, 0).astype(true.data.dtype), grid, true.scheme)
            for kind, value in _dice(guide.labels(grid, VERSE), seen, disc):
                dice[kind].append(value)
    off = np.abs(off_mm)
    print(
        f"distances: {len(off)} slices, median {np.median(off):.2f} mm off, {np.mean(off <= 1):.0%} within 1 mm, at most {off.max():.2f} mm"
    )
    for kind, values in dice.items():
        print(f"Dice of {kind} on the axial grid: {np.mean(values):.3f} ({len(values)})")


def _numbered(name: str, scan: Volume, labels: LabelMap, segmenter: Segmenter) -> Guide:
    """Print how the cut and the whole series are named; the whole one as it is named in the study."""
    first = int(np.argwhere(labels["L5"])[:, 2].max()) - KEPT
    cut, whole = (
        Witness(title, segmenter.perceive(part).evidence, across_slices(part.grid))
        for title, part in (("cut", scan.cropped(box_between((0, 0, first), scan.grid.shape))), ("whole", scan))
    )
    agreed = agree([cut, whole], Numbering())
    told = {each.name: identify(each.evidence, shared_numbering(each, agreed)) for each in (cut, whole)}
    told |= {"cut alone": identify(cut.evidence)}
    print(f"{name}:", "; ".join(f"{what}: {_wrong(found, labels) or 'right'}" for what, found in told.items()))
    return Guide("whole", told["whole"], whole.evidence)


def _wrong(found: Identified, labels: LabelMap) -> str:
    """The bodies whose centres lie in another one."""
    wrong = []
    for name, instance in found.structures.items():
        voxel = labels.grid.voxel_at(instance.centroid_mm)
        value = int(labels.data[voxel]) if voxel else 0
        if name in BODIES and value and labels.scheme.structure(value) != name:
            wrong.append(f"{labels.scheme.structure(value)} as {name}")
    return ", ".join(wrong)


def _phantoms(segmenter: Segmenter) -> None:
    """Print Dice on phantoms, with the dark rim of bodies within them and around them."""
    for rim, contrast in itertools.product(("within", "around"), ("T2", "T1", "STIR")):
        spec = PhantomSpec((17, 180, 330), (4.0, 0.9, 0.9), contrast=contrast, rim=rim)  # type: ignore[arg-type]
        scan, labels = render(spec)
        seen = segmenter.perceive(scan)
        l3 = np.argwhere(labels["L3"]).mean(axis=0)
        x, y, z = labels.grid.to_world(l3)
        known = Numbering({"L3": (float(x), float(y), float(z))})
        guide, own = Guide("t2", identify(seen.evidence, known), seen.evidence), segmenter.name(seen, scheme=VERSE, numbering=known).labels
        print(f"{contrast}, rim {rim} the bodies: sagittal {_means(_dice(own, labels, name) for name in DISCS)}", end="; ")
        for count in (5, 9):
            grids = {name: _block(labels, name, count) for name in DISCS}
            told = (_dice(guide.labels(grid, VERSE), _truth(spec, grid), name) for name, grid in grids.items())
            print(f"blocks of {count} {_means(told)}", end="\n" if count == 9 else "; ", flush=True)


def _truth(spec: PhantomSpec, grid: Grid) -> LabelMap:
    return voxelise((solid for solid in solids(spec) if solid.name in VERSE), grid)


def _means(found: Iterable[Iterable[tuple[str, float]]]) -> str:
    dice = defaultdict[str, list[float]](list)
    for kind, value in itertools.chain.from_iterable(found):
        dice[kind].append(value)
    return ", ".join(f"{kind} {np.mean(values):.3f}" for kind, values in sorted(dice.items()))


def _block(labels: LabelMap, disc: str, count: int = 5) -> Grid:
    """Slices along a disc, the middle one through its centre."""
    points = labels.grid.to_world(np.argwhere(labels[disc]))
    centre = points.mean(axis=0)
    up: FloatArray = np.linalg.svd(points - centre, full_matrices=False)[2][2]
    up = up * np.sign(up[2])
    right = np.cross([0.0, 1.0, 0.0], up)
    right /= np.linalg.norm(right)
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([right * PIXEL_MM, np.cross(up, right) * PIXEL_MM, up * STEP_MM])
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array((*SIZE, count)) - 1) / 2)
    return Grid((*SIZE, count), affine)


def _dice(found: LabelMap, true: LabelMap, disc: str) -> Iterator[tuple[str, float]]:
    """Of the disc, and of the bodies of which the block shows more than a corner."""
    for name in true.structures:
        size = int(true[name].sum())
        if name == disc or (name in BODIES and size > 500):
            yield "discs" if name == disc else "bodies", 2 * int((found[name] & true[name]).sum()) / (size + int(found[name].sum()))


if __name__ == "__main__":
    main()
