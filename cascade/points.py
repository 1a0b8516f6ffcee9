"""Scans of which only named points are known: a point in or at each of some discs or bodies, no voxel labelled.

Points are read from an image (``<case>_points.nii.gz``, voxels of the numbers of a label scheme) or a table (``<case>_points.tsv``, columns
name, x_mm, y_mm, z_mm in RAS+). What they say of a voxel follows from its height along the line through them: above the lowest
presacral level there is no sacrum, below the disc above the sacrum there is no vertebra. Where a level's border runs, and what is bone and
what is not, points do not say; it stays open.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cascade.centreline import SpineLine
from cascade.errors import InputError
from cascade.io.nifti import read_label_array
from cascade.labels import BODIES, CANAL, SACRUM, LabelScheme, is_disc, rank
from cascade.volume import FloatArray, Grid, resample_array

#: Structure to a point in RAS+ mm.
NamedPoints = Mapping[str, FloatArray]

#: How far bodies reach before and behind a line through points that may lie anywhere from the middle of a level to its posterior edge.
FRONT_MM, BACK_MM = 60.0, 25.0
#: The canal lies no farther before the points than a bulging disc, and no farther behind them or aside.
_CANAL_FRONT_MM, _CANAL_BACK_MM = 6.0, 50.0
#: The border between the lowest vertebra and the sacrum: so far above and below a point of the disc between them it is open, and so much
#: farther for each mm before or behind the point, as the sacrum's tilt is not known.
OPEN_ABOVE_MM, OPEN_BELOW_MM, OPEN_SLOPE_ABOVE, OPEN_SLOPE_BELOW = 5.0, 5.0, 0.1, 0.45
#: The disc itself may reach as much lower, and for each mm before or behind the point.
_DISC_LOWER_MM, _DISC_SLOPE = 3.0, 0.2
_COARSE_MM = 3.0
#: A structure belongs to a point that is at most this far from it.
NEAR_MM = 12.0
_COLUMNS = ("name", "x_mm", "y_mm", "z_mm")
_LUMBOSACRAL = ("L5-S1", "L6-S1", "L4-S1")


def read_points(path: Path, scheme: LabelScheme) -> dict[str, FloatArray]:
    """Read named points from an image in the numbers of `scheme`, or from a table.

    Returns
    -------
    dict of str to (3,) array
        RAS+ mm, cranial to caudal; of several voxels of one number their mean.

    Raises
    ------
    InputError
        The file cannot be read, names something else than vertebrae and discs, or fewer than two, or they do not lie in their order.
    """
    found = _read_table(path) if path.suffix == ".tsv" else _read_image(path, scheme)
    points = {name: point for name, point in found.items() if name != CANAL}
    if len(points) < 2:
        raise InputError(f"{path}: expected points of at least two vertebrae or discs; found {', '.join(points) or 'none'}")
    points = dict(sorted(points.items(), key=lambda item: rank(item[0])))
    for (upper, high), (lower, low) in itertools.pairwise(points.items()):
        if high[2] <= low[2]:
            raise InputError(f"{path}: expected {upper} above {lower}; found it below; check the names, and which way up the scan is")
    return points


def _read_image(path: Path, scheme: LabelScheme) -> dict[str, FloatArray]:
    values, grid = read_label_array(path)
    names = {number: name for name, number in scheme.ids.items()}
    present = [int(value) for value in np.unique(values) if int(value) in names]
    return {names[value]: grid.to_world(np.argwhere(values == value)).mean(axis=0) for value in present}


def _read_table(path: Path) -> dict[str, FloatArray]:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream, delimiter="\t"))
        points = {row["name"]: np.array([float(row[axis]) for axis in _COLUMNS[1:]]) for row in rows}
        strangers = [name for name in points if not _is_level(name)]
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: expected tab-separated columns {', '.join(_COLUMNS)}, in RAS+ mm ({error})") from error
    if strangers or not all(np.isfinite(point).all() for point in points.values()):
        raise InputError(f"{path}: expected names such as L4 and L5-S1, and finite mm; found {', '.join(strangers) or 'others'}")
    return points


def _is_level(name: str) -> bool:
    return name == SACRUM or name.split("-")[0] in BODIES


class Heights:
    """Where voxels lie along and before the line through named points.

    Parameters
    ----------
    points : mapping of str to (3,) array
        RAS+ mm, cranial to caudal.
    """

    def __init__(self, points: NamedPoints) -> None:
        self._line = SpineLine(np.array(list(points.values())), reach=1)
        self.of_points = {name: float(self.at(point)[0]) for name, point in points.items()}

    def at(self, world_mm: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Position along the line, growing towards the feet, and distance from it, negative behind it, in mm, of (..., 3) points."""
        position, nearest_mm = self._line.nearest(world_mm)
        offset_mm = np.asarray(world_mm) - nearest_mm
        distance = np.linalg.norm(offset_mm, axis=-1)
        return position, np.where(offset_mm[..., 1] >= 0, distance, -distance)

    def of_voxels(self, grid: Grid) -> tuple[FloatArray, FloatArray]:
        """The same for every voxel of `grid`, computed coarsely."""
        coarse = grid.with_spacing([max(s, _COARSE_MM) for s in grid.spacing_mm])
        values = self.at(coarse.to_world(np.indices(coarse.shape).reshape(3, -1).T))
        along, front = (resample_array(value.reshape(coarse.shape), coarse, grid, order=1) for value in values)
        return along, front


