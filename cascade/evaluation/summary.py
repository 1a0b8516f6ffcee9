"""A whole evaluation, and its summary as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cascade._version import __version__
from cascade.errors import InputError
from cascade.evaluation.compare import ALL_RIGHT_DICE, DETECTED_DICE, HIGHEST, SLIVER_SHARE
from cascade.evaluation.figures import CONFIDENCE, RESAMPLES, SEED, Group, summarise, summarise_structures
from cascade.evaluation.pairs import Pair
from cascade.evaluation.results import CaseResult, evaluate
from cascade.io.files import replacing


@dataclass(frozen=True)
class Evaluation:
    """The results of many cases.

    Parameters
    ----------
    results : tuple of CaseResult
        At least one.
    unusable : tuple of str
        What is wrong with the references that could not be used; their cases are left out.
    highest : str
        Structures above this vertebra were left out.
    """

    results: tuple[CaseResult, ...]
    unusable: tuple[str, ...] = ()
    highest: str = HIGHEST

    @cached_property
    def groups(self) -> list[Group]:
        """Figures by data set and kind."""
        return summarise(self.results)

    @cached_property
    def structures(self) -> list[Group]:
        """Figures by structure over all data sets."""
        return summarise_structures(self.results)

    @property
    def complete(self) -> bool:
        """Whether every reference and every prediction could be used."""
        return not self.unusable and not any(result.failed for result in self.results)


def evaluate_all(
    pairs: Iterable[Pair], highest: str = HIGHEST, tell: Callable[[CaseResult | InputError], None] = lambda _: None
) -> Evaluation:
    """Score many cases; one bad file does not stop the rest.

    Parameters
    ----------
    pairs : iterable of Pair
    highest : str
        Structures above this vertebra are left out.
    tell : callable
        Gets each result, or what is wrong with a reference, as soon as it is known.

    Raises
    ------
    InputError
        No reference can be used.
    """
    results: list[CaseResult] = []
    unusable: list[str] = []
    for pair in pairs:
        try:
            results.append(evaluate(pair, highest))
            tell(results[-1])
        except InputError as problem:
            unusable.append(str(problem))
            tell(problem)
    if not results:
        raise InputError(f"expected at least one reference that can be used; {len(unusable)} cannot")
    return Evaluation(tuple(results), tuple(unusable), highest)


def write_summary(evaluation: Evaluation, path: Path) -> None:
    """Write settings, figures by group and by structure, and what happened in each case; undefined figures are null."""
    content = {
        "cascade": __version__,
        "settings": {
            "highest": evaluation.highest,
            "detected_dice": DETECTED_DICE,
            "all_right_dice": ALL_RIGHT_DICE,
            "sliver_share": SLIVER_SHARE,
            "bootstrap": {"over": "patients", "resamples": RESAMPLES, "seed": SEED, "confidence": CONFIDENCE},
        },
        "groups": [_group(group) for group in evaluation.groups],
        "structures": [_group(group) for group in evaluation.structures],
        "cases": [_case(result) for result in evaluation.results],
        "unusable": evaluation.unusable,
    }
    with replacing(path, ".json") as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _group(group: Group) -> dict[str, Any]:
    content = asdict(group)
    content["figures"] = {name: {end: _rounded(value) for end, value in figure.items()} for name, figure in content["figures"].items()}
    return content


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _case(result: CaseResult) -> dict[str, Any]:
    case = result.pair.case
    return {
        "dataset": case.dataset,
        "case": case.name,
        "patient": case.patient,
        "schemes": {"prediction": result.pair.scheme.name, "reference": case.scheme.name},
        "kinds": {kind.kind: {"all_right": kind.all_right, "extra": kind.extra} for kind in result.kinds},
        "notices": [{"code": notice.code, "text": notice.text} for notice in result.notices],
    }


def worst_first(results: Sequence[CaseResult]) -> list[CaseResult]:
    """Sort cases by the mean Dice of their structures, worst first."""

    def mean_dice(result: CaseResult) -> float:
        values = [score.dice for kind in result.kinds for score in kind.structures]
        return sum(values) / len(values)

    return sorted(results, key=mean_dice)
