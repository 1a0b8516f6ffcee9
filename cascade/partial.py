"""Partly labelled scans: for every voxel, the classes that its label leaves possible.

No public data set labels everything that is visible. A target is therefore not one class a voxel but a bit mask of
allowed classes: ``1 << c`` where the label says class ``c``, several bits where it leaves a choice, 0 where it says
nothing at all (outside the scan). What is possible follows from the labels alone: by class (a scan without any
disc label may show discs along the spine), by height (above the highest and below the lowest labelled structure the spine
goes on) and by name (L2 and L4 without L3: there is one, and it is not labelled).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cascade.centreline import SpineLine
from cascade.errors import InputError
from cascade.labels import BODY, CANAL, SACRUM, in_order, is_disc, kind_of, rank, skipped
from cascade.volume import FloatArray, Grid, LabelMap, resample_array

#: Radius around the line through the structures that holds bodies and discs, with room to spare; it widens by
#: 1 mm a mm beyond the ends, where the line is only a guess.
SPINE_RADIUS_MM = 35.0
_COARSE_MM = 4.0
#: The canal runs behind the line: at least and at most this far from it, and no farther to the side.
_CANAL_NEAR_MM, _CANAL_FAR_MM, _CANAL_ASIDE_MM = 5.0, 55.0, 30.0
#: So far from where its labels end the canal is no longer known: they may end in the middle of it.
_CANAL_END_MM = 6.0


@dataclass(frozen=True)
class SpineRegions:
    """Where in a labelled scan the spine is labelled, and where it goes on unlabelled.

    Parameters
    ----------
    along, above, below : arrays of bool
        Near the spine between the outermost labelled structures, beyond the upper one, and beyond the lower one.
    structures : tuple of str
        The labelled structures, cranial to caudal.
    no_body, no_disc : arrays of bool, or None
        Near the spine, around the place of bodies (discs) that are passed over: labelled are their neighbours, not they.
    canal : array of bool, or None
        Behind the spine, where the canal may run unlabelled.
    """

    along: NDArray[np.bool_]
    above: NDArray[np.bool_]
    below: NDArray[np.bool_]
    structures: tuple[str, ...]
    no_body: NDArray[np.bool_] | None = None
    no_disc: NDArray[np.bool_] | None = None
    canal: NDArray[np.bool_] | None = None

    @property
    def has_bodies(self) -> bool:
        """Whether vertebral bodies are labelled."""
        return any(kind_of(name) == BODY for name in self.structures)

    @property
    def has_discs(self) -> bool:
        """Whether discs are labelled."""
        return any(is_disc(name) for name in self.structures)

    @property
    def reaches_sacrum(self) -> bool:
        """Whether the lowest labelled structure is the last above the sacrum, or the sacrum itself."""
        return self.structures[-1] in ("L5", "L6", "L5-S1", "L6-S1", SACRUM)

    @property
    def has_lowest_disc(self) -> bool:
        """Whether the disc above the sacrum is labelled."""
        return any(name in ("L5-S1", "L6-S1") for name in self.structures)


def spine_regions(labels: LabelMap) -> SpineRegions:
    """Find the labelled part of the spine and its continuations.

    Raises
    ------
    InputError
        Fewer than two structures are labelled.
    """
    structures = in_order(labels.structures)
    if len(structures) < 2:
        raise InputError(f"expected at least two labelled vertebrae or discs, found {structures or 'none'}")
    voxels_mm = [labels.grid.to_world(np.argwhere(labels[name])) for name in structures]
    centres_mm = np.array([points.mean(axis=0) for points in voxels_mm])
    line = SpineLine(centres_mm, reach=1)
    top = _inner_end(line.nearest(voxels_mm[0])[0], upward=True)
    bottom = _inner_end(line.nearest(voxels_mm[-1])[0], upward=False)
    along, radius, behind, aside = _line_coordinates(labels.grid, line)
    beyond = np.maximum(0.0, np.maximum(top - along, along - bottom))
    near = radius < SPINE_RADIUS_MM + beyond
    within = near & (beyond == 0)
    middles = dict(zip(structures, map(float, line.nearest(centres_mm)[0]), strict=True))
    missing = skipped(structures)
    return SpineRegions(
        within,
        near & (along < top),
        near & (along > bottom),
        tuple(structures),
        _around([name for name in missing if not is_disc(name)], middles, along, within),
        _around([name for name in missing if is_disc(name)], middles, along, within),
        _unlabelled_canal(labels, along, line)
        & (behind > _CANAL_NEAR_MM)
        & (radius < _CANAL_FAR_MM + beyond)
        & (aside < _CANAL_ASIDE_MM + beyond),
    )


def _unlabelled_canal(labels: LabelMap, along: FloatArray, line: SpineLine) -> NDArray[np.bool_]:
    """At which heights the canal is not labelled: everywhere, or beyond the ends of its labels, unless these are those of the scan."""
    if CANAL not in labels.structures:
        return np.ones_like(along, dtype=bool)
    voxels = np.argwhere(labels[CANAL])
    heights, rows = line.nearest(labels.grid.to_world(voxels))[0], voxels[:, 2]
    top = -np.inf if rows.max() >= labels.grid.shape[2] - 2 else heights.min() + _CANAL_END_MM
    bottom = np.inf if rows.min() <= 1 else heights.max() - _CANAL_END_MM
    return np.asarray((along < top) | (along > bottom))


def _around(missing: list[str], middles: dict[str, float], along: FloatArray, within: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Where the missing structures must lie: between the middles of their labelled neighbours. None if nothing is missing."""
    if not missing:
        return None
    result = np.zeros_like(within)
    for name in missing:
        upper = max((m for other, m in middles.items() if rank(other) < rank(name)))
        lower = min((m for other, m in middles.items() if rank(other) > rank(name)))
        result |= within & (along >= upper) & (along <= lower)
    return result


def _inner_end(positions: FloatArray, upward: bool) -> float:
    """Where the outermost structure starts to hide its neighbour: 60 % of the way from its middle to its end."""
    low, middle, high = np.percentile(positions, (5, 50, 95))
    return float(middle + 0.6 * ((low if upward else high) - middle))


def _line_coordinates(grid: Grid, line: SpineLine) -> tuple[FloatArray, ...]:
    """For every voxel of `grid` (computed coarsely), in mm: position along the line, distance from it, how far behind it, how far aside."""
    coarse = grid.with_spacing([max(s, _COARSE_MM) for s in grid.spacing_mm])
    world_mm = coarse.to_world(np.indices(coarse.shape).reshape(3, -1).T)
    position, nearest_mm = line.nearest(world_mm)
    offset_mm = nearest_mm - world_mm
    values = position, np.linalg.norm(offset_mm, axis=1), offset_mm[:, 1], np.abs(offset_mm[:, 0])
    return tuple(resample_array(value.reshape(coarse.shape), coarse, grid, order=1) for value in values)
