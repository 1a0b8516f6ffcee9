"""A mask sampled along axes of its own, and where its surface lies.

Everything is measured on the 0.5 surface of the mask, interpolated linearly between voxel centres, so that neither the
orientation of the grid nor its anisotropy moves a plane.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cascade.volume import FloatArray, Grid

Mask = NDArray[np.bool_]
#: Steps of the lattice on which a mask is sampled: across (right, front) and along the structure.
ACROSS_MM, ALONG_MM = 1.0, 0.5
#: Half the width of the mid-sagittal band; wide enough for two slices of the thickest clinical scans.
MIDDLE_MM = 5.0


@dataclass(frozen=True, eq=False)
class Lattice:
    """Occupancy (0 to 1) of a mask at local coordinates around its centroid: axes right, front, up.

    `centre_mm` (RAS+) is where they are all zero, `axes` are their directions (rows), `grain_mm` is how far the voxels' staircase
    strays from a plane across `up`.
    """

    occupancy: FloatArray
    right: FloatArray
    front: FloatArray
    up: FloatArray
    centre_mm: FloatArray
    axes: FloatArray
    grain_mm: float

    def to_world(self, local_mm: FloatArray) -> FloatArray:
        """Convert (..., 3) local coordinates to RAS+ mm."""
        return np.asarray(local_mm) @ self.axes + self.centre_mm


def sample(mask: Mask, grid: Grid, axes: FloatArray) -> Lattice:
    """Interpolate a mask linearly at a lattice around its centroid whose axes are the rows of `axes` (right, front, up)."""
    points = grid.to_world(np.argwhere(mask))
    centre = points.mean(axis=0)
    margin = 1.5 * max(grid.spacing_mm)
    local = (points - centre) @ axes.T
    steps = np.array([ACROSS_MM, ACROSS_MM, ALONG_MM])
    first = np.floor((local.min(axis=0) - margin) / steps) * steps
    counts = np.ceil((local.max(axis=0) + margin - first) / steps).astype(int) + 1
    turn = np.linalg.inv(grid.vox2world[:3, :3]) @ axes.T
    occupancy = ndimage.affine_transform(
        mask.astype(np.float32), turn * steps, grid.to_voxels(first @ axes + centre), tuple(counts), order=1, mode="grid-constant"
    )
    right, front, up = (low + np.arange(n) * step for low, n, step in zip(first, counts, steps, strict=True))
    grain_mm = 0.35 * float(np.linalg.norm(axes[2] @ grid.vox2world[:3, :3]))
    return Lattice(occupancy, right, front, up, centre, axes, grain_mm)


def crossings(occupancy: FloatArray, positions: FloatArray) -> tuple[FloatArray, FloatArray]:
    """First and last place along the last axis where the occupancy passes 0.5; NaN where it never does."""
    inside = np.pad(occupancy, [(0, 0)] * (occupancy.ndim - 1) + [(1, 1)])
    step = positions[1] - positions[0]
    places = np.concatenate([[positions[0] - step], positions, [positions[-1] + step]])
    return _first(inside, places), _first(inside[..., ::-1], places[::-1])


def _first(occupancy: FloatArray, places: FloatArray) -> FloatArray:
    index = np.argmax(occupancy >= 0.5, axis=-1)
    after = np.take_along_axis(occupancy, index[..., None], -1)[..., 0]
    before = np.take_along_axis(occupancy, np.maximum(index - 1, 0)[..., None], -1)[..., 0]
    share = (after - 0.5) / np.where(after > before, after - before, 1.0)
    found: FloatArray = np.where(index > 0, places[index] - share * (places[1] - places[0]), np.nan)
    return found


def centre_of(positions: FloatArray, occupied: Mask) -> float:
    """Middle between the first and last place that is occupied."""
    return float((positions[occupied][0] + positions[occupied][-1]) / 2) if occupied.any() else np.nan


def middle_half(positions: FloatArray, occupied: Mask) -> Mask:
    """The middle half of what is occupied (at least one place)."""
    if not occupied.any():
        return occupied
    low, high = positions[occupied][0], positions[occupied][-1]
    return np.asarray(np.abs(positions - (low + high) / 2) <= max((high - low) / 4, positions[1] - positions[0]))


def trimmed_mean(values: FloatArray) -> float:
    """Mean without the lowest and highest tenth; NaN if there is nothing."""
    ordered = np.sort(values[np.isfinite(values)])
    trimmed = ordered[len(ordered) // 10 : len(ordered) - len(ordered) // 10]
    return float(trimmed.mean()) if len(trimmed) else np.nan
