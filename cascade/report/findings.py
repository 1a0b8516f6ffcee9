"""What stands above the tables of a page: the canal, narrowest level first, slips, lost height, bone, and what was not measured."""

from __future__ import annotations

import html
from collections.abc import Sequence

from cascade.labels import SACRUM
from cascade.measure import Measurement, unmeasured
from cascade.measure.alignment import MIN_SLIP_MM
from cascade.report.picture import display_name, display_span

#: Widths of the canal that the table of it shows at most, narrowest first.
_LEVELS = 6


def findings(rows: Sequence[Measurement]) -> str:
    """The section of a page, as HTML."""
    return f"<section><h2>Canal and alignment</h2>{_canal(rows)}{_facts(rows)}{_gaps(rows)}</section>"


def _canal(rows: Sequence[Measurement]) -> str:
    levels = [row for row in rows if row.kind in ("body", "disc") and row.canal_ap_mm is not None]
    if not levels:
        return ""
    narrowest = sorted(levels, key=lambda row: row.canal_ap_mm or 0.0)[:_LEVELS]
    cells = "".join(
        f'<tr data-s="{row.structure}"><th scope="row">{display_name(row.structure)}</th><td>{_told(row, "canal_ap_mm", 1)}</td>'
        f"<td>{_told(row, 'canal_area_mm2', 0)}</td><td>{_told(row, 'csf_signal', 2)}</td></tr>"
        for row in narrowest
    )
    head = (
        '<th scope="col">Canal at</th><th scope="col" title="front to rear across its axis">AP<small>mm</small></th>'
        '<th scope="col" title="across its axis">Area<small>mm²</small></th>'
        '<th scope="col" title="its fluid over that of the whole canal">Fluid</th>'
    )
    return f'<div class="scroll"><table id="canal"><thead><tr>{head}</tr></thead><tbody>{cells}</tbody></table></div>'


def _facts(rows: Sequence[Measurement]) -> str:
    facts = [*_narrowest(rows), *_slips(rows), *_losses(rows), *_angles(rows), *_bone(rows)]
    return f"<ul>{''.join(f'<li>{html.escape(fact)}</li>' for fact in facts)}</ul>" if facts else ""


def _narrowest(rows: Sequence[Measurement]) -> list[str]:
    return [
        f"The canal is narrowest at {display_name(row.canal_at or '')}: {_told(row, 'canal_ap_mm', 1)} mm from front to rear."
        for row in rows
        if row.kind == "canal"
    ]


def _slips(rows: Sequence[Measurement]) -> list[str]:
    known = [row for row in rows if row.slip_mm is not None]
    slipped = sorted((row for row in known if row.slip_grade), key=lambda row: -abs(row.slip_mm or 0.0))
    if known and not slipped:
        front, rear, on_s1 = (f"{MIN_SLIP_MM[where]:g} mm" for where in ("front", "rear", "rear on S1"))
        return [f"Listhesis: none (anterolisthesis counts from {front}, retrolisthesis from {rear}, on S1 from {on_s1})."]
    return [
        f"{'Anterolisthesis' if (row.slip_mm or 0) > 0 else 'Retrolisthesis'} of {display_name(row.structure)} on the level below: "
        f"{abs(row.slip_mm or 0):.1f}{_error(row, 'slip_mm', 1)} mm ({abs(row.slip_percent or 0):.0f} % of its end plate), "
        f"Meyerding {row.slip_grade}."
        for row in slipped
    ]


def _losses(rows: Sequence[Measurement]) -> list[str]:
    words = {1: "mild", 2: "moderate", 3: "severe"}
    lost = [row for row in rows if row.loss_grade]
    return [
        f"{display_name(row.structure)} is lower than its neighbours let expect, by {_losses_of(row)}: {words[row.loss_grade or 1]}."
        for row in lost
    ]


def _losses_of(row: Measurement) -> str:
    parts = (("in front", "anterior_loss_percent"), ("in the middle", "middle_loss_percent"), ("at the rear", "posterior_loss_percent"))
    return ", ".join(f"{_told(row, column, 0)} % {where}" for where, column in parts if (getattr(row, column) or 0) >= 10)


def _angles(rows: Sequence[Measurement]) -> list[str]:
    found = [f"Lordosis {display_span(row.structure)}: {_told(row, 'segment_deg', 0)}°, lying." for row in rows if row.kind == "lordosis"]
    found += [
        f"Sacral slope: {_number(row.slope_deg, 0)}°, lying." for row in rows if row.structure == SACRUM and row.slope_deg is not None
    ]
    return found + [
        f"Largest sideways bend: {abs(row.cobb_deg or 0):.0f}° from {display_span(row.structure)}, open to the "
        f"{'right' if (row.cobb_deg or 0) > 0 else 'left'}."
        for row in rows
        if row.kind == "cobb"
    ]


def _bone(rows: Sequence[Measurement]) -> list[str]:
    return [
        f"Bone of {display_span(row.structure)} over the fluid at L3: {_told(row, 'signal', 2)} "
        "(on T1 without contrast the vertebral bone quality)."
        for row in rows
        if row.kind == "bone"
    ]


def _gaps(rows: Sequence[Measurement]) -> str:
    unsure = () if any(row.sd for row in rows) else ("Errors of the numbers: cascade-segment tells them with --repeat 5.",)
    gaps = (*unmeasured(rows), *unsure) if rows else ()
    items = "".join(f"<li>{html.escape(gap)}</li>" for gap in gaps)
    return f'<div class="notes" id="unmeasured"><h3>Not measured</h3><ul>{items}</ul></div>' if gaps else ""


def _told(row: Measurement, column: str, decimals: int) -> str:
    """A number, with its error where the scan was seen again."""
    return _number(getattr(row, column), decimals) + _error(row, column, decimals)


def _error(row: Measurement, column: str, decimals: int) -> str:
    sd = (row.sd or {}).get(column)
    return "" if sd is None else f" \N{PLUS-MINUS SIGN} {sd:.{decimals}f}"


def _number(value: float | None, decimals: int) -> str:
    return "n/a" if value is None else f"{value:.{decimals}f}".replace("-", "\N{MINUS SIGN}")
