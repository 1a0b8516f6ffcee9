"""How the levels stand to one another: slips, angles, lordosis, sacral slope, sideways bend.

- *Slip*: how far the rear lower corner of a body lies in front of the rear upper corner of the next one below, along the bisector of
  the two end plates (the direction in which Frobin et al. 2002, Clin Biomech 17, take displacement, so that the wedge of
  the disc is no slip), and in per cent of the depth of the lower one's upper end plate; graded as Meyerding did (1932, Surg Gynecol
  Obstet 54:371-377): a quarter of the end plate a grade, beyond its whole depth grade 5. Grade 0: less than `MIN_SLIP_MM`.
- *Segmental angle*: between the upper end plates of a body and of the next one below; the sum over a region is its lordosis
  (Been and Kalichman 2014, Spine J 14:87-97).
- *Lordosis*: Cobb angle between the upper end plates of L1 and S1, and between the upper one of L1 and the lower one of L5. Patients
  who lie have less of it than those who stand.
- *Sacral slope*: of the upper end plate of S1 against the scan's axial plane (Legaye et al. 1998, Eur Spine J 7:99-103, against the
  horizontal, standing).
- *Cobb angle*: the largest angle in the coronal plane between the upper end plate of a body and the lower one of a body further down
  (Cobb 1948, Instr Course Lect 5:261-275), where at least three bodies in a row are seen to both sides.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from cascade.labels import SACRUM
from cascade.measure.endplates import Morphometry, aligned, tilt_deg
from cascade.measure.table import Measurement
from cascade.volume import FloatArray

#: Centres of neighbouring bodies are closer than this; with a body missing between them they are about 75 mm apart.
_NEXT_BODY_MM = 58.0
#: Slips below these, forwards and backwards, are none. Forwards the usual limit on radiographs (Iguchi et al. 2002, Spine 27). Backwards
#: more: a lower end plate reaches further back than the upper one of the next body, so that at 168 discs graded as free of listhesis
#: hand-labelled bodies lie at -0.9 mm on average and down to -4.7 mm. Backwards on S1 more still: of S1 networks leave out a corner, so
#: that 97.5 % of the slips of L5 that are graded as free of listhesis lie above -8.5 mm (``python benchmarks/listheses.py``).
MIN_SLIP_MM = {"front": 3.0, "rear": 5.0, "rear on S1": 8.5}
#: Bodies narrower than this, whole as they may be, show too little of an end plate for its sideways slope.
_MIN_WIDTH_MM = 25.0
_MIN_BODIES = 3


def with_segments(rows: Sequence[Measurement], fits: Mapping[str, Morphometry], axes: FloatArray) -> list[Measurement]:
    """Add to every body its angle to the next one below and how far it has slipped on it, and to the sacrum its slope."""
    below = next_bodies(rows)
    result = []
    for row in rows:
        low = below.get(row.structure)
        if row.structure in fits and low is not None and low in fits:
            segment_deg = tilt_deg(fits[low].upper, axes) - tilt_deg(fits[row.structure].upper, axes)
            row = _with_slip(dataclasses.replace(row, segment_deg=segment_deg), low, fits, axes)
        if row.kind == "sacrum" and SACRUM in fits:
            row = dataclasses.replace(row, slope_deg=tilt_deg(fits[SACRUM].upper, axes))
        result.append(row)
    return result


def next_bodies(rows: Sequence[Measurement]) -> dict[str, str]:
    """For each body the next one below, or the sacrum, where no body is missing between the two."""
    bodies = [row for row in rows if row.kind in ("body", "sacrum")]
    return {above.structure: below.structure for above, below in itertools.pairwise(bodies) if _adjacent(above, below)}


def meyerding(slip_percent: float) -> int:
    """Grade of a slip by its share of the lower end plate, forwards or backwards.

    >>> [meyerding(share) for share in (10, -30, 60, 80, 120)]
    [1, 2, 3, 4, 5]
    """
    return min(int(abs(slip_percent) // 25) + 1, 5)


def lordosis(fits: Mapping[str, Morphometry], axes: FloatArray) -> Iterator[Measurement]:
    """Yield the lordosis from the upper end plate of L1 to the lower one of L5, and to the upper one of S1."""
    if "L1" not in fits:
        return
    top = tilt_deg(fits["L1"].upper, axes)
    if "L5" in fits:
        yield Measurement("L1-L5", "lordosis", segment_deg=tilt_deg(fits["L5"].lower, axes) - top)
    if SACRUM in fits:
        yield Measurement("L1-S1", "lordosis", segment_deg=tilt_deg(fits[SACRUM].upper, axes) - top)


def cobb(rows: Sequence[Measurement], fits: Mapping[str, Morphometry], axes: FloatArray) -> Iterator[Measurement]:
    """Yield the largest sideways bend, if the view is wide enough to see one; positive: open to the right."""
    wide = [row.structure for row in rows if row.kind == "body" and row.cut == "no" and (row.width_mm or 0) >= _MIN_WIDTH_MM]
    wide = [name for name in wide if name in fits]
    if len(wide) < _MIN_BODIES:
        return
    upper, lower = ({name: _aside_deg(getattr(fits[name], face), axes) for name in wide} for face in ("upper", "lower"))
    pairs = [(high, low) for i, high in enumerate(wide) for low in wide[i + 1 :]]
    high, low = max(pairs, key=lambda pair: abs(upper[pair[0]] - lower[pair[1]]))
    yield Measurement(f"{high}-{low}", "cobb", cobb_deg=upper[high] - lower[low])


def _aside_deg(normal: FloatArray, axes: FloatArray) -> float:
    """Angle of a plane's normal in the coronal plane, from up to the right, in degrees."""
    return float(np.rad2deg(np.arctan2(normal @ axes[0], normal @ axes[2])))


def _with_slip(row: Measurement, low: str, fits: Mapping[str, Morphometry], axes: FloatArray) -> Measurement:
    """Add the slip of a body on `low` in mm and per cent of the lower end plate, and its grade; not where a corner is missing."""
    above, below = fits[row.structure], fits[low]
    bisector = aligned(axes, above.lower + below.upper)
    slip_mm = float((above.corners_mm[1, 0] - below.corners_mm[0, 0]) @ bisector[1])
    depth_mm = float(np.linalg.norm(below.corners_mm[0, 1] - below.corners_mm[0, 0]))
    if not np.isfinite(slip_mm) or not depth_mm > 0:
        return row
    share = 100 * slip_mm / depth_mm
    backwards = "rear on S1" if low == SACRUM else "rear"
    slipped = abs(slip_mm) >= MIN_SLIP_MM["front" if slip_mm > 0 else backwards]
    return dataclasses.replace(row, slip_mm=slip_mm, slip_percent=share, slip_grade=meyerding(share) if slipped else 0)


def _adjacent(above: Measurement, below: Measurement) -> bool:
    """Tell whether no body is missing between two rows."""
    places = [(row.x_mm, row.y_mm, row.z_mm) for row in (above, below)]
    if any(value is None for place in places for value in place):
        return False
    apart = np.linalg.norm(np.subtract(*np.array(places, dtype=float)))
    return bool(apart < _NEXT_BODY_MM) or (below.kind == "sacrum" and above.structure in ("L5", "L6"))
