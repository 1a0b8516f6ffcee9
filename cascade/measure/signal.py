"""Intensity of discs and bodies, by that of the cerebrospinal fluid or the bone beside them.

Intensities of MR have no unit and no fixed scale; only ratios within one scan can be compared, and only within one kind of sequence.

- *Signal* of a disc: mean intensity inside it over that of the cerebrospinal fluid at its height (King et al. 2023, JOR Spine 6:e1278;
  here the upper quartile of the canal within 10 mm, which also holds nerve roots), or, where no canal is labelled, over the mean of
  the bodies that it joins.
- *Nucleus, annulus*: the same for the middle half of the disc's depth and height, and for the front and rear sixth of its depth,
  both within the mid-sagittal 10 mm.
- *Signal* of a body: its median over the cerebrospinal fluid at its height. The row of the bone is the median of L1 to L4 over the
  fluid at L3: on T1-weighted scans without contrast the vertebral bone quality of Ehresman et al. 2020 (Spine J 20:556-562).
- *CSF signal*: the fluid at a structure over the upper quartile of the whole canal: low where it is pressed out.

All are taken above the scan's zero. A magnitude image has it at 0. One that somebody normalised (it has negative values) has lost it;
air and cortical bone show where it was, if enough of the scan is that dark. Otherwise no ratio means anything, and none is given.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cascade.labels import CANAL, SACRUM
from cascade.measure.discs import neighbours
from cascade.measure.endplates import Morphometry
from cascade.measure.lattice import MIDDLE_MM
from cascade.measure.structures import Structure
from cascade.measure.table import Measurement
from cascade.volume import FloatArray, LabelMap, Volume

#: Cerebrospinal fluid is read within this distance of the structure's middle, along its axis.
_CSF_REACH_MM = 10.0
_CSF_MIN_VOXELS = 20
#: A scan has lost its zero for good if less than this share of it is dark: within a tenth of its range above its darkest hundredth.
_DARK_SHARE, _DARK_RANGE = 0.1, 0.1
#: Parts of a disc's depth (from its middle, in half depths) and height.
_NUCLEUS, _ANNULUS = 0.5, 2 / 3
_BONE_LEVELS, _BONE_CSF_LEVEL = ("L1", "L2", "L3", "L4"), "L3"


@dataclass(frozen=True, eq=False)
class Scene:
    """What signal is read from: a scan, its zero, the canal's voxels, the structures with their morphometry."""

    scan: Volume
    zero: float
    canal: NDArray[np.intp]
    structures: Mapping[str, Structure]
    fits: Mapping[str, Morphometry]

    def inside(self, name: str) -> NDArray[np.floating]:
        """Intensities inside a structure, above the zero."""
        structure = self.structures[name]
        return np.asarray(self.scan.data[structure.box][structure.mask] - self.zero)

    def csf(self, name: str | None = None) -> float | None:
        """Upper quartile of the canal at a structure, or of all of it; None where there is too little of it."""
        near = self.canal
        if name is not None and len(near):
            off = (self.scan.grid.to_world(near) - self.structures[name].centroid_mm) @ self.fits[name].axes[2]
            near = near[np.abs(off) <= _CSF_REACH_MM]
        if len(near) < _CSF_MIN_VOXELS:
            return None
        level = float(np.percentile(self.scan.data[tuple(near.T)], 75)) - self.zero
        return level if level > 0 else None


def look(labels: LabelMap, scan: Volume, structures: Sequence[Structure], fits: Mapping[str, Morphometry]) -> Scene | None:
    """Gather what signal is read from; None where the scan has no zero."""
    zero = zero_of(scan)
    if zero is None:
        return None
    canal: NDArray[np.intp] = np.argwhere(labels[CANAL]) if CANAL in labels.structures else np.empty((0, 3), dtype=np.intp)
    return Scene(scan, zero, canal, {s.name: s for s in structures}, fits)


def zero_of(scan: Volume) -> float | None:
    """The intensity of no signal: 0, or that of air where the scan has negative values; None if too little of it is dark."""
    if scan.data.min() >= 0:
        return 0.0
    low, high = np.percentile(scan.data, [1, 99])
    dark = scan.data[scan.data <= low + _DARK_RANGE * (high - low)]
    return float(np.median(dark)) if dark.size >= _DARK_SHARE * scan.data.size else None


def with_signal(rows: Sequence[Measurement], scene: Scene) -> list[Measurement]:
    """Add the signal of discs and bodies, and that of the cerebrospinal fluid beside them."""
    joined, whole = neighbours(rows), scene.csf()
    result = []
    for row in rows:
        if row.structure in scene.fits and row.kind in ("body", "disc"):
            csf = scene.csf(row.structure)
            row = dataclasses.replace(row, csf_signal=csf / whole if csf and whole else None)
            bodies = [name for name in joined.get(row.structure, ()) if name != SACRUM]
            row = _disc(row, scene, csf, bodies) if row.kind == "disc" else _body(row, scene, csf)
        result.append(row)
    return result


def bone(rows: Sequence[Measurement], scene: Scene) -> Iterator[Measurement]:
    """Yield the median signal of L1 to L4 over the cerebrospinal fluid at L3, where all four are seen."""
    seen = {row.structure for row in rows if row.structure in scene.fits}
    csf = scene.csf(_BONE_CSF_LEVEL) if _BONE_CSF_LEVEL in seen else None
    if csf and seen >= set(_BONE_LEVELS):
        median = float(np.median([np.median(scene.inside(name)) for name in _BONE_LEVELS]))
        yield Measurement(f"{_BONE_LEVELS[0]}-{_BONE_LEVELS[-1]}", "bone", signal=max(median, 0.0) / csf, signal_reference="csf")


def _body(row: Measurement, scene: Scene, csf: float | None) -> Measurement:
    if csf is None:
        return row
    return dataclasses.replace(row, signal=max(float(np.median(scene.inside(row.structure))), 0.0) / csf, signal_reference="csf")


def _disc(row: Measurement, scene: Scene, csf: float | None, bodies: Sequence[str]) -> Measurement:
    reference = csf if csf is not None else float(np.mean([scene.inside(name).mean() for name in bodies])) if bodies else 0.0
    if reference <= 0:
        return row
    inside = scene.inside(row.structure)
    nucleus, annulus = (_mean_over(inside[part], reference) for part in _parts(scene, row.structure))
    return dataclasses.replace(
        row,
        signal=_mean_over(inside, reference),
        nucleus_signal=nucleus,
        annulus_signal=annulus,
        signal_reference="csf" if csf is not None else "bodies",
    )


def _parts(scene: Scene, name: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which voxels of a disc lie in its nucleus, and which in its annulus."""
    structure, axes = scene.structures[name], scene.fits[name].axes
    points = structure.grid.to_world(np.argwhere(structure.mask)) - structure.centroid_mm
    middle = np.abs(points @ axes[0]) <= MIDDLE_MM
    place, height = (_scaled(points @ axis, middle) for axis in (axes[1], axes[2]))
    return middle & (np.abs(place) <= _NUCLEUS) & (np.abs(height) <= _NUCLEUS), middle & (np.abs(place) >= _ANNULUS)


def _scaled(values: FloatArray, chosen: NDArray[np.bool_]) -> FloatArray:
    """-1 to 1 from the lowest to the highest of the chosen ones."""
    low, high = (values[chosen].min(), values[chosen].max()) if chosen.any() else (0.0, 0.0)
    return (values - (low + high) / 2) / max((high - low) / 2, 1e-6)


def _mean_over(values: NDArray[np.floating], reference: float) -> float | None:
    return max(float(values.mean()), 0.0) / reference if values.size else None
