"""How likely the shape of a row of bodies is, if they are certain levels: a distribution over the levels of many spines.

Levels are counted from the sacrum upwards; levels of one spine vary together (a large spine is large all along, a flat
back is flat all along), which the factors of the distribution hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import gammaln

from cascade.volume import FloatArray

#: Of the step to the next body below: sagittal tilt (positive where the spine runs backwards on its way down) and length.
#: Of the body: height along the spine, depth from front to back, by how much its front is higher than its back, and the
#: tilt of its endplates.
FEATURES = ("step_tilt_deg", "step_length_mm", "height_mm", "depth_mm", "wedge_mm", "tilt_deg")
#: The first so many of them are of the step.
STEP_FEATURES = 2
DEPTH = FEATURES.index("depth_mm")
#: The range that a feature could have if nothing were known of it: a full turn, or what is longer than any body.
_RANGE = np.array([360.0, 100.0, 60.0, 60.0, 40.0, 360.0])
#: Levels that the distribution covers: S1, then L5 to T1.
LEVELS = 18
#: A level is counted from the lowest presacral body upwards: S1 is -1, L5 is 0.
S1 = -1
#: Marks a body that is none.
NO_LEVEL = -2


@dataclass(frozen=True)
class ShapeModel:
    """A multivariate t distribution of the shape of spines, with a few factors that hold what varies together.

    Parameters
    ----------
    mean, deviation : (6 LEVELS,) tuples of float
        Feature by feature, each from S1 upwards, in the unit of the feature (mm or degrees).
    factors : (6 LEVELS, n) tuple of tuple of float
        Loadings of the standardised features; what they leave of the variance is independent.
    degrees_of_freedom : float
        The fewer, the more is forgiven to an unusual spine.
    temperature : float
        By how much the evidence is weakened so that it is as often right as it claims: the features are not as
        independent and not as normal as the model has it.

    Raises
    ------
    ValueError
        A table has another size, a loading explains more than all of a feature, or a scale is not positive.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    factors: tuple[tuple[float, ...], ...]
    degrees_of_freedom: float
    temperature: float

    def __post_init__(self) -> None:
        size = len(FEATURES) * LEVELS
        for name in ("mean", "deviation", "factors"):
            if (found := len(getattr(self, name))) != size:
                raise ValueError(f"{name}: expected {size} entries, one of every feature and level; found {found}")
        if len({len(row) for row in self.factors}) != 1:
            raise ValueError("factors: expected rows of one length")
        if not all(sum(loading**2 for loading in row) < 1 for row in self.factors):
            raise ValueError("factors: expected rows whose squares add up to less than 1")
        for name, smallest in (
            ("deviation", min(self.deviation)),
            ("degrees_of_freedom", self.degrees_of_freedom),
            ("temperature", self.temperature),
        ):
            if not smallest > 0:
                raise ValueError(f"{name}: expected more than 0; found {smallest:g}")

    @classmethod
    def of_arrays(
        cls, mean: FloatArray, deviation: FloatArray, factors: FloatArray, degrees_of_freedom: float, temperature: float
    ) -> ShapeModel:
        """Build from arrays of the shapes above."""
        rows = tuple(tuple(map(float, row)) for row in factors)
        return cls(tuple(map(float, mean)), tuple(map(float, deviation)), rows, degrees_of_freedom, temperature)

    @cached_property
    def _arrays(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        return np.array(self.mean), np.array(self.deviation), np.array(self.factors)

    def cost(self, shape: FloatArray, levels: Sequence[int]) -> float:
        """Negative log likelihood (nats, weakened by the temperature) of bodies being these levels.

        Parameters
        ----------
        shape : (6, bodies) array
            From `cascade.postproc.shape.spine_shape`.
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
        mean, deviations, factors = self._arrays
        loadings = factors[index]
        scale = loadings @ loadings.T
        np.fill_diagonal(scale, 1.0)
        deviation = deviations[index]
        standard = (values - mean[index]) / deviation
        _, log_determinant = np.linalg.slogdet(scale)
        distance = float(standard @ np.linalg.solve(scale, standard))
        constant = gammaln(nu / 2) - gammaln((nu + count) / 2) + count / 2 * np.log(nu * np.pi)
        return float(constant + 0.5 * log_determinant + np.log(deviation).sum() + 0.5 * (nu + count) * np.log1p(distance / nu))
