"""Phantoms with known slips, bends and narrow places, voxelised, and what the solids say of them."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable

import numpy as np

from cascade.labels import CANAL, VERSE, is_disc
from cascade.measure import Measurement
from cascade.measure.bodies import USUAL, with_losses
from cascade.measure.endplates import aligned
from cascade.phantom import PhantomSpec, Solid, in_canal, solids, voxelise
from cascade.volume import FloatArray, Grid, LabelMap

#: Front to rear wall over the solid's full depth, at the waist.
WAIST = 0.926
#: Where heights are read, as parts of the depth from the rear wall.
PLACES = {"anterior_mm": 0.8, "middle_mm": 0.5, "posterior_mm": 0.2}
#: Half of what the canal's axis is straightened over, for its direction at a level.
REACH_MM = 6.0


def grid_of(spacing_mm: tuple[float, float, float], size_mm: tuple[float, ...] = (80, 112, 220)) -> Grid:
    """A grid around L1 to S1, shifted so that no face lies on voxel centres."""
    shape = [int(size / step) for size, step in zip(size_mm, spacing_mm, strict=True)]
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = np.array([0.3, -8.8, -4.1]) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid((shape[0], shape[1], shape[2]), affine)


def by_name(rows: Iterable[Measurement], *, kinds: Collection[str] = ("body", "disc", "sacrum")) -> dict[str, Measurement]:
    """Rows by their structure."""
    return {row.structure: row for row in rows if row.kind in kinds}


def bodies_of(spec: PhantomSpec) -> list[Solid]:
    """The bodies, S1 included, from head to foot."""
    return [solid for solid in solids(spec) if solid.name in VERSE and not is_disc(solid.name)]


def slips_mm(spec: PhantomSpec) -> dict[str, float]:
    """How far the rear lower rim of each body lies in front of the rear upper rim of the next, along the bisector of their end plates."""
    found = {}
    for above, below in itertools.pairwise(bodies_of(spec)):
        lower_rim = above.centre_mm - above.axes[1] * above.half_mm[1] * (1 - above.taper) - above.axes[2] * above.half_mm[2]
        upper_rim = below.centre_mm - below.axes[1] * below.half_mm[1] * (1 + below.taper) + below.axes[2] * below.half_mm[2]
        found[above.name] = float((lower_rim - upper_rim) @ aligned(np.eye(3), above.axes[2] + below.axes[2])[1])
    return found


def losses(spec: PhantomSpec) -> dict[str, Measurement]:
    """What each body has lost of its height, by the heights of the solids in place of those of masks."""
    rows = [Measurement(part.name, "body", **_heights_mm(part)) for part in bodies_of(spec) if part.name in USUAL]
    return {row.structure: row for row in with_losses(rows)}


def _heights_mm(part: Solid) -> dict[str, float]:
    front, rear = part.sunk
    shares = {name: 0.5 + WAIST * (place - 0.5) for name, place in PLACES.items()}
    return {name: 2 * part.half_mm[2] * (1 - rear - (front - rear) * share) for name, share in shares.items()}


def with_canal(spec: PhantomSpec, grid: Grid) -> LabelMap:
    """Bodies, discs and canal."""
    parts = list(solids(spec))
    column = voxelise((solid for solid in parts if solid.name in VERSE), grid)
    points = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    labels = np.where((column.data == 0) & in_canal(points, spec, parts), np.uint8(VERSE[CANAL]), column.data)
    return LabelMap(labels, grid, VERSE)


def canal_ap_mm(spec: PhantomSpec, name: str) -> float:
    """Canal from front to rear across its axis, in the middle plane of one solid, to 0.02 mm."""
    parts = list(solids(spec))
    solid = next(part for part in parts if part.name == name)
    axis = _canal_axis(parts)
    middle = int(np.abs((axis - solid.centre_mm) @ solid.axes[2]).argmin())
    reach = round(REACH_MM / 0.02)
    front = aligned(np.eye(3), axis[middle + reach] - axis[middle - reach])[1]
    along = np.arange(-20, 20, 0.02)
    return 0.02 * float(in_canal(axis[middle] + along[:, None] * front, spec, parts).sum())


def _canal_axis(parts: list[Solid]) -> FloatArray:
    centres = np.array(sorted((part.centre_mm for part in parts), key=lambda centre: float(centre[2])))
    z = np.arange(-150, 150, 0.02)
    x, y = (np.interp(z, centres[:, 2], centres[:, axis]) for axis in (0, 1))
    return np.stack([x, y - 26, z], axis=1)
