"""What tells levels apart when the sacrum is not in view: size, wedge and tilt of the bodies and the steps between them.

All of it is measured in the patient's sagittal plane and compared with a distribution over the levels of many
spines, counted from the sacrum upwards; levels of one spine vary together (a large spine is large all along, a flat
back is flat all along), which the factors of the distribution hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import gammaln

from cascade.volume import FloatArray

#: Of the step to the next body below: sagittal tilt (positive where the spine runs backwards on its way down) and length.
#: Of the body: height along the spine, depth from front to back, by how much its front is higher than its back, and the
#: tilt of its endplates.
FEATURES = ("step_tilt_deg", "step_length_mm", "height_mm", "depth_mm", "wedge_mm", "tilt_deg")
#: The first so many of them are of the step.
STEP_FEATURES = 2
#: The range that a feature could have if nothing were known of it.
_RANGE = np.array([360.0, 100.0, 60.0, 60.0, 40.0, 360.0])
#: Levels that the distribution covers: S1, then L5 to T1.
LEVELS = 18
#: A level is counted from the lowest presacral body upwards: S1 is -1, L5 is 0.
S1 = -1
#: Marks a body that is none.
NO_LEVEL = -2
#: Half width of the slab around the middle of a body in which it is measured, in mm.
_SLAB_MM = 8.0
#: A section that is less elongated than this has no tilt that can be told.
_MIN_ELONGATION = 1.08
_MIN_POINTS = 20


def spine_shape(bodies_mm: Sequence[FloatArray | None]) -> FloatArray:
    """Measure a row of vertebral bodies.

    Parameters
    ----------
    bodies_mm : sequence of (n, 3) array or None
        World points (RAS+ mm) of the voxels of each body, from head to foot; None for one that is missing or cut.

    Returns
    -------
    (6, bodies) array
        The `FEATURES` of each body; NaN where there is none.
    """
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
            shape[STEP_FEATURES:, i] = _body_shape(points - centroid, below - above)
    return shape


def step_shape(start_mm: FloatArray, end_mm: FloatArray) -> tuple[float, float]:
    """Sagittal tilt in degrees and length in mm of the step from one body's centroid to the next one's."""
    _, forward, upward = step = np.asarray(end_mm) - np.asarray(start_mm)
    return float(np.degrees(np.arctan2(-forward, -upward))), float(np.linalg.norm(step))


def _body_shape(points_mm: FloatArray, down_mm: FloatArray) -> tuple[float, float, float, float]:
    """Height, depth, wedge (mm) and tilt (degrees) of a body from points around its centroid."""
    section = points_mm[np.abs(points_mm[:, 0]) < _SLAB_MM][:, 1:]
    if len(section) < _MIN_POINTS:
        return np.nan, np.nan, np.nan, np.nan
    down = down_mm[1:] / max(float(np.linalg.norm(down_mm[1:])), 1e-6)
    front = np.array([-down[1], down[0]]) * (1 if down[1] < 0 else -1)
    along, ahead = section @ down, section @ front
    thirds = np.percentile(ahead, (33, 67))
    wedge = _extent(along[ahead > thirds[1]]) - _extent(along[ahead < thirds[0]])
    variances, axes = np.linalg.eigh(np.cov(section.T))
    forward, upward = axes[:, 1] * np.sign(axes[0, 1] or 1.0)
    is_elongated = variances[1] > _MIN_ELONGATION**2 * variances[0]
    return _extent(along), _extent(ahead), wedge, float(np.degrees(np.arctan2(upward, forward))) if is_elongated else np.nan


def _extent(values: FloatArray) -> float:
    """Extent without the outermost tenth of the points, scaled to the whole (exact for an even spread)."""
    low, high = np.percentile(values, (5, 95)) if len(values) else (0.0, 0.0)
    return float(high - low) / 0.9


@dataclass(frozen=True)
class ShapeModel:
    """A multivariate t distribution of the shape of spines, with a few factors that hold what varies together.

    Parameters
    ----------
    mean, deviation : (6 LEVELS,) arrays
        Feature by feature, each from S1 upwards.
    factors : (6 LEVELS, n) array
        Loadings of the standardised features; what they leave of the variance is independent.
    degrees_of_freedom : float
        The fewer, the more is forgiven to an unusual spine.
    temperature : float
        By how much the evidence is weakened so that it is as often right as it claims: the features are not as
        independent and not as normal as the model has it.
    """

    mean: FloatArray
    deviation: FloatArray
    factors: FloatArray
    degrees_of_freedom: float
    temperature: float

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> ShapeModel:
        """Build from the ``shape_model`` of a StageSpec's naming parameters."""
        mean, deviation, factors = (np.array(parameters[name], dtype=float) for name in ("mean", "deviation", "factors"))
        return cls(mean, deviation, factors, float(parameters["degrees_of_freedom"]), float(parameters["temperature"]))

    def cost(self, shape: FloatArray, levels: Sequence[int]) -> float:
        """Negative log likelihood (nats, weakened by the temperature) of bodies being these levels.

        Parameters
        ----------
        shape : (6, bodies) array
            From `spine_shape`.
        levels : sequence of int
            For each body the level of the usual spine that it should look like: how many bodies lie between it and the
            sacrum there; `S1` for S1, `NO_LEVEL` for one that is none, of which anything may be expected.
        """
        level = np.array(levels)
        known = np.isfinite(shape) & (level >= S1) & (level < LEVELS - 1)
        known[:STEP_FEATURES, :-1] &= level[1:] >= S1
        feature, body = np.nonzero(known)
        unknown_feature, _ = np.nonzero(np.isfinite(shape) & ~known)
        nats = self._t_cost(feature * LEVELS + level[body] - S1, shape[feature, body])
        return (nats + float(np.log(_RANGE[unknown_feature]).sum())) / self.temperature

    def _t_cost(self, index: np.ndarray, values: FloatArray) -> float:
        """Minus the log density of the multivariate t distribution at some of its coordinates."""
        count, nu = len(index), self.degrees_of_freedom
        if not count:
            return 0.0
        loadings = self.factors[index]
        scale = loadings @ loadings.T
        np.fill_diagonal(scale, 1.0)
        deviation = self.deviation[index]
        standard = (values - self.mean[index]) / deviation
        _, log_determinant = np.linalg.slogdet(scale)
        distance = float(standard @ np.linalg.solve(scale, standard))
        constant = gammaln(nu / 2) - gammaln((nu + count) / 2) + count / 2 * np.log(nu * np.pi)
        return float(constant + 0.5 * log_determinant + np.log(deviation).sum() + 0.5 * (nu + count) * np.log1p(distance / nu))
