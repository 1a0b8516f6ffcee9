"""Fitting the shape model, by which levels are told apart when the sacrum is not in view."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import optimize

from cascade.labels import BODIES, SACRUM, disc_below
from cascade.postproc.parameters import NamingParameters
from cascade.postproc.s1_looks import S1Looks
from cascade.postproc.shape import MEASURED, spine_shape
from cascade.postproc.shape_model import FEATURES, LEVELS, S1, ShapeModel
from cascade.volume import FloatArray, LabelMap

#: Bodies of the usual spine and L6 from the sacrum upwards.
_FROM_BELOW = (SACRUM, *(name for name in reversed(BODIES) if name != "T13"))
#: Towards the chest, where few scans reach, the features go on like this per level, with these deviations.
_TREND = np.array([-1.0, -1.2, -0.6, -0.6, 0.0, -1.0])
_PRIOR_DEVIATION = np.array([10.0, 4.0, 3.0, 3.5, 3.0, 10.0])
#: Weight of the prior in subjects, number of factors, degrees of freedom: the best of a few in cross-validation.
_PRIOR_SUBJECTS, _FACTORS, _DEGREES_OF_FREEDOM = 10.0, 4, 20.0
_MIN_SUBJECTS = 8
_TEMPERATURES = (1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0)
#: Cross-validation: folds, fewest bodies of a window, and how many levels its lowest body may lie above L5.
_FOLDS, _MIN_BODIES, _PLACES = 6, 3, 6


def levels_of(labels: LabelMap) -> FloatArray:
    """Measure the labelled bodies: (9, LEVELS) array from S1 upwards, NaN where there is none or it is cut by the border."""
    result = np.full((len(MEASURED), LEVELS), np.nan)
    present = [name for name in _FROM_BELOW if name in labels.structures]
    if not {"L5", "L6"} & set(present):
        return result
    lowest = _FROM_BELOW.index(next(name for name in present if name != SACRUM))
    levels = [SACRUM, *_FROM_BELOW[lowest : lowest + LEVELS - 1]]
    upright = labels.reoriented("RAS")
    bodies = [_whole_body(upright, name) if name in present else None for name in levels]
    discs = [_points(upright, disc_below(above, name)) for name, above in pairwise(levels)]
    shape = spine_shape(bodies[::-1], discs_mm=[None, *discs[::-1]])[:, ::-1]
    result[:, : shape.shape[1]] = shape
    return result


def _whole_body(labels: LabelMap, name: str) -> FloatArray | None:
    voxels = np.argwhere(labels[name])
    is_cut = voxels[:, 2].min() < 1 or voxels[:, 2].max() > labels.grid.shape[2] - 2
    return None if is_cut and name != SACRUM else labels.grid.to_world(voxels)


def _points(labels: LabelMap, name: str) -> FloatArray | None:
    return labels.grid.to_world(np.argwhere(labels[name])) if name in labels.structures else None


def fit_naming(subjects: Iterable[FloatArray]) -> NamingParameters:
    """Naming parameters with models fitted to subjects that are known down to the lowest presacral body: arrays of `levels_of`.

    Levels that few subjects show follow the trend of their neighbours; the covariance is shrunk towards independent
    levels with a wide deviation. The temperature is the one with the smallest log loss when the levels of windows of
    the labelled spines, seen without their sacrum, are told by models fitted to other subjects.

    The looks of S1 are learned from those in which it and the lowest presacral body were measured, with the discs above them.

    Returns
    -------
    NamingParameters
        Without a model for which there are too few subjects.
    """
    measured = np.array(list(subjects)).reshape(-1, len(MEASURED), LEVELS)
    looks = fit_looks(*measured[:, len(FEATURES) :, :2].transpose(2, 0, 1))
    data = measured[np.isfinite(measured[:, 0]).sum(axis=1) >= 2][:, : len(FEATURES)]
    if len(data) < _MIN_SUBJECTS:
        return NamingParameters(s1_looks=looks)
    model = _fit(data)
    mean, deviation, factors = (np.round(table, 3) for table in (model.mean, model.deviation, model.factors))
    model = ShapeModel.of_arrays(mean, deviation, factors, _DEGREES_OF_FREEDOM, _best_temperature(data))
    return NamingParameters(shape_model=model, s1_looks=looks)


def with_models_of(before: Mapping[str, Any], fitted: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Naming parameters in which models that could not be fitted for want of spines are those of the weights to start from.

    Parameters
    ----------
    before, fitted : mapping
        Naming parameters of a StageSpec, as JSON: of the weights to start from, and from `fit_naming`.

    Returns
    -------
    naming : dict
    unfitted : tuple of str
        Which models were not fitted.
    """
    unfitted = tuple(name for name in ("shape_model", "s1_looks") if name in fitted and fitted[name] is None)
    return {**fitted, **{name: before.get(name) for name in unfitted}}, unfitted


