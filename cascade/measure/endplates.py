"""The morphometry of one vertebral body or disc in a frame of its own: end plates, walls, heights.

The frame's rows are the unit vectors right, front and up; surfaces are those of `cascade.measure.lattice`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade.measure.lattice import ACROSS_MM, MIDDLE_MM, Lattice, Mask, centre_of, crossings, sample, trimmed_mean
from cascade.measure.walls import Plane, corners, robust_fit, walls
from cascade.volume import FloatArray, Grid

#: End plates are fitted inside this part of the outline, away from the rounded rim.
_CORE = 0.8
#: Narrower than this from side to side, the sideways slope of an end plate cannot be told; it is taken as zero.
_MIN_WIDTH_MM = 10.0
#: An axis further from the spine's direction than this is not believed (collapsed or broken masks).
_MAX_LEAN_DEG = 35.0
_REFINEMENTS = 2
#: Wedges by heights and by end plates differ by less than 8 degrees in 99 of 100 reference bodies, and by 10 and more in broken ones.
_MAX_DISAGREEMENT_DEG = 10.0
#: Steeper parts of a face belong to the wall.
_STEEP = 1.0
#: Where the anterior, middle and posterior heights are read, as parts of the depth from the rear wall, and half the width of each.
_ANTERIOR, _MIDDLE, _POSTERIOR, _HALF_BAND = 0.8, 0.5, 0.2, 0.1


@dataclass(frozen=True, eq=False)
class Morphometry:
    """End plates and lengths of one structure.

    Parameters
    ----------
    axes : (3, 3) array
        Rows right, front, up of the structure, RAS+.
    upper, lower : (3,) array
        Unit normals of the two end plates, both pointing up, RAS+.
    heights_mm : (3,) tuple of float
        Anterior, middle, posterior, along ``axes[2]``; NaN where the mask is too small.
    depth_mm, width_mm : float
        Front to rear and side to side, at half height; NaN where the mask is too small.
    corners_mm : (2, 2, 3) array
        Where the upper and the lower end plate (first axis) meet the rear and the front wall (second axis) in the mid-sagittal plane,
        RAS+; NaN where a wall cannot be fitted.
    """

    axes: FloatArray
    upper: FloatArray
    lower: FloatArray
    heights_mm: tuple[float, float, float]
    depth_mm: float
    width_mm: float
    corners_mm: FloatArray

    @property
    def agrees(self) -> bool:
        """Tell whether heights and end plates tell the same wedge; they do not where a mask is broken."""
        front_mm, _, rear_mm = self.heights_mm
        by_heights = np.rad2deg(np.arctan2(front_mm - rear_mm, (_ANTERIOR - _POSTERIOR) * self.depth_mm))
        by_plates = tilt_deg(self.lower, self.axes) - tilt_deg(self.upper, self.axes)
        return not abs(by_heights - by_plates) > _MAX_DISAGREEMENT_DEG


def patient_axes(grid: Grid) -> FloatArray:
    """Right, front and up of the patient as the scan shows them.

    Right is the scan's own left-right axis, which the operator turned with the patient; front is the world's, at a right angle to it.

    Returns
    -------
    (3, 3) array
        Rows right, front, up, RAS+.
    """
    axis = next(i for i, code in enumerate(grid.axcodes) if code in "LR")
    right = grid.vox2world[:3, axis] / grid.spacing_mm[axis] * (1 if grid.axcodes[axis] == "R" else -1)
    return _frame(right, np.array([0.0, 0.0, 1.0]))


def aligned(axes: FloatArray, up: FloatArray) -> FloatArray:
    """Turn `axes` the shortest way so that its last row runs along `up`: right stays as close to its old self as it can."""
    up = up / np.linalg.norm(up)
    right = axes[0] - (axes[0] @ up) * up
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(up, right), up])


def fit_morphometry(mask: Mask, grid: Grid, axes: FloatArray, *, lower_face: bool = True) -> Morphometry | None:
    """Fit a frame, two end plates and the lengths to one structure.

    The first direction (of the spine here) is refined twice: the end plates are fitted as planes, robustly, and their mean
    normal becomes the structure's own axis.

    Parameters
    ----------
    mask : array of bool
        With a margin of one voxel around the structure, but for the sides where it is cut.
    grid : Grid
        Of the mask.
    axes : (3, 3) array
        Rows right, front, up to start from; `up` within 35 degrees of the answer.
    lower_face : bool
        False where only the upper end plate means anything (sacrum).

    Returns
    -------
    Morphometry or None
        None where the mask is too small to have end plates.
    """
    start, found = axes[2], _fit(mask, grid, axes)
    for _ in range(_REFINEMENTS):
        if found is None:
            return None
        up = found.upper + found.lower if lower_face else found.upper
        if up @ start < np.cos(np.deg2rad(_MAX_LEAN_DEG)) * np.linalg.norm(up):
            return found
        found = _fit(mask, grid, aligned(axes, up))
    return found


def tilt_deg(normal: FloatArray, axes: FloatArray) -> float:
    """Angle of a plane's normal in the sagittal plane of `axes`, from up to the front, in degrees.

    >>> round(tilt_deg(np.array([0.3, 1.0, 1.0]), np.eye(3)), 6)
    45.0
    """
    return float(np.rad2deg(np.arctan2(normal @ axes[1], normal @ axes[2])))


def _frame(right: FloatArray, up: FloatArray) -> FloatArray:
    up = up - (up @ right) * right
    up /= np.linalg.norm(up)
    return np.stack([right, np.cross(up, right), up])


def _fit(mask: Mask, grid: Grid, axes: FloatArray) -> Morphometry | None:
    """Measure along `axes` as they are; None where an end plate cannot be fitted."""
    lattice = sample(mask, grid, axes)
    bottom, top = crossings(lattice.occupancy, lattice.up)
    upper, lower = _plane(top, lattice), _plane(bottom, lattice)
    if upper is None or lower is None:
        return None
    rear, front = walls(lattice, 1)
    left, right = walls(lattice, 0)
    heights_mm = _heights(top - bottom, lattice, rear, front)
    return Morphometry(axes, upper.normal(axes), lower.normal(axes), heights_mm, front - rear, right - left, corners(lattice, upper, lower))


def _plane(face: FloatArray, lattice: Lattice) -> Plane | None:
    """The plane through the core of a face; None if fewer than ten points define it."""
    right, front = np.meshgrid(lattice.right, lattice.front, indexing="ij")
    seen = np.isfinite(face) & (_steepness(face) < _STEEP)
    if seen.sum() < 10:
        return None
    points = np.stack([right[seen], front[seen]], axis=1)
    low, high = points.min(axis=0), points.max(axis=0)
    scaled = (points - (low + high) / 2) / np.maximum((high - low) / 2, 1.0)
    core = (scaled**2).sum(axis=1) <= _CORE**2
    sideways = 1.0 if high[0] - low[0] >= _MIN_WIDTH_MM else 0.0
    design = np.column_stack([points * (sideways, 1.0), np.ones(len(points))])[core]
    if len(design) < 10:
        return None
    return Plane(*map(float, robust_fit(design, face[seen][core], lattice.grain_mm)))


def _steepness(face: FloatArray) -> FloatArray:
    """Slope of a face from rear to front, over 6 mm; 0 where the face ends within 3 mm."""
    reach = round(3 / ACROSS_MM)
    slopes = np.zeros(face.shape)
    if face.shape[1] > 2 * reach:
        change = np.abs(face[:, 2 * reach :] - face[:, : -2 * reach]) / (2 * reach * ACROSS_MM)
        slopes[:, reach:-reach] = np.nan_to_num(change)
    return slopes


def _heights(heights: FloatArray, lattice: Lattice, rear: float, front: float) -> tuple[float, float, float]:
    across = np.abs(lattice.right - centre_of(lattice.right, np.asarray(np.isfinite(heights).any(axis=1)))) <= MIDDLE_MM
    place = (lattice.front - rear) / max(front - rear, ACROSS_MM)
    anterior, middle, posterior = (
        heights[across][:, np.abs(place - where) <= max(_HALF_BAND, 0.6 * ACROSS_MM / max(front - rear, ACROSS_MM))]
        for where in (_ANTERIOR, _MIDDLE, _POSTERIOR)
    )
    return trimmed_mean(anterior), trimmed_mean(middle), trimmed_mean(posterior)
