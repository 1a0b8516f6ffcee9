"""The components of a target that are of a plausible size for what they are called."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cascade.volume import Grid

#: Plausible sizes in ml by class name; a cut structure may be smaller.
PLAUSIBLE_ML = {"body": (5.0, 80.0), "disc": (1.0, 35.0), "sacrum": (3.0, 60.0), "canal": (3.0, 120.0)}
#: In cm2, in a single slice.
PLAUSIBLE_CM2 = {"body": (2.5, 20.0), "disc": (0.4, 9.0), "sacrum": (2.0, 25.0), "canal": (4.0, 80.0)}
#: What a spine is made of, one component each; the canal is not.
PARTS = ("body", "disc", "sacrum")


def certain_components(allowed: NDArray[np.uint8], classes: Sequence[str], grid: Grid) -> dict[str, list[NDArray[np.int64]]]:
    """The voxels, (n, 3), of each body, disc and sacrum of a plausible size of which a target is certain, by class.

    Parameters
    ----------
    allowed : array of uint8, (x, y, z)
        Bit masks of allowed classes.
    classes : sequence of str
        Of the network, background first.
    grid : Grid
    """
    return {kind: _voxels(allowed == 1 << classes.index(kind), kind, grid) for kind in PARTS}


def _voxels(mask: NDArray[np.bool_], kind: str, grid: Grid) -> list[NDArray[np.int64]]:
    components = plausible_components(mask, kind, grid)
    boxes = enumerate(ndimage.find_objects(components), start=1)
    return [np.argwhere(components[box] == value) + [side.start for side in box] for value, box in boxes if box]


def plausible_components(mask: NDArray[np.bool_], kind: str, grid: Grid) -> NDArray[np.int32]:
    """Number the components of a mask, from 1; those of no plausible size are 0, and their numbers are left out."""
    components, _ = ndimage.label(mask)
    limits, unit = _plausible_sizes(grid)
    sizes = np.bincount(components.ravel()) * unit
    keep = (sizes >= limits[kind][0]) & (sizes <= limits[kind][1])
    keep[0] = False
    return np.where(keep[components], components, 0)


def _plausible_sizes(grid: Grid) -> tuple[dict[str, tuple[float, float]], float]:
    """Limits of a structure's size in ml, or in cm2 in a single slice, and the size of a voxel."""
    if min(grid.shape) == 1:
        return PLAUSIBLE_CM2, grid.voxel_mm3 / grid.spacing_mm[int(np.argmin(grid.shape))] / 100
    return PLAUSIBLE_ML, grid.voxel_mm3 / 1000
