"""Size and place of a body or disc, and the height that a body has lost.

- *Height loss*: per cent by which the anterior, middle or posterior height of a body lies below what its neighbours (up to two on
  either side) let expect: the median of their heights, each times the usual ratio of both levels (`USUAL`). *Grade*: from the
  largest of the three as Genant et al. 1993 (J Bone Miner Res 8:1137-1148) grade by eye: 20 to 25 % mild (1), to 40 % moderate (2),
  beyond severe (3).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from cascade.measure.endplates import Morphometry, tilt_deg
from cascade.measure.structures import Structure
from cascade.measure.table import Measurement
from cascade.volume import FloatArray

_HEIGHTS = ("anterior_mm", "middle_mm", "posterior_mm")
#: Anterior, middle and posterior height over the mean of all three from L1 to L4 of the same spine: medians of the training set's
#: reference labels; ``python benchmarks/usual_heights.py CASES`` prints them.
USUAL: dict[str, tuple[float, float, float]] = {
    "T11": (0.834, 0.830, 0.891),
    "T12": (0.915, 0.904, 0.941),
    "L1": (1.003, 0.964, 1.003),
    "L2": (1.041, 0.971, 1.015),
    "L3": (1.066, 0.965, 0.999),
    "L4": (1.060, 0.961, 0.976),
    "L5": (1.085, 0.942, 0.904),
}
#: Neighbours on either side that a body is compared with, and how many it takes in all.
_NEIGHBOURS, _MIN_NEIGHBOURS = 2, 2
#: Least loss in per cent of grades 1, 2 and 3.
_GRADES = (20.0, 25.0, 40.0)


def size_row(structure: Structure, fit: Morphometry | None, axes: FloatArray) -> Measurement:
    """Tell where a structure is and how large."""
    if structure.cut == "end":
        return Measurement(structure.name, structure.kind, "end")
    x, y, z = (float(value) for value in structure.centroid_mm)
    whole = structure.cut == "no"
    volume_ml = int(structure.mask.sum()) * structure.grid.voxel_mm3 / 1000 if whole else None
    row = Measurement(structure.name, structure.kind, structure.cut, x, y, z, volume_ml)
    if fit is None or structure.kind == "sacrum":
        return row
    anterior, middle, posterior = (_number(height) for height in fit.heights_mm)
    return dataclasses.replace(
        row,
        anterior_mm=anterior,
        middle_mm=middle,
        posterior_mm=posterior,
        depth_mm=_number(fit.depth_mm),
        width_mm=_number(fit.width_mm) if whole else None,
        wedge_deg=tilt_deg(fit.lower, axes) - tilt_deg(fit.upper, axes) if fit.agrees else None,
    )


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None


def with_losses(rows: Sequence[Measurement]) -> list[Measurement]:
    """Add to every body the height it has lost."""
    bodies = [row for row in rows if row.structure in USUAL and all(getattr(row, name) is not None for name in _HEIGHTS)]
    found = {row.structure: _losses(i, bodies) for i, row in enumerate(bodies)}
    return [_with_loss(row, found.get(row.structure)) for row in rows]


def loss_grade(loss_percent: float) -> int:
    """Genant's grade of a loss of height.

    >>> [loss_grade(loss) for loss in (12, 22, 30, 45)]
    [0, 1, 2, 3]
    """
    return sum(loss_percent >= least for least in _GRADES)


def _losses(index: int, bodies: Sequence[Measurement]) -> FloatArray | None:
    """Anterior, middle and posterior loss of one body in per cent; None with too few neighbours."""
    near = [*bodies[max(index - _NEIGHBOURS, 0) : index], *bodies[index + 1 : index + 1 + _NEIGHBOURS]]
    if len(near) < _MIN_NEIGHBOURS:
        return None
    own = _heights_mm(bodies[index])
    scaled = [_heights_mm(row) / USUAL[row.structure] * USUAL[bodies[index].structure] for row in near]
    losses: FloatArray = 100 * (1 - own / np.median(scaled, axis=0))
    return losses


def _heights_mm(row: Measurement) -> FloatArray:
    return np.array([getattr(row, name) for name in _HEIGHTS])


def _with_loss(row: Measurement, losses: FloatArray | None) -> Measurement:
    if losses is None:
        return row
    anterior, middle, posterior = map(float, losses)
    return dataclasses.replace(
        row,
        anterior_loss_percent=anterior,
        middle_loss_percent=middle,
        posterior_loss_percent=posterior,
        loss_grade=loss_grade(float(losses.max())),
    )
