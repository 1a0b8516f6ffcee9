"""What stage 1 learns: one tag for the whole column, vertebral bodies and the discs between them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cascade.errors import InputError
from cascade.labels import is_level
from cascade.partial import spine_regions
from cascade.points import NamedPoints
from cascade.volume import Grid, LabelMap, resample_array

#: Gaps between labelled bodies up to twice this wide are part of the column.
CLOSING_MM = 12.0
_FINE_MM = 1.5
BACKGROUND, COLUMN = np.uint8(1), np.uint8(2)


def target(labels: LabelMap, points: NamedPoints | None = None) -> NDArray[np.uint8]:
    """Bit masks of allowed classes (1 background, 2 column) for a labelled scan.

    Beyond the outermost labelled structures, and where a body between others is not labelled, the column goes on unlabelled:
    there both classes are allowed. Points do not add to it.

    Raises
    ------
    InputError
        No vertebral bodies are labelled: the column cannot be known from discs or points alone.
    """
    if points and not labels.structures:
        raise InputError("expected labelled vertebral bodies; points alone do not show the column")
    regions = spine_regions(labels)
    if not regions.has_bodies:
        raise InputError("expected labelled vertebral bodies; discs alone do not show the column")
    inside = column(labels)
    unknown = (regions.above | regions.below) & ~inside
    if regions.no_body is not None:
        unknown |= regions.no_body & ~inside
    return np.where(inside, COLUMN, np.where(unknown, BACKGROUND | COLUMN, BACKGROUND)).astype(np.uint8)


def column(labels: LabelMap) -> NDArray[np.bool_]:
    """Join labelled bodies and discs to one column by closing the gaps with a ball of `CLOSING_MM`.

    Returns
    -------
    array of bool, shape = labels.grid.shape
    """
    bone = bodies_and_discs(labels)
    fine = _padded(labels.grid.with_spacing([min(s, _FINE_MM) for s in labels.grid.spacing_mm]), CLOSING_MM)
    dense = resample_array(bone.astype(np.float32), labels.grid, fine, order=1) > 0.5
    grown = ndimage.distance_transform_edt(~dense, sampling=fine.spacing_mm) <= CLOSING_MM
    closed = ndimage.distance_transform_edt(grown, sampling=fine.spacing_mm) > CLOSING_MM
    return np.asarray((resample_array(closed.astype(np.float32), fine, labels.grid, order=1) > 0.5) | bone)


def bodies_and_discs(labels: LabelMap) -> NDArray[np.bool_]:
    """All labelled levels, without what runs along them (the canal): bool, shape = labels.grid.shape."""
    return np.isin(labels.data, [value for value, name in zip(labels.values, labels.structures, strict=True) if is_level(name)])


def _padded(grid: Grid, margin_mm: float) -> Grid:
    margin = np.ceil(margin_mm / np.asarray(grid.spacing_mm)).astype(int) + 1
    x, y, z = (slice(-int(m), n + int(m)) for m, n in zip(margin, grid.shape, strict=True))
    return grid.cropped((x, y, z))
