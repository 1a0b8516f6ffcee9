"""The structures of a label map from head to foot, each cropped, with its morphometry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cascade.labels import Kind, is_level, kind_of, rank
from cascade.measure.endplates import Morphometry, aligned, fit_morphometry
from cascade.measure.lattice import Mask
from cascade.measure.table import Cut
from cascade.volume import FloatArray, Grid, LabelMap, boxes_of, grown_box

#: Of the sacrum, the upper end plate is looked for in this much of what lies nearest to the lowest body, and this far to either side.
_SACRUM_TOP_MM, _SACRUM_SIDE_MM = 20.0, 16.0


@dataclass(frozen=True, eq=False)
class Structure:
    """One labelled structure, cropped."""

    name: str
    mask: Mask
    grid: Grid
    box: tuple[slice, slice, slice]
    centroid_mm: FloatArray
    cut: Cut

    @property
    def kind(self) -> Kind:
        """What sort of structure it is."""
        return kind_of(self.name)


def find_structures(labels: LabelMap, cut: frozenset[str]) -> list[Structure]:
    """Crop every level, from head to foot; those in `cut` are known to be cut."""
    boxes = boxes_of(labels.data)
    found = []
    for value, name in zip(labels.values, labels.structures, strict=True):
        if not is_level(name):
            continue
        tight = boxes[value]
        box = grown_box(tight, 1, labels.grid.shape)
        mask, grid = np.asarray(labels.data[box] == value), labels.grid.cropped(box)
        border: Cut = "end" if name in cut else _border(tight, labels.grid)
        found.append(Structure(name, mask, grid, box, grid.to_world(np.argwhere(mask).mean(axis=0)), border))
    return sorted(found, key=lambda structure: rank(structure.name))


def _border(box: tuple[slice, ...], grid: Grid) -> Cut:
    touched = {code in "LR" for s, n, code in zip(box, grid.shape, grid.axcodes, strict=True) if s.start == 0 or s.stop == n}
    return "end" if False in touched else "side" if touched else "no"


def fit_morphometries(structures: Sequence[Structure], axes: FloatArray) -> dict[str, Morphometry]:
    """Shapes of all structures that are not cut by an end of the field of view."""
    centres = [structure.centroid_mm for structure in structures if structure.kind != "sacrum"]
    tangents = _tangents(centres, axes[2])
    fits: dict[str, Morphometry] = {}
    for i, structure in enumerate(structures):
        if structure.cut == "end":
            continue
        if structure.kind == "sacrum":
            fit = _sacral_plate(structure, [other.centroid_mm for other in structures if other.kind == "body"] or centres, axes)
        else:
            fit = fit_morphometry(structure.mask, structure.grid, aligned(axes, tangents[i]))
        if fit is not None:
            fits[structure.name] = fit
    return fits


def _tangents(centres: Sequence[FloatArray], up: FloatArray) -> FloatArray:
    """Direction of the spine at each centre: central differences, at both ends continued with the same bend."""
    if len(centres) < 2:
        return np.tile(up, (len(centres), 1))
    tangents: FloatArray = -np.gradient(np.array(centres), axis=0, edge_order=2 if len(centres) > 2 else 1)
    return tangents


def _sacral_plate(sacrum: Structure, centres: Sequence[FloatArray], axes: FloatArray) -> Morphometry | None:
    """The upper end plate of S1, from the part of the sacrum that lies nearest to the lowest body.

    Not to the disc: where L5 has slipped, that lies in front of most of the end plate, and the rear corner would be missed.
    """
    if not centres:
        return None
    voxels = np.argwhere(sacrum.mask)
    offsets = sacrum.grid.to_world(voxels) - centres[-1]
    distance = np.linalg.norm(offsets, axis=1)
    near = (distance <= distance.min() + _SACRUM_TOP_MM) & (np.abs(offsets @ axes[0]) <= _SACRUM_SIDE_MM)
    top = np.zeros_like(sacrum.mask)
    top[tuple(voxels[near].T)] = True
    return fit_morphometry(top, sacrum.grid, aligned(axes, -offsets[near].mean(axis=0)), lower_face=False) if near.any() else None
