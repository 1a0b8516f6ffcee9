"""Do the axes run as the header says? Evidence from the image and the labels, and the repair.

Left and right cannot be told from a spine. Front and back can, by two signs that do not depend on each other:

- *the canal*: on T2-weighted, water-fat and most other scans the band right behind the bodies holds the brightest fluid around
  (cerebrospinal fluid, epidural fat); in front of them lie dark vessels and ligament.
- *the bow*: between its ends the lumbar chain lies further in front than its chord (lordosis).

Head and foot follow from the names where the source gives them, else from bodies that grow towards the feet.
The two were chosen on 96 scans of five public data sets with true headers: there, by the first version of these lines, the canal's
sign was right in 96 and the bow's in 95, and below its threshold in the last.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cascade.datasets.problems import Log
from cascade.errors import RefusedError
from cascade.labels import BODIES, CANAL, SACRUM, in_order, is_disc, rank
from cascade.volume import FloatArray, Grid, LabelMap, Volume

#: Natural logarithm of brightness behind over in front, and offset from the chord, from which on the two signs count.
MIN_CANAL, MIN_BOW_MM = 0.05, 1.0
#: A labelled canal lies at least this far behind (or, with the axis reversed, in front of) the structures.
MIN_CANAL_OFFSET_MM = 5.0
#: Rank correlation between a body's volume and its position from which on growth counts, with five bodies or more.
MIN_GROWTH = 0.4
#: The chain may lean from the vertical by this angle.
MAX_LEAN_DEG = 50.0
_BAND_MM = (2.0, 22.0)
_HALF_WIDTH_MM = 6.0


@dataclass(frozen=True)
class Evidence:
    """Signs about the axes; positive ones agree with the header, negative ones contradict it, NaN ones are not there.

    Parameters
    ----------
    canal : float
        Logarithm of the brightness behind the chain over that in front.
    bow_mm : float
        Mean offset of the inner structures from the chord, to the front.
    labelled_canal_mm : float
        How far a labelled canal lies behind the structures.
    order : float
        Rank correlation of the names with the position from head to foot.
    growth : float
        Rank correlation of the bodies' volume with the position from head to foot.
    """

    canal: float
    bow_mm: float
    labelled_canal_mm: float
    order: float
    growth: float

    def front_back(self) -> int:
        """1: as the header says, -1: reversed, 0: unknown or contradictory."""
        if abs(self.labelled_canal_mm) >= MIN_CANAL_OFFSET_MM:
            return int(np.sign(self.labelled_canal_mm))
        votes = [int(np.sign(v)) for v, least in ((self.canal, MIN_CANAL), (self.bow_mm, MIN_BOW_MM)) if abs(v) >= least]
        return votes[0] if votes and len(set(votes)) == 1 else 0

    def head_foot(self, named: bool) -> int:
        """1: as the header says, -1: reversed, 0: unknown. Names count where the source gives them, growth where it does not."""
        value, least = (self.order, 0.5) if named else (self.growth, MIN_GROWTH)
        return int(np.sign(value)) if abs(value) >= least else 0

    def describe(self) -> str:
        """The signs in words."""
        parts = [
            f"brightness behind over in front of the chain x{np.exp(self.canal):.2f}"
            if np.isfinite(self.canal)
            else "no view beside the chain",
            f"the chain bows {abs(self.bow_mm):.1f} mm to the {'front' if self.bow_mm > 0 else 'back'}"
            if np.isfinite(self.bow_mm)
            else "no bow",
        ]
        if np.isfinite(self.labelled_canal_mm):
            parts.append(f"the labelled canal lies {self.labelled_canal_mm:+.0f} mm behind it")
        return ", ".join(parts) + " (directions as in the header)"


def gather(image: Volume, labels: LabelMap) -> Evidence:
    """Look for the signs.

    Parameters
    ----------
    image : Volume
    labels : LabelMap
        Same grid.
    """
    image, labels = image.reoriented("RAS"), labels.reoriented("RAS")
    names = in_order(labels.structures)
    centres = centres_mm(labels)
    bodies = [n for n in names if n in BODIES]
    volumes = np.array([labels[n].sum() for n in bodies])
    height = np.array([centres[n][2] for n in bodies])
    canal_mm = float("nan")
    if CANAL in labels.structures:
        canal_mm = _canal_offset(labels)
    return Evidence(
        _brightness_behind(image, np.isin(labels.data, [labels.scheme[n] for n in _slender(names)])),
        _bow(np.array([centres[n] for n in names])),
        canal_mm,
        _rank_correlation(np.array([rank(n) for n in names]), -np.array([centres[n][2] for n in names]))
        if len(names) > 1
        else float("nan"),
        _rank_correlation(volumes, -height) if len(bodies) >= 5 else float("nan"),
    )


def centres_mm(labels: LabelMap) -> dict[str, FloatArray]:
    """Centre of each structure, in RAS+ mm."""
    found = ndimage.center_of_mass(labels.data > 0, labels.data, labels.values)
    return {name: labels.grid.to_world(voxel) for name, voxel in zip(labels.structures, found, strict=True)}


def check_axes(image: Volume, labels: LabelMap, named: bool, log: Log, repair: bool = True) -> tuple[Volume, LabelMap]:
    """Turn the axes that run against the header, and say so.

    Parameters
    ----------
    image, labels : Volume, LabelMap
        On one grid.
    named : bool
        The source names the structures; else their names follow from the header's idea of head and foot.
    log : Log
    repair : bool
        Otherwise only tell.

    Returns
    -------
    image, labels
        Axes along RAS; mirrored about the middle of the scan where an axis was reversed.

    Raises
    ------
    RefusedError
        The chain runs across the body: the axes are permuted, not reversed.
    """
    image, labels = image.reoriented("RAS"), labels.reoriented("RAS")
    _check_lean(labels)
    evidence = gather(image, labels)
    for axis, verdict, what in ((2, evidence.head_foot(named), "head-foot"), (1, evidence.front_back(), "front-back")):
        grounds = evidence.describe() if axis == 1 else _order_in_words(evidence, named)
        if verdict < 0 and repair:
            log.add("axis-repaired", f"the {what} axis is reversed against the header: {grounds}; image and labels were turned")
            image, labels = mirrored(image, labels, axis)
        elif verdict < 0 or (verdict == 0 and axis == 1):
            log.add("axis-uncertain", f"the {what} axis: {grounds}; it was left as it is; set it with --axes if the picture is wrong")
    return image, labels


def mirrored(image: Volume, labels: LabelMap, axis: int) -> tuple[Volume, LabelMap]:
    """Reverse the voxels along `axis` and keep the grid: every voxel moves to its mirror place about the scan's middle."""
    flip = (slice(None),) * axis + (slice(None, None, -1),)
    return (
        Volume(np.ascontiguousarray(image.data[flip]), image.grid),
        LabelMap(np.ascontiguousarray(labels.data[flip]), labels.grid, labels.scheme),
    )


