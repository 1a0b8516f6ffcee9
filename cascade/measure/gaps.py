"""What was not measured, and why: for people who look for a number and do not find it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cascade.labels import SACRUM
from cascade.measure.table import Measurement


def unmeasured(rows: Sequence[Measurement]) -> tuple[str, ...]:
    """One sentence for each quantity that no row has, or that a structure lacks."""
    return tuple(_gaps(rows))


def _gaps(rows: Sequence[Measurement]) -> Iterator[str]:
    kinds = {row.kind for row in rows}
    bodies = [row for row in rows if row.kind == "body"]
    cut = [row.structure for row in rows if row.cut == "end"]
    if cut:
        yield f"{', '.join(cut)}: cut by the border of the field of view."
    broken = [row.structure for row in bodies if row.cut != "end" and row.middle_mm is not None and row.wedge_deg is None]
    if broken:
        yield f"Angles and slips of {', '.join(broken)}: heights and end plates disagree; look at the outline."
    if "canal" not in kinds:
        yield "Canal, and bone and discs against its fluid: no canal is labelled."
    elif any(row.canal_ap_mm is not None and row.canal_area_mm2 is None for row in rows):
        yield "Area of the canal at some levels: the left or right border of the scan cuts it."
    if "cobb" not in kinds:
        yield "Sideways bend: fewer than three bodies are whole from side to side."
    if not any(row.structure == SACRUM and row.slope_deg is not None for row in rows):
        yield "Lordosis down to S1, sacral slope and slip of the lowest body: no sacrum is labelled."
    if not any(row.signal is not None for row in rows):
        yield "Signal: the scan has no zero, or there is nothing to compare with."
