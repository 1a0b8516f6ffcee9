"""Masks that hold whole vertebrae: told from bodies, and cut to them along the canal.

TotalSpineSeg's, SPINEPS's, VerSe's and SPIDER's masks give arches and processes the label of their body; height, slip and depth of such
a mask would be those of nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cascade.labels import CANAL, SACRUM, is_disc
from cascade.measure.endplates import patient_axes
from cascade.volume import LabelMap

#: Rows of the canal are smoothed by this much before vertebrae are cut along it.
_BORDER_SMOOTHING_MM = 4.0
#: Rear walls touch the canal: voxels this little behind its smoothed wall still are body's. Of 0, 0.5 and 1 mm the heights are best kept
#: with 0.5 (``benchmarks/whole_vertebrae.py``).
_TOUCH_MM = 0.5
#: Bodies are up to 45 mm from front to rear; with a spinous process behind them they are 70 and more.
_LONGEST_BODY_MM = 55.0


def whole_vertebrae(labels: LabelMap) -> tuple[str, ...]:
    """Name the vertebrae that are longer from front to rear than any body, if they are at least half of all.

    A single one may be a mask that leaked; that many are masks of whole vertebrae.
    """
    front = patient_axes(labels.grid)[1]
    bodies = [name for name in labels.structures if not is_disc(name) and name not in (CANAL, SACRUM)]
    lengths = {name: float(np.ptp(labels.grid.to_world(np.argwhere(labels[name])) @ front)) for name in bodies}
    whole = tuple(name for name, length in lengths.items() if length > _LONGEST_BODY_MM)
    return whole if 2 * len(whole) >= len(bodies) else ()


def cut_bodies(labels: LabelMap) -> tuple[LabelMap, float, float] | None:
    """Leave of every vertebra what lies in front of the canal's front wall, row by row, and the piece of it that is largest.

    Rows without canal take the border of the nearest row that has one.

    Returns
    -------
    (labels, vertebrae_ml, bodies_ml) or None
        None where no canal is labelled.
    """
    if CANAL not in labels.structures:
        return None
    oriented = labels.reoriented("RAS")
    border = _front_wall(oriented) - _TOUCH_MM / oriented.grid.spacing_mm[1]
    in_front = np.arange(oriented.grid.shape[1])[None, :, None] > border[None, None, :]
    data = oriented.data.copy()
    before = after = 0
    for name in (n for n in labels.structures if not is_disc(n) and n != CANAL):
        whole = oriented[name]
        body = _largest(whole & in_front)
        data[whole & ~body] = 0
        before, after = before + int(whole.sum()), after + int(body.sum())
    ml = labels.grid.voxel_mm3 / 1000
    return LabelMap(data, oriented.grid, labels.scheme).reoriented(labels.grid.axcodes), before * ml, after * ml


def _front_wall(labels: LabelMap) -> NDArray[np.floating[Any]]:
    """Index of the canal's foremost voxel in each row at the canal's middle, smoothed."""
    canal = labels[CANAL]
    rows = np.flatnonzero(canal.any(axis=(0, 1)))
    wall = []
    for z in rows:
        across = canal[:, :, z]
        middle = round(float(np.average(np.arange(len(across)), weights=across.sum(axis=1))))
        column = across[middle] if across[middle].any() else across.any(axis=0)
        wall.append(float(np.flatnonzero(column)[-1]))
    every = np.interp(np.arange(labels.grid.shape[2]), rows, wall)
    smooth: NDArray[np.floating[Any]] = ndimage.gaussian_filter1d(every, _BORDER_SMOOTHING_MM / labels.grid.spacing_mm[2], mode="nearest")
    return smooth


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest piece; voxels that touch at a face, edge or corner are one."""
    pieces, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    if count < 2:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray(pieces == sizes.argmax())