def possible_at(points: NamedPoints, grid: Grid) -> dict[str, NDArray[np.bool_]]:
    """Where each class may be, by what the points say of heights.

    Returns
    -------
    dict of str to array of bool, shape = grid.shape
        ``"body"``, ``"disc"``, ``"sacrum"`` and ``"canal"``; anything may be background.
    """
    heights = Heights(points)
    along, front = heights.of_voxels(grid)
    ends = list(heights.of_points.values())
    beyond = np.maximum(0.0, np.maximum(ends[0] - along, along - ends[-1]))
    near = (front < FRONT_MM + beyond) & (front > -BACK_MM - beyond)
    canal = (front < _CANAL_FRONT_MM) & (front > -_CANAL_BACK_MM - beyond)
    no_sacrum_above, no_body_below = _sacral_border(heights.of_points, np.abs(front))
    no_disc_below = no_body_below + _DISC_LOWER_MM + _DISC_SLOPE * np.abs(front)
    return {
        "body": near & (along < no_body_below),
        "disc": near & (along < no_disc_below),
        "sacrum": near & (along > no_sacrum_above),
        "canal": canal,
    }


def _sacral_border(along_mm: Mapping[str, float], off_mm: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Down to where there is no sacrum, and from where on there is no body, along the line, for voxels so far off it, in mm."""
    presacral = [height for name, height in along_mm.items() if name != SACRUM]
    lowest_discs = [height for name, height in along_mm.items() if name in _LUMBOSACRAL]
    sacral = [height for name, height in along_mm.items() if name == SACRUM]
    above = (max(presacral) if presacral else min(sacral) - 2 * OPEN_BELOW_MM) - OPEN_ABOVE_MM - OPEN_SLOPE_ABOVE * off_mm
    reached = min((*lowest_discs, *sacral), default=np.inf)
    return above, reached + OPEN_BELOW_MM + OPEN_SLOPE_BELOW * off_mm


def near_points(points: NamedPoints, grid: Grid) -> NDArray[np.intp]:
    """Voxels between the outermost points, where bodies and discs may be: what patches are taken around."""
    heights = Heights(points)
    along, front = heights.of_voxels(grid)
    ends = list(heights.of_points.values())
    return np.argwhere((along >= ends[0]) & (along <= ends[-1]) & (np.abs(front) < BACK_MM))


def disagreement(points: NamedPoints, components: Mapping[str, Sequence[FloatArray]]) -> str:
    """Tell what contradicts the points; empty if chain, names and count agree with them.

    Between two points of discs lie as many bodies as their names say, and between two of bodies as many discs; every point
    has a structure of its kind of its own close by; below the disc above the sacrum there is no body, and no sacrum above it.

    Parameters
    ----------
    points : mapping of str to (3,) array
        RAS+ mm, cranial to caudal.
    components : mapping of str to sequence of (n, 3) array
        ``"body"``, ``"disc"`` and ``"sacrum"``: the voxels of each, in RAS+ mm.
    """
    heights = Heights(points)
    kinds = {"body": ("disc", False), "disc": ("body", True)}
    middles = {kind: [float(heights.at(c.mean(axis=0))[0]) for c in components.get(kind, ())] for kind in ("body", "disc", "sacrum")}
    for kind, (other, as_disc) in kinds.items():
        own = {name: point for name, point in points.items() if is_disc(name) == as_disc and name != SACRUM}
        taken = [_closest(point, components.get(kind, ())) for point in own.values()]
        if None in taken or len(set(taken)) < len(taken):
            return f"not one {kind} at each point"
        for upper, lower in itertools.pairwise(own):
            between = sum(heights.of_points[upper] < height < heights.of_points[lower] for height in middles[other])
            if between != round(rank(lower) - rank(upper)):
                return f"{between} of the kind {other} between {upper} and {lower}"
    return _beyond_the_sacrum(heights, middles)


def _closest(point: FloatArray, components: Sequence[FloatArray]) -> int | None:
    distances = [float(np.linalg.norm(component - point, axis=1).min()) for component in components]
    nearest = int(np.argmin(distances)) if distances else 0
    return nearest if distances and distances[nearest] < NEAR_MM else None


def _beyond_the_sacrum(heights: Heights, middles: Mapping[str, Sequence[float]]) -> str:
    border = min((height for name, height in heights.of_points.items() if name in _LUMBOSACRAL), default=None)
    if border is None:
        return ""
    if any(height > border for height in middles["body"]):
        return "a body below the lowest disc"
    return "sacrum above the lowest disc" if any(height < border for height in middles["sacrum"]) else ""
