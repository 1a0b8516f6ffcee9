"""The spine as a ruler: a line through the column from head to foot, positions along it and distances from it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from cascade.volume import FloatArray, Grid

#: How far a ruler goes on straight beyond the ends of its line.
EXTENSION_MM = 150.0


def row_centres(weights: NDArray[Any], grid: Grid, smoothing_mm: float) -> FloatArray:
    """Centre of what is there in each axial row, smoothed along the line, from head to foot.

    Parameters
    ----------
    weights : (x, y, z) array of bool or float
        RAS axes; rows that hold nothing are passed over.
    grid : Grid
    smoothing_mm : float
        Standard deviation of the Gaussian along z.

    Returns
    -------
    (n, 3) array
        RAS+ mm. The height of each point is that of its row.
    """
    mass = weights.sum(axis=(0, 1))
    rows = np.flatnonzero(mass)
    x = np.tensordot(np.arange(weights.shape[0]), weights.sum(axis=1), axes=1)[rows] / mass[rows]
    y = np.tensordot(np.arange(weights.shape[1]), weights.sum(axis=0), axes=1)[rows] / mass[rows]
    line = grid.to_world(np.stack([x, y, rows], axis=1))
    smooth: FloatArray = ndimage.gaussian_filter1d(line, smoothing_mm / grid.spacing_mm[2], axis=0, mode="nearest")
    smooth[:, 2] = line[:, 2]
    return smooth[::-1]


def lengths_along(points: FloatArray) -> FloatArray:
    """How far each of (n, 3) points is from the first, along the line through them, in their unit.

    >>> lengths_along(np.array([[0.0, 0, 0], [0, 3, 4], [0, 3, 5]])).tolist()
    [0.0, 5.0, 6.0]
    """
    return np.append(0.0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1)))


class SpineLine:
    """The centreline as a ruler: positions along it, distances from it.

    Parameters
    ----------
    points_mm : (n, 3) array
        From head to foot; both ends are extended straight by `EXTENSION_MM`.
    reach : int
        The ends go on as the line runs over so many of the points next to them.

    Attributes
    ----------
    ends_mm : (2,) tuple of float
        Positions of the first and last of the given points.
    """

    def __init__(self, points_mm: FloatArray, *, reach: int = 10) -> None:
        points = np.asarray(points_mm, dtype=float)
        if len(points) < 2:
            points = np.vstack([points[0] + (0, 0, 1.0), points[0] - (0, 0, 1.0)])
        reach = min(len(points) - 1, reach)
        up, down = points[0] - points[reach], points[-1] - points[-1 - reach]
        points = np.vstack([points[0] + _unit(up) * EXTENSION_MM, points, points[-1] + _unit(down) * EXTENSION_MM])
        lengths = lengths_along(points)
        self.position_mm = np.arange(0.0, lengths[-1], 1.0)
        self.points_mm = np.stack([np.interp(self.position_mm, lengths, points[:, i]) for i in range(3)], axis=1)
        self.ends_mm = (EXTENSION_MM, float(lengths[-1]) - EXTENSION_MM)
        self._tree = cKDTree(self.points_mm)

    def locate(self, points_mm: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Position along the line and distance from it, in mm, of (n, 3) points."""
        distance, nearest = self._tree.query(points_mm)
        return self.position_mm[nearest], distance

    def nearest(self, points_mm: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Position along the line, 0 at the first of the given points, and the nearest point of the line, in mm, of (..., 3) points."""
        _, nearest = self._tree.query(points_mm)
        return self.position_mm[nearest] - self.ends_mm[0], self.points_mm[nearest]


def _unit(vector: FloatArray) -> FloatArray:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else np.array([0.0, 0.0, -1.0])
