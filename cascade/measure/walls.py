"""Walls of a body or disc, and the corners where they meet its end plates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade.measure.lattice import MIDDLE_MM, Lattice, Mask, centre_of, crossings, middle_half, trimmed_mean
from cascade.volume import FloatArray

#: A wall is followed from this far below (above) an end plate, where the rim ends, to this far.
_RIM_MM, _REACH_MM = 1.5, 13.0
_MIN_LINES = 4


@dataclass(frozen=True)
class Plane:
    """Local height of an end plate: ``slope_right * right + slope_front * front + height_mm``."""

    slope_right: float
    slope_front: float
    height_mm: float

    def normal(self, axes: FloatArray) -> FloatArray:
        """Unit normal, RAS+, upward."""
        normal = axes[2] - self.slope_right * axes[0] - self.slope_front * axes[1]
        unit: FloatArray = normal / np.linalg.norm(normal)
        return unit


def walls(lattice: Lattice, axis: int) -> tuple[float, float]:
    """Both ends along `axis` (0 right, 1 front): the mean over the lines at half height, in the middle of the other axis."""
    positions = (lattice.right, lattice.front)[axis]
    other = (lattice.front, lattice.right)[axis]
    occupancy = np.moveaxis(lattice.occupancy, axis, -1)
    inside: Mask = np.asarray(lattice.occupancy >= 0.5)
    height = middle_half(lattice.up, np.asarray(inside.any(axis=(0, 1))))
    across = np.abs(other - centre_of(other, np.asarray(inside.any(axis=(axis, 2))))) <= MIDDLE_MM
    low, high = crossings(occupancy[across][:, height], positions)
    return trimmed_mean(low), trimmed_mean(high)


def corners(lattice: Lattice, upper: Plane, lower: Plane) -> FloatArray:
    """Where both end plates meet the rear and the front wall in the mid-sagittal plane.

    A wall is a line, robustly fitted to what lies 1.5 to 13 mm from the end plate and not beyond half the height, and continued to it:
    the corners of a mask are round, and where they are sharp they are spurs as often as not.

    Returns
    -------
    (2, 2, 3) array
        Upper, lower; rear, front; RAS+. NaN where a wall is too short.
    """
    inside: Mask = np.asarray(lattice.occupancy >= 0.5)
    middle = centre_of(lattice.right, np.asarray(inside.any(axis=(1, 2))))
    band = np.abs(lattice.right - middle) <= MIDDLE_MM
    sides = crossings(np.moveaxis(lattice.occupancy[band], 1, -1), lattice.front)
    found = np.full((2, 2, 3), np.nan)
    half_mm = (upper.height_mm - lower.height_mm) / 2
    for i, (plane, down) in enumerate(((upper, 1), (lower, -1))):
        for j, wall in enumerate(sides):
            found[i, j] = lattice.to_world(_corner(wall, middle, lattice, plane, (down, half_mm)))
    return found


def _corner(wall: FloatArray, middle: float, lattice: Lattice, plane: Plane, beyond: tuple[int, float]) -> FloatArray:
    """Local coordinates of one corner from the (right, up) places of a wall; `beyond`: sign of up towards the inside, half height."""
    down, half_mm = beyond
    up = np.broadcast_to(lattice.up, wall.shape)
    level = plane.slope_right * middle + plane.height_mm
    depth = down * (level + plane.slope_front * wall - up)
    near = np.isfinite(wall) & (depth >= _RIM_MM) & (depth <= max(min(_REACH_MM, half_mm), 2 * _RIM_MM))
    if len(np.unique(up[near])) < _MIN_LINES:
        return np.full(3, np.nan)
    slope, start = robust_fit(np.column_stack([up[near], np.ones(near.sum())]), wall[near], lattice.grain_mm)
    front = (start + slope * level) / (1 - slope * plane.slope_front)
    return np.array([middle, front, level + plane.slope_front * front])


def robust_fit(design: FloatArray, heights: FloatArray, grain_mm: float) -> FloatArray:
    """Least squares with Tukey's biweight: c = 4.685 scaled median deviations, of which `grain_mm` is the least."""
    weights = np.ones(len(heights))
    for _ in range(6):
        root = np.sqrt(weights)
        fit: FloatArray = np.linalg.lstsq(design * root[:, None], heights * root, rcond=None)[0]
        residuals = heights - design @ fit
        scale = max(1.4826 * float(np.median(np.abs(residuals))), grain_mm)
        weights = np.clip(1 - (residuals / (4.685 * scale)) ** 2, 0, None) ** 2
    return fit
