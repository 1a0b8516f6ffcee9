"""Fitting the shape model, by which levels are told apart when the sacrum is not in view."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

from cascade.labels import BODIES, SACRUM
from cascade.postproc.naming import step_shape
from cascade.volume import FloatArray, LabelMap

#: Steps from the sacrum upwards that the model covers: L5-S1 to T1-T2.
STEPS = 17
#: Bodies of the usual spine and L6 from the sacrum upwards.
_FROM_BELOW = (SACRUM, *(name for name in reversed(BODIES) if name != "T13"))
#: Towards the chest, where few scans reach, tilt and length go on like this per step, with these deviations.
_TREND = np.array([-1.0, -1.2])
_PRIOR_DEVIATION = np.array([10.0, 4.0])
#: Weight of the prior, in subjects.
_PRIOR_SUBJECTS = 4.0
_MIN_SUBJECTS = 8


def steps_of(labels: LabelMap) -> FloatArray:
    """Tilt (degrees) and length (mm) of the steps between labelled bodies: (2, STEPS) array, NaN where there is none."""
    present = [name for name in _FROM_BELOW if name in labels.structures]
    result = np.full((2, STEPS), np.nan)
    if not {"L5", "L6"} & set(present):
        return result
    lowest = _FROM_BELOW.index(next(name for name in present if name != SACRUM))
    centroids = {name: labels.grid.to_world(np.argwhere(labels[name]).mean(axis=0)) for name in present}
    for below, above in itertools.pairwise(_FROM_BELOW):
        step = _FROM_BELOW.index(above) - lowest
        below = SACRUM if step == 0 else below
        if above in centroids and below in centroids and step < STEPS:
            result[:, step] = step_shape(centroids[above], centroids[below])
    return result


def fit_shape_model(subjects: Iterable[LabelMap]) -> dict[str, Any]:
    """Fit mean and covariance of the steps over subjects that are labelled down to the lowest presacral body.

    Steps that few subjects show follow the trend of their neighbours; the covariance is shrunk towards independent
    steps with a wide deviation, and is always positive definite.

    Returns
    -------
    dict
        ``{"shape_model": {"mean": [...], "covariance": [...]}}``, the naming parameters of a StageSpec; empty if there are
        too few subjects.
    """
    observed = [steps for steps in map(steps_of, subjects) if np.isfinite(steps).any()]
    if len(observed) < _MIN_SUBJECTS:
        return {}
    data = np.array(observed)
    mean = _mean(data)
    flat, centre = data.reshape(len(data), -1), mean.ravel()
    deviations = np.nan_to_num(flat - centre)
    there = np.isfinite(flat).astype(float)
    pairs = there.T @ there
    prior = np.diag(np.repeat(_PRIOR_DEVIATION**2, STEPS))
    covariance = (deviations.T @ deviations + _PRIOR_SUBJECTS * prior) / (pairs + _PRIOR_SUBJECTS)
    values, vectors = np.linalg.eigh(covariance)
    covariance = (vectors * np.maximum(values, 1.0)) @ vectors.T
    return {"shape_model": {"mean": np.round(centre, 3).tolist(), "covariance": np.round(covariance, 3).tolist()}}


def _mean(data: FloatArray) -> FloatArray:
    seen = np.isfinite(data[:, 0]).sum(axis=0)
    mean = np.full(data.shape[1:], np.nan)
    for step in range(STEPS):
        if seen[step] >= 3:
            mean[:, step] = np.nanmean(data[:, :, step], axis=0)
        elif step:
            mean[:, step] = mean[:, step - 1] + _TREND
    mean[:, 0] = np.where(np.isfinite(mean[:, 0]), mean[:, 0], mean[:, 1] + (15.0, -2.0))
    return mean
