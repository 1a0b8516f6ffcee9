"""From pairs of files to scores, and from scores to a table of structures."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cascade.errors import CascadeError, InputError
from cascade.evaluation.compare import HIGHEST, KindScore, compare
from cascade.evaluation.pairs import Pair
from cascade.io.files import replacing
from cascade.io.schemes import doubt
from cascade.notices import Notice
from cascade.volume import LabelMap


@dataclass(frozen=True)
class CaseResult:
    """The scores of one case.

    Parameters
    ----------
    pair : Pair
    kinds : tuple of KindScore
    notices : tuple of Notice
        ``scored-as-empty``, ``values-not-in-scheme`` or ``scheme-doubtful``.
    """

    pair: Pair
    kinds: tuple[KindScore, ...]
    notices: tuple[Notice, ...]

    @property
    def failed(self) -> str:
        """Why the prediction could not be used and counts as empty; an empty text if it could."""
        return next((notice.text for notice in self.notices if notice.code == "scored-as-empty"), "")


def evaluate(pair: Pair, highest: str = HIGHEST) -> CaseResult:
    """Score one case; a prediction that cannot be used counts as empty.

    Parameters
    ----------
    pair : Pair
    highest : str
        Structures above this vertebra are left out.

    Raises
    ------
    InputError
        The reference cannot be used, or labels no structure that can be scored.
    """
    reference = pair.case.load_labels()
    notices: tuple[Notice, ...] = ()
    try:
        prediction, unknown = pair.load_prediction()
        kinds = compare(prediction, reference, highest)
        if unknown:
            notices = (Notice("values-not-in-scheme", None, _about_values(unknown, pair.scheme.name)),)
    except InputError as problem:
        kinds = compare(pair.empty_prediction(reference), reference, highest)
        notices = (Notice("scored-as-empty", None, _with_names(problem, pair)),)
    else:
        notices += tuple(_doubts(pair, prediction, reference))
    if not kinds:
        raise InputError(
            f"{pair.case.labels}: expected labelled structures from {highest} down that scheme {pair.scheme.name!r} knows too; "
            f"found {', '.join(reference.structures) or 'none'} in scheme {pair.case.scheme.name!r}; check both schemes"
        )
    return CaseResult(pair, kinds, notices)


def _doubts(pair: Pair, prediction: LabelMap, reference: LabelMap) -> Iterator[Notice]:
    for what, file, labels in (("prediction", pair.file, prediction), ("reference", pair.case.labels, reference)):
        if words := doubt(labels.data, labels.grid, labels.scheme):
            yield Notice("scheme-doubtful", None, f"{what} {file.name}: {words}")


def _with_names(problem: CascadeError, pair: Pair) -> str:
    """The problem, made to name both files."""
    text = str(problem)
    if pair.prediction is not None and str(pair.prediction) not in text:
        text = f"{pair.prediction}: {text}"
    return text if str(pair.case.labels) in text else f"{text} (reference {pair.case.labels})"


def _about_values(unknown: Sequence[int], scheme: str) -> str:
    shown = ", ".join(map(str, unknown[:8])) + (" ..." if len(unknown) > 8 else "")
    return f"values {shown} are not in scheme {scheme!r} and count as background"


_COLUMNS = (
    *("dataset", "case", "patient", "structure", "kind", "match", "dice", "matched_dice", "detected", "level_right"),
    *("mean_distance_mm", "distance95_mm", "reference_ml", "prediction_ml", "volume_error_percent"),
)


def write_table(results: Sequence[CaseResult], path: Path) -> None:
    """Write one line a structure and case as comma-separated values; a figure that is not defined is left empty."""
    with replacing(path, ".csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, _COLUMNS)
        table.writeheader()
        table.writerows(row for result in results for row in _rows(result))


def _rows(result: CaseResult) -> list[dict[str, Any]]:
    case = result.pair.case
    about = {"dataset": case.dataset, "case": case.name, "patient": case.patient}
    scores = [score for kind in result.kinds for score in kind.structures]
    return [about | {name: _cell(getattr(score, name)) for name in _COLUMNS[3:]} for score in scores]


def _cell(value: str | bool | float) -> str | int:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return int(value)
    return "" if value != value else f"{value:.6g}"
