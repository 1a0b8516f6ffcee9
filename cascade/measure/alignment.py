"""Angles between levels."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from cascade.labels import SACRUM
from cascade.measure.endplates import Shape, tilt_deg
from cascade.measure.table import Measurement
from cascade.volume import FloatArray

#: Centres of neighbouring bodies are closer than this; with a body missing between them they are about 75 mm apart.
_NEXT_BODY_MM = 58.0


def with_segments(rows: Sequence[Measurement], shapes: Mapping[str, Shape], axes: FloatArray) -> list[Measurement]:
    """Add to every body the angle between its upper end plate and that of the next one below."""
    bodies = [row for row in rows if row.kind in ("body", "sacrum")]
    below = {a.structure: b.structure for a, b in itertools.pairwise(bodies) if _adjacent(a, b)}
    return [
        dataclasses.replace(row, segment_deg=tilt_deg(shapes[low].upper, axes) - tilt_deg(shapes[row.structure].upper, axes))
        if (low := below.get(row.structure)) in shapes and row.structure in shapes and low is not None
        else row
        for row in rows
    ]


def _adjacent(above: Measurement, below: Measurement) -> bool:
    """Tell whether no body is missing between two rows."""
    places = [(row.x_mm, row.y_mm, row.z_mm) for row in (above, below)]
    if any(value is None for place in places for value in place):
        return False
    apart = np.linalg.norm(np.subtract(*np.array(places, dtype=float)))
    return bool(apart < _NEXT_BODY_MM) or (below.kind == "sacrum" and above.structure in ("L5", "L6"))


def lordosis(shapes: Mapping[str, Shape], axes: FloatArray) -> Iterator[Measurement]:
    """Yield the lordosis, from the upper end plate of L1 to that of S1, or to the lower one of L5 where there is no sacrum."""
    if "L1" not in shapes:
        return
    top = tilt_deg(shapes["L1"].upper, axes)
    if SACRUM in shapes:
        yield Measurement("L1-S1", "lordosis", segment_deg=tilt_deg(shapes[SACRUM].upper, axes) - top)
    elif "L5" in shapes:
        yield Measurement("L1-L5", "lordosis", segment_deg=tilt_deg(shapes["L5"].lower, axes) - top)
