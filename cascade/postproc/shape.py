"""What tells levels apart when the sacrum is not in view: size, wedge and tilt of the bodies and the steps between them.

All of it is measured in the patient's sagittal plane; `cascade.postproc.shape_model` weighs it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cascade.postproc.parameters import MeasuringParameters
from cascade.postproc.s1_looks import LOOKS
from cascade.postproc.shape_model import FEATURES, STEP_FEATURES
from cascade.volume import FloatArray

#: What is measured of each body: the features of the shape model, then the looks of S1.
MEASURED = (*FEATURES, *LOOKS)
#: Where the two halves are measured, as parts of the body's extent away from the disc, and the percentage of points at either end
#: that may be ragged.
_UPPER, _LOWER, _RAGGED = (0.1, 0.4), (0.6, 0.9), 3.0
_LEAST_POINTS = 5


def spine_shape(
    bodies_mm: Sequence[FloatArray | None],
    how: MeasuringParameters | None = None,
    discs_mm: Sequence[FloatArray | None] | None = None,
) -> FloatArray:
    """Measure a row of vertebral bodies.

    Parameters
    ----------
    bodies_mm : sequence of (n, 3) array or None
        World points (RAS+ mm) of the voxels of each body, from head to foot; None for one that is missing or cut.
    how : MeasuringParameters, optional
    discs_mm : sequence of (n, 3) array or None, optional
        The same of the disc above each body, without which the `LOOKS` are not known.

    Returns
    -------
    (9, bodies) array
        What was `MEASURED` of each body; NaN where there is none.
    """
    how = how or MeasuringParameters()
    discs_mm = discs_mm or [None] * len(bodies_mm)
    centroids = [None if points is None else points.mean(axis=0) for points in bodies_mm]
    shape = np.full((len(MEASURED), len(centroids)), np.nan)
    for i, (points, disc, centroid) in enumerate(zip(bodies_mm, discs_mm, centroids, strict=True)):
        if points is None or centroid is None:
            continue
        above = next((c for c in centroids[max(i - 1, 0) : i] if c is not None), centroid)
        below = next((c for c in centroids[i + 1 : i + 2] if c is not None), centroid)
        if below is not centroid:
            shape[:STEP_FEATURES, i] = step_shape(centroid, below)
        if below is not above:
            shape[STEP_FEATURES : len(FEATURES), i] = _body_shape(points - centroid, below - above, how)
        if disc is not None:
            shape[len(FEATURES) :, i] = _body_looks(points, disc, how)
    return shape


def step_shape(start_mm: FloatArray, end_mm: FloatArray) -> tuple[float, float]:
    """Sagittal tilt in degrees and length in mm of the step from one body's centroid to the next one's."""
    _, forward, upward = step = np.asarray(end_mm) - np.asarray(start_mm)
    return float(np.degrees(np.arctan2(-forward, -upward))), float(np.linalg.norm(step))


def forward_along(disc_mm: FloatArray) -> FloatArray:
    """Unit vector (2,) to the front along a disc, from its (n, 2) points in the sagittal plane (RAS+ axes y and z)."""
    _, axes = np.linalg.eigh(np.cov(disc_mm.T))
    forward: FloatArray = axes[:, 1] * np.sign(axes[0, 1] or 1.0)
    return forward


def _body_shape(points_mm: FloatArray, down_mm: FloatArray, how: MeasuringParameters) -> tuple[float, float, float, float]:
    """Height, depth, wedge (mm) and tilt (degrees) of a body from points around its centroid."""
    section = points_mm[np.abs(points_mm[:, 0]) < how.slab_mm][:, 1:]
    if len(section) < how.min_points:
        return np.nan, np.nan, np.nan, np.nan
    down = down_mm[1:] / max(float(np.linalg.norm(down_mm[1:])), 1e-6)
    front = np.array([-down[1], down[0]]) * (1 if down[1] < 0 else -1)
    along, ahead = section @ down, section @ front
    thirds = np.percentile(ahead, (33, 67))
    wedge = _extent(along[ahead > thirds[1]]) - _extent(along[ahead < thirds[0]])
    variances, axes = np.linalg.eigh(np.cov(section.T))
    forward, upward = axes[:, 1] * np.sign(axes[0, 1] or 1.0)
    is_elongated = variances[1] > how.min_elongation**2 * variances[0]
    return _extent(along), _extent(ahead), wedge, float(np.degrees(np.arctan2(upward, forward))) if is_elongated else np.nan


def _body_looks(body_mm: FloatArray, disc_mm: FloatArray, how: MeasuringParameters) -> tuple[float, float, float]:
    """The `LOOKS` of a body, in the sagittal plane, seen from the disc above it; NaN where too little is seen."""
    body, disc = (points[np.abs(points[:, 0] - points[:, 0].mean()) < how.slab_mm, 1:] for points in (body_mm, disc_mm))
    if min(len(body), len(disc)) < how.min_points:
        return np.nan, np.nan, np.nan
    forward = forward_along(disc)
    ahead, down = ((body - disc.mean(axis=0)) @ axis for axis in (forward, [forward[1], -forward[0]]))
    low, high = np.percentile(down, (_RAGGED, 100 - _RAGGED))
    halves = [ahead[(down >= low + a * (high - low)) & (down < low + b * (high - low))] for a, b in (_UPPER, _LOWER)]
    if min(map(len, halves)) < _LEAST_POINTS:
        return np.nan, np.nan, np.nan
    (back, front), (lower_back, lower_front) = (np.percentile(half, (_RAGGED, 100 - _RAGGED)) for half in halves)
    way = (_LOWER[0] - _UPPER[0]) * (high - low)
    slants = (float(np.degrees(np.arctan2(b - a, way))) for a, b in ((front, lower_front), (back, lower_back)))
    front_deg, back_deg = slants
    return float(np.log(max(lower_front - lower_back, 1e-3) / max(front - back, 1e-3))), front_deg, back_deg


def _extent(values: FloatArray) -> float:
    """Extent without the outermost tenth of the points, scaled to the whole (exact for an even spread)."""
    low, high = np.percentile(values, (5, 95)) if len(values) else (0.0, 0.0)
    return float(high - low) / 0.9
