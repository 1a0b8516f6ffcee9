"""Size and place of one body or disc."""

from __future__ import annotations

import dataclasses

import numpy as np

from cascade.measure.endplates import Shape, tilt_deg
from cascade.measure.structures import Structure
from cascade.measure.table import Measurement
from cascade.volume import FloatArray


def size_row(structure: Structure, shape: Shape | None, axes: FloatArray) -> Measurement:
    """Tell where a structure is and how large."""
    if structure.cut == "end":
        return Measurement(structure.name, structure.kind, "end")
    x, y, z = (float(value) for value in structure.centroid_mm)
    whole = structure.cut == "no"
    volume_ml = int(structure.mask.sum()) * structure.grid.voxel_mm3 / 1000 if whole else None
    row = Measurement(structure.name, structure.kind, structure.cut, x, y, z, volume_ml)
    if shape is None or structure.kind == "sacrum":
        return row
    anterior, middle, posterior = (_number(height) for height in shape.heights_mm)
    return dataclasses.replace(
        row,
        anterior_mm=anterior,
        middle_mm=middle,
        posterior_mm=posterior,
        depth_mm=_number(shape.depth_mm),
        width_mm=_number(shape.width_mm) if whole else None,
        wedge_deg=tilt_deg(shape.lower, axes) - tilt_deg(shape.upper, axes),
    )


def canal_row(canal: Structure) -> Measurement:
    """Tell where the canal is and what of it is in view: it goes on beyond nearly every scan."""
    x, y, z = (float(value) for value in canal.centroid_mm)
    return Measurement(canal.name, "canal", canal.cut, x, y, z, int(canal.mask.sum()) * canal.grid.voxel_mm3 / 1000)


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
