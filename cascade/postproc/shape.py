"""What tells levels apart when the sacrum is not in view: size, wedge and tilt of the bodies and the steps between them.

All of it is measured in the patient's sagittal plane; `cascade.postproc.shape_model` weighs it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cascade.postproc.parameters import MeasuringParameters
from cascade.postproc.shape_model import FEATURES, STEP_FEATURES
from cascade.volume import FloatArray


def spine_shape(bodies_mm: Sequence[FloatArray | None], how: MeasuringParameters | None = None) -> FloatArray:
    """Measure a row of vertebral bodies.

    Parameters
    ----------
    bodies_mm : sequence of (n, 3) array or None
        World points (RAS+ mm) of the voxels of each body, from head to foot; None for one that is missing or cut.
    how : MeasuringParameters, optional

    Returns
    -------
    (6, bodies) array
        The `FEATURES` of each body; NaN where there is none.
    """
    how = how or MeasuringParameters()
    centroids = [None if points is None else points.mean(axis=0) for points in bodies_mm]
    shape = np.full((len(FEATURES), len(centroids)), np.nan)
    for i, (points, centroid) in enumerate(zip(bodies_mm, centroids, strict=True)):
        if points is None or centroid is None:
            continue
        above = next((c for c in centroids[max(i - 1, 0) : i] if c is not None), centroid)
        below = next((c for c in centroids[i + 1 : i + 2] if c is not None), centroid)
        if below is not centroid:
            shape[:STEP_FEATURES, i] = step_shape(centroid, below)
        if below is not above:
            shape[STEP_FEATURES:, i] = _body_shape(points - centroid, below - above, how)
    return shape


def step_shape(start_mm: FloatArray, end_mm: FloatArray) -> tuple[float, float]:
    """Sagittal tilt in degrees and length in mm of the step from one body's centroid to the next one's."""
    _, forward, upward = step = np.asarray(end_mm) - np.asarray(start_mm)
    return float(np.degrees(np.arctan2(-forward, -upward))), float(np.linalg.norm(step))


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


def _extent(values: FloatArray) -> float:
    """Extent without the outermost tenth of the points, scaled to the whole (exact for an even spread)."""
    low, high = np.percentile(values, (5, 95)) if len(values) else (0.0, 0.0)
    return float(high - low) / 0.9
