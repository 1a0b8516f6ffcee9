"""Intensity of discs, by that of the cerebrospinal fluid or the bone beside them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cascade.labels import CANAL, SACRUM
from cascade.measure.discs import neighbours
from cascade.measure.endplates import Shape
from cascade.measure.structures import Structure
from cascade.measure.table import Measurement
from cascade.volume import FloatArray, LabelMap, Volume

#: Cerebrospinal fluid is read within this distance of the disc's middle, along the disc's axis.
_CSF_REACH_MM = 10.0
_CSF_MIN_VOXELS = 20


def with_signal(
    rows: Sequence[Measurement], structures: Sequence[Structure], shapes: Mapping[str, Shape], labels: LabelMap, scan: Volume
) -> list[Measurement]:
    """Add to every disc its mean intensity over that of the cerebrospinal fluid at its height, or of the bodies that it joins."""
    means = {s.name: float(scan.data[s.box][s.mask].mean()) for s in structures}
    centres = {s.name: s.centroid_mm for s in structures}
    canal: NDArray[np.intp] = np.argwhere(labels[CANAL]) if CANAL in labels.scheme else np.empty((0, 3), dtype=np.intp)
    joined = neighbours(rows)
    result = []
    for row in rows:
        if row.kind == "disc" and row.structure in shapes:
            csf = _csf(canal, scan, centres[row.structure], shapes[row.structure].axes[2])
            bodies = [means[name] for name in joined.get(row.structure, ()) if name != SACRUM]
            reference = csf if csf is not None else float(np.mean(bodies)) if bodies else 0.0
            if reference > 0:
                kind: Literal["csf", "bodies"] = "csf" if csf is not None else "bodies"
                row = dataclasses.replace(row, signal=means[row.structure] / reference, signal_reference=kind)
        result.append(row)
    return result


def _csf(canal: NDArray[np.intp], scan: Volume, centre_mm: FloatArray, up: FloatArray) -> float | None:
    if not len(canal):
        return None
    level = np.abs((scan.grid.to_world(canal) - centre_mm) @ up) <= _CSF_REACH_MM
    if level.sum() < _CSF_MIN_VOXELS:
        return None
    return float(np.percentile(scan.data[tuple(canal[level].T)], 75))
