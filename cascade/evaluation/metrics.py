"""How well two segmentations agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class SurfaceDistances:
    """How far two surfaces lie apart, in mm; NaN if one of them is empty.

    Parameters
    ----------
    mean_mm : float
        Average symmetric surface distance.
    percentile95_mm : float
        95th percentile of the Hausdorff distance.
    """

    mean_mm: float
    percentile95_mm: float


def dice(prediction: Mask, reference: Mask) -> float:
    """Dice coefficient: twice the overlap over the sum of both sizes; NaN if both are empty.

    >>> dice(np.array([True, True, False]), np.array([True, False, False]))
    0.6666666666666666
    """
    overlap = int(np.logical_and(prediction, reference).sum())
    return dice_of_sizes(overlap, int(prediction.sum()), int(reference.sum()))


def dice_of_sizes(overlap: int, prediction: int, reference: int) -> float:
    """Dice coefficient from the number of voxels in both, in the prediction and in the reference; NaN if both are empty.

    >>> dice_of_sizes(1, 2, 1)
    0.6666666666666666
    """
    total = prediction + reference
    return 2.0 * overlap / total if total else float("nan")


def volume_error_percent(prediction_ml: float, reference_ml: float) -> float:
    """Signed error of the volume in percent of the reference: positive where too much was segmented; NaN without a reference.

    >>> volume_error_percent(45.0, 50.0)
    -10.0
    """
    return 100.0 * (prediction_ml - reference_ml) / reference_ml if reference_ml else float("nan")


def surface_distances(prediction: Mask, reference: Mask, spacing_mm: Sequence[float]) -> SurfaceDistances:
    """Measure the distances between the surfaces of two masks.

    The surface of a mask are its voxels with a face neighbour outside the mask; beyond the border of the array is outside.
    From the centre of every surface voxel of one mask the distance to the nearest surface voxel of the other is taken, in mm,
    in both directions. The *average symmetric surface distance* is the mean of all of these together (Heimann et al. 2009,
    IEEE Trans Med Imaging 28(8):1251-1265). The *95 % Hausdorff distance* is the larger of the two directions' 95th
    percentiles (ranked distances: Huttenlocher et al. 1993, IEEE Trans Pattern Anal Mach Intell 15(9):850-863), interpolated
    linearly between neighbouring ranks. Both are what MONAI computes without its subvoxel option.

    Parameters
    ----------
    prediction, reference : (x, y, z) array of bool
        On one grid with perpendicular axes.
    spacing_mm : (3,) sequence of float
        Along the same axes.

    Returns
    -------
    SurfaceDistances

    Examples
    --------
    >>> slab = np.zeros((9, 9, 9), dtype=bool)
    >>> slab[:, :, 2] = True
    >>> surface_distances(np.roll(slab, 2, axis=2), slab, spacing_mm=(1, 1, 4))
    SurfaceDistances(mean_mm=8.0, percentile95_mm=8.0)
    """
    if not prediction.any() or not reference.any():
        return SurfaceDistances(float("nan"), float("nan"))
    box = _bounding_box(prediction | reference)
    surfaces = [_surface(prediction[box]), _surface(reference[box])]
    there = _distances_mm(surfaces[0], surfaces[1], spacing_mm)
    back = _distances_mm(surfaces[1], surfaces[0], spacing_mm)
    percentile = max(np.percentile(there, 95), np.percentile(back, 95))
    return SurfaceDistances(float(np.concatenate([there, back]).mean()), float(percentile))


def _bounding_box(mask: Mask) -> tuple[slice, ...]:
    box: tuple[slice, ...] = ndimage.find_objects(mask.astype(np.uint8))[0]
    return box


def _surface(mask: Mask) -> Mask:
    surface: Mask = mask & ~ndimage.binary_erosion(mask)
    return surface


def _distances_mm(surface: Mask, other: Mask, spacing_mm: Sequence[float]) -> NDArray[np.float64]:
    """Distance from each voxel of `surface` to the nearest one of `other`."""
    to_other: NDArray[np.float64] = ndimage.distance_transform_edt(~other, sampling=spacing_mm)
    return to_other[surface]
