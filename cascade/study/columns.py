"""The bodies of several series in one row: which body of one series is which of another, by where they lie in the world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cascade.volume import FloatArray

#: Bodies of two series are one if they lie no further apart than this share of a step from body to body, once a move is allowed for.
SAME_BODY = 0.6
#: A patient who lies this many mm elsewhere in another series has moved. Centres of one body in a T1, a T2 and a TIRM differ by up to 4 mm.
MOVED_MM = 5.0
#: Where a patient moved, and another way to match the bodies serves as well to this, they cannot be matched.
UNTELLABLE_MM = 2.0
#: Nobody moves further within one frame of reference.
FARTHEST_MM = 60.0
#: Step from body to body where a series shows one alone.
_TYPICAL_STEP_MM = 35.0
#: A move of 4 mm is as unlikely as bodies that all lie 1 mm off.
MOVING = 0.25


@dataclass(frozen=True, eq=False)
class Row:
    """The bodies of one series.

    Parameters
    ----------
    name : str
        Of the series.
    points_mm : (n, 3) array
        Centres from head to foot, RAS+; NaN where a body must be missing.
    across : (3,) array
        Unit vector from slice to slice, along which thick slices and narrow views make centres unsure.
    """

    name: str
    points_mm: FloatArray
    across: FloatArray

    @property
    def step_mm(self) -> float:
        """The usual way from one body to the next."""
        steps = np.linalg.norm(np.diff(filled(self.points_mm), axis=0), axis=1)
        return float(np.median(steps)) if len(steps) else _TYPICAL_STEP_MM


@dataclass
class Column:
    """The bodies of all series, from head to foot.

    Attributes
    ----------
    points_mm : list of (3,) array
        One a place in the column; where the series that was taken up first sees it.
    places : dict of str to tuple of int
        For each series, the place of each of its bodies.
    moved_mm : dict of str to float
        How far from the first series the patient lies, where that is more than `MOVED_MM`.
    strangers : dict of str to str
        Series that could not be matched, and why.
    """

    points_mm: list[FloatArray] = field(default_factory=list)
    places: dict[str, tuple[int, ...]] = field(default_factory=dict)
    moved_mm: dict[str, float] = field(default_factory=dict)
    strangers: dict[str, str] = field(default_factory=dict)


def match(rows: Sequence[Row]) -> Column:
    """Put the bodies of all series into one column; the order of the series does not matter.

    The series with most bodies is first. Each other one is moved so that its row fits the column best, and what then lies where a
    body of the column lies is that body.
    """
    column = Column()
    for row in sorted(rows, key=lambda r: (-int(np.isfinite(r.points_mm[:, 0]).sum()), r.name)):
        if column.points_mm:
            _take_up(row, column)
        else:
            column.points_mm = list(filled(row.points_mm))
            column.places[row.name] = tuple(range(len(row.points_mm)))
    return column


def _take_up(row: Row, column: Column) -> None:
    moves = _moves(row, np.array(column.points_mm))
    if not moves:
        column.strangers[row.name] = "it shows no two vertebrae that another series shows"
        return
    cost, move = moves[0]
    distance = float(np.linalg.norm(_along(move, row)))
    others = [other for other, rival in moves[1:] if np.linalg.norm(_along(rival - move, row)) > SAME_BODY * row.step_mm]
    if distance > MOVED_MM and others and min(others) - cost < UNTELLABLE_MM:
        column.strangers[row.name] = f"the patient moved by {distance:.0f} mm or more, and which vertebra is which cannot be told"
        return
    if distance > MOVED_MM:
        column.moved_mm[row.name] = distance
    points = filled(row.points_mm) - move
    column.places[row.name] = _merged(points, _same(points, row, column.points_mm), column)


def _moves(row: Row, column: FloatArray) -> list[tuple[float, FloatArray]]:
    """Moves (3,) by which two or more of the row's bodies meet some of the column, and what they cost in mm; the best first.

    The cost is how far the bodies are then from those of the column in the mean, and a share of the move: of two that serve as well
    the smaller one is likelier, since spines repeat themselves from level to level.
    """
    bodies = row.points_mm[np.isfinite(row.points_mm[:, 0])]
    moves = []
    for move in (bodies[:, None] - column).reshape(-1, 3):
        distances = _distances(bodies - move, column, row)
        met = distances < SAME_BODY * row.step_mm / 2
        if met.sum() >= min(2, len(bodies), len(column)) and np.linalg.norm(_along(move, row)) <= FARTHEST_MM:
            nearest = [column[np.linalg.norm(_along(column - point, row), axis=1).argmin()] for point in bodies[met] - move]
            best = np.asarray(np.median(bodies[met] - nearest, axis=0))
            cost = _distances(bodies - best, column, row).mean() + MOVING * np.linalg.norm(_along(best, row))
            moves.append((float(cost), best))
    return sorted(moves, key=lambda pair: pair[0])


def _distances(points: FloatArray, column: FloatArray, row: Row) -> FloatArray:
    """How far each point is from the nearest of the column, at most half a step."""
    distances = np.linalg.norm(_along(points[:, None] - column, row), axis=2)
    return np.asarray(np.minimum(distances.min(axis=1), row.step_mm / 2))


def _along(vectors: FloatArray, row: Row) -> FloatArray:
    """Vectors without what lies across the slices."""
    return np.asarray(vectors - np.multiply.outer(vectors @ row.across, row.across))


def _same(points: FloatArray, row: Row, column: Sequence[FloatArray]) -> list[int | None]:
    """For each body of a row the place of the column at which it lies, each place once and from head to foot; None where there is none."""
    found: list[int | None] = []
    last = -1
    for point in points:
        distance = np.linalg.norm(_along(np.array(column) - point, row), axis=1)
        nearest = int(distance.argmin())
        is_same = distance[nearest] <= SAME_BODY * row.step_mm and nearest > last
        found.append(nearest if is_same else None)
        last = nearest if is_same else last
    return found


def _merged(points: FloatArray, same: Sequence[int | None], column: Column) -> tuple[int, ...]:
    """Give bodies that the column does not have yet a place between their neighbours; the places of the row."""
    places: list[int] = []
    added = 0
    for point, place in zip(points, same, strict=True):
        if place is None:
            at = places[-1] + 1 if places else next(place for place in same if place is not None)
            column.points_mm.insert(at, point)
            column.places = {name: tuple(p + (p >= at) for p in taken) for name, taken in column.places.items()}
            added += 1
        else:
            at = place + added
        places.append(at)
    return tuple(places)


def filled(points_mm: FloatArray) -> FloatArray:
    """Centres with those of missing bodies between their neighbours: (n, 3) points, the first and last of which are there."""
    there = np.isfinite(points_mm[:, 0])
    at = np.arange(len(points_mm))
    return np.stack([np.interp(at, at[there], points_mm[there, axis]) for axis in range(3)], axis=1)