def fit_looks(first_sacral: FloatArray, lowest_presacral: FloatArray) -> S1Looks | None:
    """Fit the regression to (n, 3) arrays of the looks of both, NaN where they were not measured; None if there are too few.

    Weights are held back by a normal prior of deviation 1 on the standardised looks.
    """
    known = [looks[np.isfinite(looks).all(axis=1)] for looks in (first_sacral, lowest_presacral)]
    if min(map(len, known)) < _MIN_SUBJECTS:
        return None
    values, sign = np.concatenate(known), np.repeat([1.0, -1.0], list(map(len, known)))
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    standard = np.column_stack([(values - mean) / deviation, np.ones(len(values))])

    def loss(weights: FloatArray) -> float:
        return float(np.logaddexp(0, -sign * (standard @ weights)).sum() + 0.5 * (weights[:-1] ** 2).sum())

    *weights, intercept = optimize.minimize(loss, np.zeros(standard.shape[1]), method="BFGS").x
    slopes = np.array(weights) / deviation
    return S1Looks(tuple(map(float, np.round(slopes, 4))), round(float(intercept - slopes @ mean), 4))


def _fit(data: FloatArray) -> ShapeModel:
    """A model of temperature 1 from (subjects, 6, LEVELS)."""
    mean = _mean(data).ravel()
    deviations = data.reshape(len(data), -1) - mean
    there = np.isfinite(deviations).astype(float)
    deviations = np.nan_to_num(deviations)
    prior = np.diag(np.repeat(_PRIOR_DEVIATION**2, LEVELS))
    covariance = (deviations.T @ deviations + _PRIOR_SUBJECTS * prior) / (there.T @ there + _PRIOR_SUBJECTS)
    deviation = np.sqrt(np.diag(covariance))
    values, vectors = np.linalg.eigh(covariance / np.outer(deviation, deviation))
    factors = vectors[:, -_FACTORS:] * np.sqrt(np.maximum(values[-_FACTORS:], 0.0))
    factors /= np.sqrt(np.maximum(1.0, (factors**2).sum(axis=1) / 0.95))[:, None]
    return ShapeModel.of_arrays(mean, deviation, factors, _DEGREES_OF_FREEDOM, 1.0)


def _mean(data: FloatArray) -> FloatArray:
    """Mean over subjects (6, LEVELS); where fewer than three show a level, the trend goes on from its neighbour."""
    seen = np.isfinite(data).sum(axis=0)
    mean = np.where(seen >= 3, np.nan_to_num(data).sum(axis=0) / np.maximum(seen, 1), np.nan)
    for level in range(1, LEVELS):
        mean[:, level] = np.where(np.isnan(mean[:, level]), mean[:, level - 1] + _TREND, mean[:, level])
    for level in range(LEVELS - 2, -1, -1):
        mean[:, level] = np.where(np.isnan(mean[:, level]), mean[:, level + 1] - _TREND, mean[:, level])
    return mean


def _best_temperature(data: FloatArray) -> float:
    costs, truths = [], []
    for fold in range(_FOLDS):
        held_out = np.arange(len(data)) % _FOLDS == fold
        model = _fit(data[~held_out])
        for window, place in _windows(data[held_out]):
            count = window.shape[1]
            costs.append([model.cost(window, range(lowest + count - 1, lowest - 1, -1)) for lowest in range(_PLACES)])
            truths.append(place)
    return min(_TEMPERATURES, key=lambda temperature: _log_loss(np.array(costs) / temperature, truths))


def _windows(data: FloatArray) -> Iterator[tuple[FloatArray, int]]:
    """Windows of three or more bodies without their sacrum, from head to foot, and the level of the lowest body."""
    for levels in data:
        present = np.flatnonzero(np.isfinite(levels[2:]).any(axis=0)) + S1
        for lowest in range(max(0, int(present.min())), _PLACES):
            for highest in range(lowest + _MIN_BODIES - 1, int(present.max()) + 1):
                window = levels[:, lowest - S1 : highest - S1 + 1][:, ::-1].copy()
                window[:2, -1] = np.nan
                yield window, lowest


def _log_loss(costs: FloatArray, truths: Sequence[int]) -> float:
    chosen = costs[np.arange(len(costs)), truths]
    best = costs.min(axis=1)
    return float((chosen - best + np.log(np.exp(best[:, None] - costs).sum(axis=1))).mean())