def restated(grid: Grid, axcodes: str) -> Grid:
    """The grid with its storage axes along `axcodes`, whatever its header says; spacing and middle are kept."""
    axes = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    affine = np.eye(4)
    affine[:3, :3] = 0.0
    for column, (code, spacing) in enumerate(zip(axcodes, grid.spacing_mm, strict=True)):
        world, sign = axes[code]
        affine[world, column] = sign * spacing
    middle = (np.asarray(grid.shape) - 1) / 2
    affine[:3, 3] = grid.to_world(middle) - affine[:3, :3] @ middle
    return Grid(grid.shape, affine)


def _check_lean(labels: LabelMap) -> None:
    names = [n for n in in_order(labels.structures) if n != SACRUM]
    if len(names) < 2:
        return
    centres = centres_mm(labels)
    along = centres[names[-1]] - centres[names[0]]
    lean = float(np.degrees(np.arccos(abs(along[2]) / max(float(np.linalg.norm(along)), 1e-6))))
    if lean > MAX_LEAN_DEG:
        raise RefusedError(
            "axes-implausible",
            f"expected a chain from head to foot; {names[0]} to {names[-1]} lean {lean:.0f} degrees by the header; set --axes",
        )


def _slender(names: list[str]) -> list[str]:
    """The discs where they are labelled: whole vertebrae reach behind the canal."""
    discs = [name for name in names if is_disc(name)]
    return discs if len(discs) > 1 else names


