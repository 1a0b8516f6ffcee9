"""One row a structure: what the columns mean, and the table as text."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cascade.errors import InputError
from cascade.io.files import replacing
from cascade.labels import Kind
from cascade.measure.calibration import CALIBRATED

#: What a row is about: a structure, or what lies between several.
RowKind = Kind | Literal["bone", "cobb", "lordosis"]
Cut = Literal["no", "side", "end"]


@dataclass(frozen=True)
class Measurement:
    """One row of the table; None where a quantity does not apply or cannot be measured.

    Parameters
    ----------
    structure : str
        ``"L4"``, ``"L4-L5"``, ``"sacrum"``, ``"canal"``; for a lordosis or Cobb angle the two levels it is taken between
        (``"L1-S1"``), for the bone the levels it is the median of.
    kind : {"body", "disc", "sacrum", "canal", "bone", "cobb", "lordosis"}
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
    slip_mm, slip_percent : float or None
        Of a body on the next one below; positive: to the front.
    slip_grade : int or None
        Meyerding's, 1 to 5; 0: less than 3 mm forwards or 5 mm backwards (8.5 mm on S1).
    slope_deg, cobb_deg : float or None
        Of the sacrum; of the largest sideways bend, positive where it is open to the right.
    anterior_loss_percent, middle_loss_percent, posterior_loss_percent : float or None
        Per cent by which a body is lower than its neighbours let expect.
    loss_grade : int or None
        Genant's, 0 to 3, by the largest of the three.
    height_index : float or None
    canal_ap_mm, canal_area_mm2 : float or None
        Of the canal at the middle of the structure, across its axis; in the canal's row, at its narrowest place.
    canal_at : str or None
        In the canal's row: the body or disc at which it is narrowest.
    csf_signal : float or None
        Of the canal at the structure, over that of the whole canal.
    signal, nucleus_signal, annulus_signal : float or None
        Of the whole disc or body and of the disc's two parts, over that of the reference.
    signal_reference : {"csf", "bodies"} or None
    sd : mapping of str to float, optional
        Standard deviation by column, where the scan was seen again; see `cascade.measure.spread`.

    Examples
    --------
    >>> from cascade.measure import measure
    >>> from cascade.phantom import PhantomSpec, render
    >>> _, labels = render(PhantomSpec(shape=(13, 110, 140), spacing_mm=(5.0, 2.0, 2.0)))
    >>> row = next(row for row in measure(labels) if row.structure == "L4")
    >>> row.kind, round(row.volume_ml or 0)
    ('body', 34)
    """

    structure: str
    kind: RowKind
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
    slip_mm: float | None = None
    slip_percent: float | None = None
    slip_grade: int | None = None
    slope_deg: float | None = None
    cobb_deg: float | None = None
    anterior_loss_percent: float | None = None
    middle_loss_percent: float | None = None
    posterior_loss_percent: float | None = None
    loss_grade: int | None = None
    height_index: float | None = None
    canal_ap_mm: float | None = None
    canal_area_mm2: float | None = None
    canal_at: str | None = None
    csf_signal: float | None = None
    signal: float | None = None
    nucleus_signal: float | None = None
    annulus_signal: float | None = None
    signal_reference: Literal["csf", "bodies"] | None = None
    sd: Mapping[str, float] | None = None


#: The columns of a table, in order; a scan that was seen again has one more behind each that is in `CALIBRATION`, with `SD` at its end.
COLUMNS = tuple(field.name for field in dataclasses.fields(Measurement) if field.name != "sd")
SD = "_sd"
_DECIMALS = {"volume_ml": 2, "canal_area_mm2": 0} | dict.fromkeys(
    ("height_index", "csf_signal", "signal", "nucleus_signal", "annulus_signal"), 3
)


def table(rows: Sequence[Measurement]) -> str:
    """Return the rows as tab-separated text with a heading; ``n/a`` where a quantity does not apply."""
    lines = ["\t".join(_columns(rows))]
    lines += ["\t".join(_cell(column, value) for column, value in _values(row, _columns(rows)).items()) for row in rows]
    return "\n".join(lines) + "\n"


def as_dict(row: Measurement) -> dict[str, str | float | None]:
    """A row as plain types by column."""
    return _values(row, _columns([row]))


def _columns(rows: Sequence[Measurement]) -> list[str]:
    """The columns that a table of these rows has."""
    calibrated = CALIBRATED if any(row.sd is not None for row in rows) else frozenset()
    return [name for column in COLUMNS for name in ((column, column + SD) if column in calibrated else (column,))]


def _values(row: Measurement, columns: Sequence[str]) -> dict[str, str | float | None]:
    sd = {column + SD: value for column, value in (row.sd or {}).items()}
    return {column: getattr(row, column) if column in COLUMNS else sd.get(column) for column in columns}


def save_table(rows: Sequence[Measurement], path: Path) -> None:
    """Write `table`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(table(rows), encoding="utf-8")


def numbers(row: Measurement) -> dict[str, float]:
    """The numbers of a row by their column, rounded as in the table."""
    return {column: float(_cell(column, value)) for column, value in as_dict(row).items() if isinstance(value, int | float)}


def combine_tables(tables: Mapping[str, Path], path: Path) -> None:
    """Write the tables of several scans as one: their rows one after the other, led by the scan's name in a column ``scan``.

    Raises
    ------
    InputError
        A table has other columns than the first one: it is of another version.
    """
    heading, lines = "", []
    for scan, table_path in tables.items():
        first, *rows = table_path.read_text(encoding="utf-8").splitlines() or [""]
        heading = heading or first
        if first != heading:
            raise InputError(f"{table_path}: expected the columns of the other tables; found others; measure the scan again")
        lines += [f"{scan}\t{row}" for row in rows]
    with replacing(path) as temporary:
        content = "\n".join([f"scan\t{heading}", *lines]) + "\n"
        temporary.write_text(content, encoding="utf-8", errors="surrogateescape")  # a file name need not be text


def _cell(column: str, value: str | float | None) -> str:
    if value is None:
        return "n/a"
    return str(value) if isinstance(value, str | int) else f"{value:.{_DECIMALS.get(column.removesuffix(SD), 1)}f}"
