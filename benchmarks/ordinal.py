"""An ordinal model of grades 1 to 5, the choice of its features, and quadratic kappa."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from cascade.volume import FloatArray

#: So many grades, at random, the readers are taken to have given by mistake; without it one such grade draws the model as much as ten.
_LAPSE = 0.05
_RIDGE = 5.0
#: Features are cut at so many standard deviations.
_REACH = 4.0
_INNER_FOLDS, _INNER_RIDGE, _OUTLYING = 6, 3.0, 1.5


@dataclass(frozen=True, eq=False)
class Model:
    """Proportional odds: middles and spreads of the features, their weights, the four cuts."""

    middle: FloatArray
    spread: FloatArray
    weights: FloatArray
    cuts: FloatArray

    @classmethod
    def fitted(cls, features: FloatArray, grades: NDArray[np.int_], repeats: int = 1) -> Model:
        """Fit to rows, of which each disc has so many."""
        middle, spread = np.nanmean(features, axis=0), np.nanstd(features, axis=0) + 1e-9
        scaled = _scaled(features, middle, spread)
        count = features.shape[1]

        def loss(parameters: FloatArray) -> float:
            shares = _shares(scaled @ parameters[:count], _cuts(parameters[count:]))
            given = (1 - _LAPSE) * shares[np.arange(len(grades)), grades - 1] + _LAPSE / 5
            return float(-np.log(given).sum() / repeats + 0.5 * _RIDGE * (parameters[:count] ** 2).sum())

        start = np.concatenate([np.zeros(count), [-2.0, 0.3, 0.3, 0.3]])
        best = optimize.minimize(loss, start, method="L-BFGS-B").x
        return cls(middle, spread, best[:count], _cuts(best[count:]))

    def shares(self, features: FloatArray) -> FloatArray:
        """Probabilities of grades 1 to 5, one row a disc."""
        return _shares(_scaled(features, self.middle, self.spread) @ self.weights, self.cuts)


def choose(features: FloatArray, grades: NDArray[np.int_], patients: NDArray[np.str_], wanted: int) -> list[int]:
    """Choose features one after the other: each time the one with which least squares err least on patients left out."""
    scaled = _scaled(features, np.nanmean(features, axis=0), np.nanstd(features, axis=0) + 1e-9)
    names = np.unique(patients)
    np.random.default_rng(0).shuffle(names)
    fold = {name: index % _INNER_FOLDS for index, name in enumerate(names)}
    of = np.array([fold[name] for name in patients])
    chosen: list[int] = []
    while len(chosen) < wanted:
        rest = [index for index in range(features.shape[1]) if index not in chosen]
        losses = [_left_out_loss(scaled[:, [*chosen, index]], grades.astype(float), of) for index in rest]
        chosen.append(rest[int(np.argmin(losses))])
    return chosen


def kappa(truth: NDArray[np.int_], answer: NDArray[np.int_], power: int = 2) -> float:
    """Weighted kappa (Cohen 1968, Psychol Bull 70:213-220): quadratic, or linear with power 1."""
    table = np.histogram2d(truth, answer, bins=[np.arange(0.5, 6)] * 2)[0]
    weights = np.abs(np.subtract.outer(np.arange(5), np.arange(5))) ** power
    chance = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    return float(1 - (weights * table).sum() / (weights * chance).sum())


def _left_out_loss(features: FloatArray, grades: FloatArray, of: NDArray[np.int_]) -> float:
    """Huber's loss (1964, Ann Math Stat 35:73-101) of least squares with a ridge, on the folds left out."""
    design = np.column_stack([features, np.ones(len(features))])
    ridge = _INNER_RIDGE * np.diag([*[1.0] * features.shape[1], 0.0])
    off = np.zeros(len(grades))
    for index in np.unique(of):
        out = of == index
        weights = np.linalg.solve(design[~out].T @ design[~out] + ridge, design[~out].T @ grades[~out])
        off[out] = np.abs(design[out] @ weights - grades[out])
    return float(np.where(off < _OUTLYING, off**2, 2 * _OUTLYING * off - _OUTLYING**2).mean())


def _scaled(features: FloatArray, middle: FloatArray, spread: FloatArray) -> FloatArray:
    return np.asarray(np.clip(np.nan_to_num((features - middle) / spread), -_REACH, _REACH))


def _cuts(parameters: FloatArray) -> FloatArray:
    """The first cut, and the logarithms of the steps to the others."""
    return np.asarray(parameters[0] + np.concatenate([[0.0], np.cumsum(np.exp(parameters[1:]))]))


def _shares(score: FloatArray, cuts: FloatArray) -> FloatArray:
    below = special.expit(cuts[None] - score[:, None])
    return np.diff(np.column_stack([np.zeros(len(score)), below, np.ones(len(score))]), axis=1)