def _bow(centres_mm: FloatArray) -> float:
    """Mean offset of the inner centres from the chord between the outer ones, along the second axis."""
    if len(centres_mm) < 3:
        return float("nan")
    ordered = centres_mm[np.argsort(centres_mm[:, 2])]
    share = (ordered[:, 2] - ordered[0, 2]) / max(float(np.ptp(ordered[:, 2])), 1e-6)
    chord = ordered[0, 1] + share * (ordered[-1, 1] - ordered[0, 1])
    return float((ordered[:, 1] - chord)[1:-1].mean())


def _canal_offset(labels: LabelMap) -> float:
    """How far the canal's middle lies behind the structures', row by row, median in mm."""
    canal = labels[CANAL]
    rest = (labels.data > 0) & ~canal
    steps = np.arange(labels.grid.shape[1])[None, :, None]
    amounts = canal.sum(axis=(0, 1)), rest.sum(axis=(0, 1))
    rows = (amounts[0] > 0) & (amounts[1] > 0)
    if not rows.any():
        return float("nan")
    canal_at = (canal * steps).sum(axis=(0, 1))[rows] / amounts[0][rows]
    rest_at = (rest * steps).sum(axis=(0, 1))[rows] / amounts[1][rows]
    return float(np.median(rest_at - canal_at)) * labels.grid.spacing_mm[1]


def _brightness_behind(image: Volume, chain: NDArray[np.bool_]) -> float:
    """Logarithm of the brightest fluid in a band behind the chain over that in front, at the column's middle, row by row."""
    half = max(1, round(_HALF_WIDTH_MM / image.grid.spacing_mm[0]))
    near, far = (max(1, round(mm / image.grid.spacing_mm[1])) for mm in _BAND_MM)
    air = float(np.nanmin(image.data))
    behind: list[float] = []
    in_front: list[float] = []
    for z in np.flatnonzero(chain.any(axis=(0, 1))):
        row = chain[:, :, z]
        middle = round(float(np.average(np.arange(len(row)), weights=row.sum(axis=1))))
        across = slice(max(0, middle - half), middle + half + 1)
        inside = np.flatnonzero(row[across].any(axis=0))
        if not len(inside):
            continue
        profile = image.data[across, :, z].mean(axis=0) - air
        back = profile[max(0, inside[0] - far) : max(0, inside[0] - near)]
        front = profile[inside[-1] + near + 1 : inside[-1] + far + 1]
        if len(back) and len(front):
            behind.append(float(np.percentile(back, 90)))
            in_front.append(float(np.percentile(front, 90)))
    if not behind or min(np.mean(behind), np.mean(in_front)) <= 0:
        return float("nan")
    return float(np.log(np.mean(behind) / np.mean(in_front)))


def _rank_correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Spearman's coefficient; ties (two bodies of one size) keep their order."""
    return float(np.corrcoef(np.argsort(np.argsort(a, kind="stable")), np.argsort(np.argsort(b, kind="stable")))[0, 1])


def _order_in_words(evidence: Evidence, named: bool) -> str:
    if named:
        return f"the names' order correlates {evidence.order:+.2f} with the direction to the feet"
    return f"the bodies' size correlates {evidence.growth:+.2f} with the direction to the feet"


def order_is_monotone(labels: LabelMap) -> bool:
    """Tell whether the centres descend in the order of the names."""
    centres = centres_mm(labels)
    names = in_order(centres)
    chains = [n for n in names if is_disc(n)], [n for n in names if not is_disc(n)]
    return all(centres[upper][2] > centres[lower][2] for chain in chains for upper, lower in pairwise(chain))
