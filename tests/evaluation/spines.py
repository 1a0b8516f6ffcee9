"""Little spines of boxes with known answers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from cascade.labels import VERSE, LabelScheme
from cascade.volume import Grid, LabelMap, label_dtype

#: Anisotropic and oblique, its shape three different primes; the third axis runs to the head.
AFFINE = np.array([[3.8, 0.1, 0.0, -20.0], [-0.4, 1.1, 0.1, 5.0], [0.0, -0.1, 0.9, -60.0], [0.0, 0.0, 0.0, 1.0]])
GRID = Grid((7, 13, 61), AFFINE)
HEIGHT, GAP = 5, 2


def stack(structures: Iterable[str], *, scheme: LabelScheme = VERSE, bottom: int = 3, names: Iterable[str] | None = None) -> LabelMap:
    """Boxes of 5 x 9 x 5 voxels, two apart, foot to head from layer `bottom` on; `names` renames them, an empty name leaves one out."""
    data = np.zeros(GRID.shape, dtype=label_dtype(scheme))
    places = list(structures)
    for n, name in enumerate(names or places):
        low = bottom + n * (HEIGHT + GAP)
        if name:
            data[1:6, 2:11, max(low, 0) : low + HEIGHT] = scheme[name]
    return LabelMap(data, GRID, scheme)


def edited(labels: LabelMap, box: tuple[slice, slice, slice], structure: str) -> LabelMap:
    """The same labels with another structure in a box; an empty name clears it."""
    data = labels.data.copy()
    data[box] = labels.scheme[structure] if structure else 0
    return LabelMap(data, labels.grid, labels.scheme)
