"""Lines to draw over a scan that show where slips and the canal were measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cascade.measure.alignment import next_bodies
from cascade.measure.canal import Canal
from cascade.measure.endplates import Morphometry, aligned
from cascade.measure.fitted import Fitted
from cascade.measure.table import Measurement
from cascade.volume import FloatArray


@dataclass(frozen=True, eq=False)
class Mark:
    """One measured length.

    Parameters
    ----------
    kind : {"slip", "canal"}
    structure : str
        Whose it is; of a slip the upper body.
    ends_mm : (2, 3) array
        RAS+.
    text : str
        What to write beside it; empty for nothing.
    """

    kind: Literal["slip", "canal"]
    structure: str
    ends_mm: FloatArray
    text: str = ""


def find_marks(fitted: Fitted, rows: Sequence[Measurement]) -> tuple[Mark, ...]:
    """Slips that have a grade, the canal at each disc, and its narrowest place.

    Parameters
    ----------
    fitted : Fitted
    rows : sequence of Measurement
        Measured on it.
    """
    found = list(_slips(rows, fitted.shapes, fitted.axes))
    if fitted.canal is not None:
        centres = {structure.name: structure.centroid_mm for structure in fitted.structures}
        found += _across(rows, fitted.canal, fitted.shapes, centres)
    return tuple(found)


def _slips(rows: Sequence[Measurement], fits: Mapping[str, Morphometry], axes: FloatArray) -> Iterator[Mark]:
    below = next_bodies(rows)
    for row in rows:
        if not row.slip_grade or row.slip_mm is None or row.slip_percent is None:
            continue
        upper, lower = fits[row.structure], fits[below[row.structure]]
        front = aligned(axes, upper.lower + lower.upper)[1]
        corner = lower.corners_mm[0, 0]
        text = f"{row.slip_mm:+.1f} mm, {abs(row.slip_percent):.0f} %".replace("-", "\N{MINUS SIGN}")
        yield Mark("slip", row.structure, np.stack([corner, corner + row.slip_mm * front]), text)


def _across(
    rows: Sequence[Measurement], canal: Canal, fits: Mapping[str, Morphometry], centres: Mapping[str, FloatArray]
) -> Iterator[Mark]:
    for row in rows:
        if row.kind == "disc" and row.canal_ap_mm is not None:
            index = canal.nearest(centres[row.structure], fits[row.structure].axes[2])
            if index is not None:
                yield Mark("canal", row.structure, canal.walls_mm[index])
        if row.kind == "canal" and row.canal_ap_mm is not None:
            place = np.array([row.x_mm, row.y_mm, row.z_mm], dtype=float)
            index = int(np.linalg.norm(canal.places_mm - place, axis=1).argmin())
            yield Mark("canal", row.structure, canal.walls_mm[index], f"{row.canal_ap_mm:.1f} mm")
