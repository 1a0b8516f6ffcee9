"""The vertebral canal: one tube along the column, which no name depends on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cascade.volume import Grid

#: Where the canal is not the most probable class, as in a narrow stenosis, it goes on through what is at least this probable.
POSSIBLE = 0.2
#: A tube that is smaller than this is none.
MIN_VOLUME_MM3 = 500.0
_CORNERS = np.ones((3, 3, 3))


def canal_tube(probability: NDArray[np.float32], winner: NDArray[np.uint8], channel: int, grid: Grid) -> NDArray[np.bool_]:
    """Find the canal on a grid that runs from foot to head along its third axis.

    The largest piece of what is canal, or background that may be canal, holds the tube. In rows where the canal is the most probable
    class somewhere, the tube is that; in rows where it is nowhere, between two that have it, it is what may be canal.

    Parameters
    ----------
    probability : array of float32, (x, y, z)
        Of the canal.
    winner : array of uint8, (x, y, z)
        The most probable class.
    channel : int
        The class of the canal.
    grid : Grid
        Of both.

    Returns
    -------
    array of bool, (x, y, z)
        In one piece (voxels that touch at a face, edge or corner); all False if there is no canal.
    """
    sure = winner == channel
    within = _largest(sure | ((winner == 0) & (probability >= POSSIBLE)), weight=sure)
    tube: NDArray[np.bool_] = sure & within
    rows = np.flatnonzero(tube.any(axis=(0, 1)))
    if not len(rows):
        return tube
    gaps = np.setdiff1d(np.arange(rows[0], rows[-1]), rows)
    tube[:, :, gaps] = within[:, :, gaps]
    tube = _largest(tube, weight=tube)
    return tube if tube.sum() * grid.voxel_mm3 >= MIN_VOLUME_MM3 else np.zeros_like(tube)


def _largest(mask: NDArray[np.bool_], weight: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The piece of `mask` that holds most of `weight`."""
    pieces, _ = ndimage.label(mask, structure=_CORNERS)
    sizes = np.bincount(pieces[weight & mask], minlength=1)
    sizes[0] = 0
    return np.asarray(mask & (pieces == sizes.argmax())) if sizes.any() else np.zeros_like(mask)
