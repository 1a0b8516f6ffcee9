"""Results with known figures, without files."""

from __future__ import annotations

from pathlib import Path

from cascade.evaluation.compare import KindScore, StructureScore
from cascade.evaluation.pairs import Pair
from cascade.evaluation.results import CaseResult
from cascade.io.cases import Case
from cascade.labels import VERSE


def structure(name: str, dice: float, *, match: str | None = None, distance_mm: float = 1.0, found_ml: float = 50.0) -> StructureScore:
    """A structure of 50 ml with this Dice; by default found under its own name."""
    match = name if match is None else match
    named = dice if match == name else 0.0
    kind = "disc" if "-" in name else "body"
    return StructureScore(name, kind, match, named, dice, distance_mm, 2 * distance_mm, 50.0, found_ml)


def result(dataset: str, name: str, *scores: StructureScore, patient: str | None = None, extra: tuple[str, ...] = ()) -> CaseResult:
    """A case with these structures; its files do not exist."""
    missing = Path(dataset) / name
    case = Case(dataset, name, patient or f"{dataset}-{name}", "", missing, missing, VERSE)
    of_kind = {kind: tuple(score for score in scores if score.kind == kind) for kind in ("body", "disc")}
    kinds = tuple(KindScore(kind, some, extra if kind == "body" else ()) for kind, some in of_kind.items() if some)
    return CaseResult(Pair(case, missing, VERSE), kinds, ())
