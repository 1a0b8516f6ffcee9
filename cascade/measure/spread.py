"""The error of each number, from what was measured again on views of the scan.

The standard deviation over scan and views tells how far a number rests on noise, on where the voxels lie and on where the networks are
unsure of a border. It knows nothing of what all views get wrong, so it is calibrated: ``sd^2 = floor^2 + (factor * spread)^2``, with
factor and floor of each column fitted to results and reference labels (`cascade.measure.calibration`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from cascade.measure.calibration import CALIBRATION
from cascade.measure.table import Measurement

#: Rows of these kinds are alone in a table, and what they are called differs from view to view.
_ALONE = ("canal", "bone", "cobb")


def with_spread(rows: Sequence[Measurement], again: Sequence[Sequence[Measurement]]) -> tuple[Measurement, ...]:
    """Add to every row the standard deviations of its numbers.

    Parameters
    ----------
    rows : sequence of Measurement
    again : sequence of sequence of Measurement
        The rows of each view.
    """
    views = by_row(again)
    return tuple(dataclasses.replace(row, sd=dict(_errors(row, views))) for row in rows)


def by_row(again: Sequence[Sequence[Measurement]]) -> list[dict[tuple[str, str], Measurement]]:
    """The rows of each view by what they are about."""
    return [{_key(row): row for row in view} for view in again]


def spread(row: Measurement, views: Sequence[Mapping[tuple[str, str], Measurement]], column: str) -> float | None:
    """Standard deviation of one number over scan and views; None where fewer than two views, or half of them, tell it."""
    seen = [getattr(view[_key(row)], column) for view in views if _key(row) in view]
    told = [float(value) for value in seen if value is not None]
    if getattr(row, column) is None or len(told) < max(2, len(views) / 2):
        return None
    return float(np.std([getattr(row, column), *told], ddof=1))


def _errors(row: Measurement, views: Sequence[Mapping[tuple[str, str], Measurement]]) -> Iterator[tuple[str, float]]:
    for column, (factor, floor) in CALIBRATION.get(row.kind, {}).items():
        seen = spread(row, views, column)
        if seen is not None:
            yield column, float(np.hypot(floor, factor * seen))


def _key(row: Measurement) -> tuple[str, str]:
    return row.kind, "" if row.kind in _ALONE else row.structure
