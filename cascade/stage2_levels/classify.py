"""Class probabilities around the spine, from patches placed along its centreline."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cascade.centreline import lengths_along
from cascade.networks.patches import Network, patch_shape_for, predict_at
from cascade.networks.preprocess import IntensityScale, network_input
from cascade.volume import FloatArray, Grid, Shape, Volume, box_between

#: What belongs to the spine: beyond the ends of the centreline, for structures that stage 1 cut short, and to its left
#: and right, where half a lumbar vertebra is about 25 mm wide.
MARGIN_MM, HALF_WIDTH_MM = 30.0, 28.0
#: Where patches may find more to the left and right, rather than padding.
_REACH_MM = 50.0
#: Largest distance between neighbouring patches along the line, as a part of the patch.
STEP = 0.7


@dataclass(frozen=True, eq=False)
class Tissues:
    """What stage 2 says of every voxel around the spine.

    Parameters
    ----------
    probabilities : array of float32, (classes, x, y, z)
    grid : Grid
        RAS axes, stage 2's spacing; a part of the scan's field of view.
    classes : tuple of str
    """

    probabilities: NDArray[np.float32]
    grid: Grid
    classes: tuple[str, ...]


def classify(scan: Volume, centreline_mm: FloatArray, network: Network) -> Tissues:
    """Classify the surroundings of a centreline, never the whole scan.

    Parameters
    ----------
    scan : Volume
    centreline_mm : (n, 3) array
        RAS+, from head to foot.
    network : Network
        Of stage 2.
    """
    spec = network.spec
    oriented = scan.turned(spec.axcodes)
    half_patch_mm = spec.patch_shape[1] * spec.spacing_mm[1] / 2
    part = _crop_around(oriented, centreline_mm, np.array([_REACH_MM, half_patch_mm, MARGIN_MM]))
    working = network_input(part, spec, IntensityScale.of(oriented.data, spec.normalisation))
    patch = patch_shape_for(_needed(working.grid, centreline_mm), spec)
    starts = starts_along(working.grid, centreline_mm, patch)
    return Tissues(predict_at(working.data, starts, patch, network), working.grid, spec.classes)


def _needed(grid: Grid, centreline_mm: FloatArray) -> Shape:
    """The part of the volume that patches have to reach: no wider than the spine."""
    x, y, z = grid.shape
    width_mm = float(np.ptp(grid.to_voxels(centreline_mm)[:, 0])) * grid.spacing_mm[0] + 2 * HALF_WIDTH_MM
    return min(x, math.ceil(width_mm / grid.spacing_mm[0])), y, z


def starts_along(grid: Grid, centreline_mm: FloatArray, patch: Shape) -> list[tuple[int, ...]]:
    """First voxels of overlapping patches centred on the line, shifted into the volume where it is large enough."""
    line = grid.to_voxels(centreline_mm)
    length = lengths_along(line)
    count = max(1, int(np.ceil(length[-1] / (STEP * patch[2]))) + 1) if length[-1] > patch[2] / 4 else 1
    targets = np.linspace(0, length[-1], count) if count > 1 else np.array([length[-1] / 2])
    centres = np.stack([np.interp(targets, length, line[:, axis]) for axis in range(3)], axis=1)
    room = np.asarray(grid.shape) - np.asarray(patch)
    starts = np.rint(centres - np.asarray(patch) / 2)
    starts = np.where(room > 0, np.clip(starts, 0, np.maximum(room, 0)), np.floor(room / 2))
    return [tuple(int(v) for v in start) for start in dict.fromkeys(map(tuple, starts))]


def _crop_around(scan: Volume, centreline_mm: FloatArray, reach_mm: FloatArray) -> Volume:
    """Cut the part of the scan within `reach_mm` of the line, along each axis."""
    line = scan.grid.to_voxels(centreline_mm)
    reach = reach_mm / scan.grid.spacing_mm
    low = np.maximum(np.floor(line.min(axis=0) - reach).astype(int), 0)
    high = np.minimum(np.ceil(line.max(axis=0) + reach).astype(int) + 1, scan.grid.shape)
    return scan.cropped(box_between(low, high))
