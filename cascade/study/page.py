"""What the page of a study shows beside its series: warnings, and what each axial slice shows."""

from __future__ import annotations

import html
from collections.abc import Sequence

from cascade.notices import Notice
from cascade.report.page import shown
from cascade.report.picture import display_name
from cascade.study.slices import Slice

_HEADINGS = ("series", "stack", "slice", "shows", "part", "nearest disc", "above its middle, mm", "tilt, degrees")


def notes_of(warnings: Sequence[Notice], slices: Sequence[Slice]) -> str:
    """HTML for the page: a list and a table, each if there is anything to tell."""
    return _list(warnings) + _table(slices)


def _list(warnings: Sequence[Notice]) -> str:
    items = "".join(f"<li><code>{html.escape(notice.code)}</code> {html.escape(shown(notice.text))}</li>" for notice in warnings)
    return f'<section class="notes" role="alert"><h2>Warnings</h2><ul>{items}</ul></section>' if items else ""


def _table(slices: Sequence[Slice]) -> str:
    head = "".join(f'<th scope="col">{heading}</th>' for heading in _HEADINGS)
    rows = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in _cells(row))}</tr>" for row in slices)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f"<section><h2>Axial slices</h2>{table}</section>" if rows else ""


def _cells(row: Slice) -> list[str]:
    told = (display_name(row.structure or "not reached"), row.part, row.disc and display_name(row.disc), row.distance_mm, row.tilt_deg)
    return [row.series, str(row.stack), str(row.number), *("" if value is None else str(value) for value in told)]
