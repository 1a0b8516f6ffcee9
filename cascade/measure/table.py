"""One row a structure: what the columns mean, and the table as text."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cascade.io.files import replacing
from cascade.labels import Kind

Cut = Literal["no", "side", "end"]


@dataclass(frozen=True)
class Measurement:
    """One row of the table; None where a quantity does not apply or cannot be measured.

    Parameters
    ----------
    structure : str
        ``"L4"``, ``"L4-L5"``, ``"sacrum"``; for the lordosis the two levels it is taken between, ``"L1-S1"`` or ``"L1-L5"``.
    kind : {"body", "disc", "sacrum", "lordosis"}
    cut : {"no", "side", "end"}
        Cut by the upper, lower, front or rear border of the field of view (``"end"``, nothing is measured) or by its left or right one
        (``"side"``, neither volume nor width is).
    x_mm, y_mm, z_mm : float or None
        Centroid, RAS+.
    volume_ml : float or None
    anterior_mm, middle_mm, posterior_mm : float or None
        Heights.
    depth_mm, width_mm : float or None
    wedge_deg, segment_deg : float or None
        Positive: lordotic. `segment_deg` of a lordosis row is the lordosis.
    height_index, signal : float or None
    signal_reference : {"csf", "bodies"} or None
    """

    structure: str
    kind: Kind | Literal["lordosis"]
    cut: Cut = "no"
    x_mm: float | None = None
    y_mm: float | None = None
    z_mm: float | None = None
    volume_ml: float | None = None
    anterior_mm: float | None = None
    middle_mm: float | None = None
    posterior_mm: float | None = None
    depth_mm: float | None = None
    width_mm: float | None = None
    wedge_deg: float | None = None
    segment_deg: float | None = None
    height_index: float | None = None
    signal: float | None = None
    signal_reference: Literal["csf", "bodies"] | None = None


#: The columns of a table, in order.
COLUMNS = tuple(field.name for field in dataclasses.fields(Measurement))
_DECIMALS = {"volume_ml": 2, "height_index": 3, "signal": 3}


def table(rows: Sequence[Measurement]) -> str:
    """Return the rows as tab-separated text with a heading; ``n/a`` where a quantity does not apply."""
    lines = ["\t".join(COLUMNS)]
    lines += ["\t".join(_cell(column, getattr(row, column)) for column in COLUMNS) for row in rows]
    return "\n".join(lines) + "\n"


def save_table(rows: Sequence[Measurement], path: Path) -> None:
    """Write `table`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(table(rows), encoding="utf-8")


def _cell(column: str, value: str | float | None) -> str:
    if value is None:
        return "n/a"
    return value if isinstance(value, str) else f"{value:.{_DECIMALS.get(column, 1)}f}"
