"""How high a disc is, by the bodies that it joins."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from cascade.labels import SACRUM
from cascade.measure.table import Measurement


def neighbours(rows: Sequence[Measurement]) -> Mapping[str, tuple[str, str]]:
    """For each disc the rows next to it, where these are the two bodies it joins."""
    return {
        disc.structure: (above.structure, below.structure)
        for above, disc, below in zip(rows, rows[1:], rows[2:], strict=False)
        if disc.kind == "disc" and above.structure == disc.structure.split("-")[0] and below.kind in ("body", "sacrum")
    }


def with_indices(rows: Sequence[Measurement]) -> list[Measurement]:
    """Add to every disc its mean height over the mean middle height of the bodies that it joins."""
    by_name = {row.structure: row for row in rows}
    joined = neighbours(rows)
    result = []
    for row in rows:
        bodies = [by_name[name].middle_mm for name in joined.get(row.structure, ())]
        heights = (row.anterior_mm, row.middle_mm, row.posterior_mm)
        known = [h for h in bodies if h is not None]
        full = row.kind == "disc" and known and None not in heights and len(known) == _expected(bodies, joined.get(row.structure, ()))
        index = float(np.mean([h for h in heights if h is not None]) / np.mean(known)) if full else None
        result.append(dataclasses.replace(row, height_index=index))
    return result


def _expected(bodies: Sequence[float | None], names: Sequence[str]) -> int:
    """How many body heights an index needs: the sacrum has none, so that of L5/S1 rests on L5 alone."""
    return len(bodies) - (SACRUM in names)
