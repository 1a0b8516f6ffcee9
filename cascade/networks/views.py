"""A scan as it might have been taken again: a little turned, shifted, stretched and noisier, its borders drawn a little elsewhere.

What is measured again on such views tells how far a number rests on chance. Views are the same for the same number, whoever asks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from cascade.volume import Grid, Volume

#: Standard deviations of the turn about the axes right, front and up: patients nod more than they roll, and thick slices bear little else.
TURN_DEG = (3.0, 1.0, 1.0)
#: Voxels are at most this part of their size off, and larger.
SHIFT, STRETCH = 0.3, 0.1
#: Standard deviation of the noise, as a part of the range between the scan's first and last percentile.
NOISE = 0.02
#: Standard deviation of what is added to a class's log odds: a border at probability 0.5 moves to where it was 0.33 or 0.67.
LOG_ODDS = 0.7


def view(scan: Volume, number: int) -> Volume:
    """Sample a scan on another grid around the same centre, and add noise.

    Parameters
    ----------
    scan : Volume
    number : int
        Which view, from 0.
    """
    chance = np.random.default_rng(number)
    grid = _moved(scan.grid, chance)
    low = float(scan.data.min())
    seen = Volume(scan.data - np.float32(low), scan.grid).resampled(grid).data
    width = float(np.ptp(np.percentile(scan.data, [1, 99])))
    noise = chance.standard_normal(seen.shape, dtype=np.float32) * np.float32(NOISE * width)
    return Volume(np.maximum(seen + noise, np.float32(0)) + np.float32(low), grid)


def less_sure(probabilities: NDArray[np.float32], number: int) -> NDArray[np.float32]:
    """Shift the log odds of every class, so that borders move as far as the probabilities leave them uncertain.

    Parameters
    ----------
    probabilities : array of float32, (classes, x, y, z)
    number : int
        Which view, from 0.
    """
    odds = np.exp(np.random.default_rng([number, 1]).normal(0, LOG_ODDS, len(probabilities))).astype(np.float32)
    shifted = probabilities * odds[:, None, None, None]
    shifted /= shifted.sum(axis=0)
    return shifted


def _moved(grid: Grid, chance: np.random.Generator) -> Grid:
    """Turn a grid about its centre, shift it by a part of a voxel and make its voxels larger."""
    coarser = grid.with_spacing([step_mm * (1 + STRETCH * chance.random()) for step_mm in grid.spacing_mm])
    middle = grid.to_world((np.asarray(grid.shape) - 1) / 2)
    turn = Rotation.from_rotvec(np.deg2rad(chance.normal(0, TURN_DEG))).as_matrix()
    affine = coarser.vox2world.copy()
    affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] = middle + turn @ (affine[:3, 3] - middle) + affine[:3, :3] @ chance.uniform(-SHIFT, SHIFT, 3)
    return Grid(coarser.shape, affine)
