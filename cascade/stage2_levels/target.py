"""What stage 2 learns: background, vertebral body, disc, sacrum, canal; from scans that label only some of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cascade.labels import BODY, CANAL, DISC, SACRUM, Kind, kind_of
from cascade.partial import SpineRegions, spine_regions
from cascade.points import NamedPoints, possible_at
from cascade.volume import Grid, LabelMap

CLASSES = ("background", "body", "disc", "sacrum", "canal")
_BACKGROUND, _BODY, _DISC, _SACRUM, _CANAL = (np.uint8(1 << i) for i in range(5))


def target(labels: LabelMap, points: NamedPoints | None = None) -> NDArray[np.uint8]:
    """Bit masks of allowed classes for a labelled scan, bit i for ``CLASSES[i]``.

    Far from the spine everything is background. Near it, an unlabelled voxel may be whatever this scan does not
    label there: any disc where no disc is labelled, a body or disc whose name is passed over between its neighbours, any
    body or disc above the highest label; below the lowest one the lumbosacral disc unless it is labelled,
    the sacrum, and more vertebrae only if the labels end before L5. The lowest presacral body is labelled in
    every data set that reaches it, so what lies below it is never a body. Behind the spine, where the canal is not
    labelled, an unlabelled voxel may be canal.

    Points say which classes a voxel may have by its height (see `cascade.points`). Where labels say something else, nothing
    is known.
    """
    if points and not labels.structures:
        return _from_points(points, labels.grid)
    allowed = _from_labels(labels)
    return allowed & _from_points(points, labels.grid) if points else allowed


def _from_points(points: NamedPoints, grid: Grid) -> NDArray[np.uint8]:
    possible = possible_at(points, grid)
    allowed = np.full(grid.shape, _BACKGROUND)
    allowed[possible["body"]] |= _BODY
    allowed[possible["disc"]] |= _DISC
    allowed[possible["sacrum"]] |= _SACRUM
    allowed[possible["canal"]] |= _CANAL
    return allowed


def _from_labels(labels: LabelMap) -> NDArray[np.uint8]:
    regions = spine_regions(labels)
    allowed = np.full(labels.grid.shape, _BACKGROUND)
    allowed[regions.along] |= _unlabelled(regions)
    allowed[regions.above] |= _BODY | _DISC
    allowed[regions.below] |= _continuation(regions)
    if regions.no_body is not None:
        allowed[regions.no_body] |= _BODY
    if regions.no_disc is not None:
        allowed[regions.no_disc] |= _DISC
    if regions.canal is not None:
        allowed[regions.canal] |= _CANAL
    for structure in labels.structures:
        allowed[labels[structure]] = _class_bit(structure)
    return allowed


def _unlabelled(regions: SpineRegions) -> np.uint8:
    return (np.uint8(0) if regions.has_bodies else _BODY) | (np.uint8(0) if regions.has_discs else _DISC)


def _continuation(regions: SpineRegions) -> np.uint8:
    if not regions.reaches_sacrum:
        return _BODY | _DISC | _SACRUM
    sacrum = np.uint8(0) if SACRUM in regions.structures else _SACRUM
    return sacrum | (np.uint8(0) if regions.has_lowest_disc else _DISC)


def _class_bit(structure: str) -> np.uint8:
    classes: dict[Kind, np.uint8] = {BODY: _BODY, DISC: _DISC, SACRUM: _SACRUM, CANAL: _CANAL}
    return classes.get(kind_of(structure), _BACKGROUND)
