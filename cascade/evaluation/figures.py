"""Figures of many cases: means with confidence intervals over patients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cascade.evaluation.compare import SCORED, KindScore, StructureScore
from cascade.evaluation.results import CaseResult
from cascade.labels import CANAL, rank

#: Name of the group of all data sets together.
ALL = "all"
RESAMPLES = 2000
SEED = 1
CONFIDENCE = 0.95


def _if_detected(value: Callable[[StructureScore], float]) -> Callable[[StructureScore], float]:
    return lambda score: value(score) if score.detected else math.nan


#: What is averaged over structures; NaN does not count.
STRUCTURE_FIGURES: Mapping[str, Callable[[StructureScore], float]] = {
    "dice": lambda score: score.dice,
    "matched_dice": lambda score: score.matched_dice,
    "mean_distance_mm": _if_detected(lambda score: score.mean_distance_mm),
    "distance95_mm": _if_detected(lambda score: score.distance95_mm),
    "volume_error_percent": _if_detected(lambda score: abs(score.volume_error_percent)),
    "volume_bias_percent": _if_detected(lambda score: score.volume_error_percent),
    "detection": lambda score: float(score.detected),
    "level_accuracy": _if_detected(lambda score: float(score.level_right)),
}
#: What is averaged over cases.
CASE_FIGURES: Mapping[str, Callable[[KindScore], float]] = {
    "all_right": lambda score: float(score.all_right),
    "extra": lambda score: float(len(score.extra)),
}


@dataclass(frozen=True)
class Heading:
    """How a figure is shown: its heading, its decimals, and the factor to the unit in the heading."""

    text: str
    decimals: int
    factor: float = 1.0

    def show(self, value: float | None) -> str:
        """The number as text; a dash where there is none.

        >>> HEADINGS["detection"].show(0.9876), HEADINGS["dice"].show(None)
        ('98.8', '-')
        """
        return "-" if value is None else f"{value * self.factor:.{self.decimals}f}"


#: The figures that tables show, in their order.
HEADINGS: Mapping[str, Heading] = {
    "dice": Heading("Dice", 3),
    "matched_dice": Heading("any name", 3),
    "mean_distance_mm": Heading("mean mm", 2),
    "distance95_mm": Heading("95% mm", 2),
    "volume_error_percent": Heading("volume %", 1),
    "detection": Heading("detected %", 1, 100),
    "level_accuracy": Heading("level %", 1, 100),
    "all_right": Heading("all right %", 1, 100),
    "extra": Heading("extra", 2),
}


@dataclass(frozen=True)
class Figure:
    """A mean with its confidence interval.

    Parameters
    ----------
    mean, low, high : float or None
        None where it is not defined: nothing to average, or an interval from fewer than two patients.
    """

    mean: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Group:
    """The figures of structures that belong together.

    Parameters
    ----------
    dataset : str
        Or `ALL`.
    kind : str
    structure : str
        Empty: every structure of the kind.
    cases, patients, structures : int
        How many there are.
    figures : mapping of str to Figure
        `STRUCTURE_FIGURES`, and where `structure` is empty `CASE_FIGURES`.
    """

    dataset: str
    kind: str
    structure: str
    cases: int
    patients: int
    structures: int
    figures: Mapping[str, Figure]


def summarise(results: Sequence[CaseResult]) -> list[Group]:
    """Figures by data set and kind, and, if there is more than one data set, by kind over all of them."""
    datasets = sorted({result.pair.case.dataset for result in results})
    chosen = [(name, [r for r in results if r.pair.case.dataset == name]) for name in datasets]
    if len(datasets) > 1:
        chosen.append((ALL, list(results)))
    groups = [_group(name, some, kind) for name, some in chosen for kind in SCORED]
    return [group for group in groups if group.structures]


def summarise_structures(results: Sequence[CaseResult]) -> list[Group]:
    """Figures by structure, cranial to caudal, over all data sets."""
    names = {(score.kind, score.structure) for result in results for kind in result.kinds for score in kind.structures}
    ordered = sorted(names, key=lambda name: (SCORED.index(name[0]), 0.0 if name[1] == CANAL else rank(name[1])))
    return [_group(ALL, results, kind, structure) for kind, structure in ordered]


def bootstrap_mean(values: Sequence[float], patients: Iterable[str], resamples: int = RESAMPLES, seed: int = SEED) -> Figure:
    """Average `values` and give the 95 % confidence interval of their mean, over patients.

    Structures and scans of one patient are not independent; therefore whole patients are drawn, with replacement, as many as there
    are, and all their values are averaged; the interval runs between the percentiles 2.5 and 97.5 of the means of all resamples
    (cluster bootstrap, percentile method: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapters 8 and 13;
    Field and Welsh 2007, J R Stat Soc B 69(3):369-390).

    Parameters
    ----------
    values : n float
        NaN does not count.
    patients : n str
        Whose value it is.
    resamples : int
    seed : int
        Equal seeds and equal patients draw equal resamples.

    Returns
    -------
    Figure

    Examples
    --------
    >>> bootstrap_mean([0.5, 1.0, float("nan")], ["a", "b", "b"])
    Figure(mean=0.75, low=0.5, high=1.0)
    """
    counts = np.isfinite(values)
    counted = np.asarray(values, dtype=float)[counts]
    names, owner = np.unique(np.array(list(patients), dtype=str)[counts], return_inverse=True)
    if len(names) < 2:
        return Figure(float(counted.mean()) if len(names) else None)
    sums, sizes = np.bincount(owner, counted), np.bincount(owner)
    draws = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile((draws @ sums) / (draws @ sizes), (tail, 100 - tail))
    return Figure(float(counted.mean()), float(low), float(high))


def _group(dataset: str, results: Sequence[CaseResult], kind: str, structure: str = "") -> Group:
    scored = [(result.pair.case.patient, score) for result in results for score in result.kinds if score.kind == kind]
    rows = [(patient, row) for patient, score in scored for row in score.structures if structure in ("", row.structure)]
    figures = {name: bootstrap_mean([of(row) for _, row in rows], (p for p, _ in rows)) for name, of in STRUCTURE_FIGURES.items()}
    if rows and figures["level_accuracy"].mean is None:
        figures["level_accuracy"] = Figure(0.0)  # nothing detected, so nothing named right
    if not structure:
        figures |= {name: bootstrap_mean([of(score) for _, score in scored], (p for p, _ in scored)) for name, of in CASE_FIGURES.items()}
    cases = len(rows) if structure else len(scored)
    return Group(dataset, kind, structure, cases, len({patient for patient, _ in rows}), len(rows), figures)
