"""A scan on the coarser grid of a network: smoothed and interpolated in one, in little memory.

Both are sums along one axis after the other, so they are products with matrices: of the large scan only what the grid keeps is computed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cascade.volume import FloatArray, Grid, Volume

#: Slices at a time; in memory, neighbouring slices are often neighbours.
_SLAB = 16


def sampled(scan: Volume, grid: Grid) -> Volume:
    """`Volume.resampled`, but for rounding, onto a grid whose axes run along the scan's."""
    sigma = scan.smoothing_for(grid)
    if not sigma.any():
        return scan.resampled(grid)
    between = np.linalg.inv(scan.grid.vox2world) @ grid.vox2world
    axes = zip(scan.grid.shape, grid.shape, sigma, np.diag(between), between[:3, 3], strict=False)
    x, y, z = (_matrix(length, offset + step * np.arange(count), width) for length, count, width, step, offset in axes)
    slices = np.empty((len(scan.data), len(y), len(z)), dtype=np.float32)
    for first in range(0, len(slices), _SLAB):
        part = slice(first, first + _SLAB)
        slices[part] = y @ np.ascontiguousarray(scan.data[part]) @ z.T
    return Volume((x @ slices.reshape(len(slices), -1)).reshape(grid.shape), grid)


def _matrix(length: int, places: FloatArray, sigma: float) -> NDArray[np.float32]:
    """What makes samples at `places` of a line of voxels: a Gaussian, then linear interpolation.

    As in `cascade.volume.resample_array` the first and last value hold up to one voxel beyond them, and then there is 0.
    """
    within = np.clip(places, 0, length - 1)
    voxels = np.arange(length)
    linear = np.maximum(0, 1 - np.abs(within[:, None] - voxels))
    linear[(places < -1) | (places > length)] = 0
    smooth = ndimage.gaussian_filter1d(np.eye(length), sigma, axis=0, mode="nearest") if sigma else np.eye(length)
    return np.asarray(linear @ smooth, dtype=np.float32)
