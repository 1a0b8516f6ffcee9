"""Measurements of a labelled spine: volumes, heights, angles, signal; one row a structure.

Definitions (figure in ``docs/measurements.md``); every length is taken in the structure's own frame, see `cascade.measure.endplates`:

- *Anterior, middle, posterior height*: distance of the two end plates in the mid-sagittal plane (a band 10 mm wide), the mean
  over a fifth of the depth around 4/5, 1/2 and 1/5 of it. The three heights of Genant et al. 1993 (J Bone Miner Res
  8:1137-1148), with bands in place of corner points, because a mask has no sharp corners.
- *Depth, width*: front to rear in the mid-sagittal plane and side to side in the mid-coronal plane, at half height.
- *Wedge angle*: between the two end plates of a body or disc in the sagittal plane, positive where it is higher in front.
- *Height index* of a disc: mean of its three heights over the mean middle height of the bodies that it joins (Chen et al.
  2022, J Clin Neurosci 103:153-162); L5/S1 is related to L5 alone.
- *Signal* of a disc: mean intensity inside it, over that of the cerebrospinal fluid at its height (King et al. 2023,
  JOR Spine 6:e1278; here the upper quartile of the canal, which also holds nerve roots), or, where no canal is labelled,
  over the mean of the bodies that it joins.
- *Segmental angle*: between the upper end plates of a body and of the next one below; the sum over a region is its lordosis
  (Been and Kalichman 2014, Spine J 14:87-97).
- *Lordosis*: Cobb angle between the upper end plates of L1 and S1, or, without sacrum, the upper one of L1 and the lower one
  of L5. Patients who lie have less of it than those who stand.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cascade.errors import InputError
from cascade.io.files import replacing
from cascade.labels import CANAL, SACRUM, is_disc, rank
from cascade.measure.endplates import Mask, Shape, aligned, fit_shape, patient_axes, tilt_deg
from cascade.volume import FloatArray, Grid, LabelMap, Volume

Kind = Literal["body", "disc", "sacrum", "lordosis"]
Cut = Literal["no", "side", "end"]
#: Centres of neighbouring bodies are closer than this; with a body missing between them they are about 75 mm apart.
_NEXT_BODY_MM = 58.0
#: Of the sacrum, the upper end plate is looked for in this much of what lies nearest to the lowest body, and this far to either side.
_SACRUM_TOP_MM, _SACRUM_SIDE_MM = 20.0, 16.0
#: Cerebrospinal fluid is read within this distance of the disc's middle, along the disc's axis.
_CSF_REACH_MM = 10.0
_CSF_MIN_VOXELS = 20


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
    kind: Kind
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


@dataclass(frozen=True, eq=False)
class _Structure:
    """One labelled structure, cropped."""

    name: str
    mask: Mask
    grid: Grid
    box: tuple[slice, slice, slice]
    centroid_mm: FloatArray
    cut: Cut

    @property
    def kind(self) -> Kind:
        return "sacrum" if self.name == SACRUM else "disc" if is_disc(self.name) else "body"


def measure(labels: LabelMap, scan: Volume | None = None, cut: Collection[str] = ()) -> tuple[Measurement, ...]:
    """Measure every body and disc of a label map, and the lordosis.

    Parameters
    ----------
    labels : LabelMap
        Any scheme, any orientation.
    scan : Volume, optional
        On the same grid; without it there is no signal.
    cut : collection of str
        Structures known to be cut by the upper or lower end of the field of view, beside those that reach the border.

    Returns
    -------
    tuple of Measurement
        From head to foot; the lordosis comes last.

    Raises
    ------
    InputError
        `scan` is on another grid.
    """
    if scan is not None and not scan.grid.matches(labels.grid):
        raise InputError("expected scan and labels on the same grid; resample one onto the grid of the other first")
    structures = _structures(labels, frozenset(cut))
    axes = patient_axes(labels.grid)
    shapes = _shapes(structures, axes)
    rows = [_row(structure, shapes.get(structure.name), axes) for structure in structures]
    rows = _with_indices(rows)
    rows = _with_segments(rows, shapes, axes)
    if scan is not None:
        rows = _with_signal(rows, structures, shapes, labels, scan)
    return (*rows, *_lordosis(shapes, axes))


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


def _structures(labels: LabelMap, cut: frozenset[str]) -> list[_Structure]:
    boxes = ndimage.find_objects(labels.data)
    found = []
    for value, name in zip(labels.values, labels.structures, strict=True):
        if name == CANAL:
            continue
        tight = boxes[value - 1]
        box = _grown(tight, labels.grid.shape)
        mask, grid = np.asarray(labels.data[box] == value), labels.grid.cropped(box)
        border: Cut = "end" if name in cut else _border(tight, labels.grid)
        found.append(_Structure(name, mask, grid, box, grid.to_world(np.argwhere(mask).mean(axis=0)), border))
    return sorted(found, key=lambda structure: rank(structure.name))


def _grown(box: tuple[slice, ...], shape: tuple[int, ...]) -> tuple[slice, slice, slice]:
    x, y, z = (slice(max(s.start - 1, 0), min(s.stop + 1, n)) for s, n in zip(box, shape, strict=True))
    return x, y, z


def _border(box: tuple[slice, ...], grid: Grid) -> Cut:
    touched = {code in "LR" for s, n, code in zip(box, grid.shape, grid.axcodes, strict=True) if s.start == 0 or s.stop == n}
    return "end" if False in touched else "side" if touched else "no"


def _shapes(structures: Sequence[_Structure], axes: FloatArray) -> dict[str, Shape]:
    """Shapes of all structures that are not cut by an end of the field of view."""
    centres = [structure.centroid_mm for structure in structures if structure.kind != "sacrum"]
    tangents = _tangents(centres, axes[2])
    shapes: dict[str, Shape] = {}
    for i, structure in enumerate(structures):
        if structure.cut == "end":
            continue
        if structure.kind == "sacrum":
            shape = _sacral_plate(structure, centres, axes)
        else:
            shape = fit_shape(structure.mask, structure.grid, aligned(axes, tangents[i]))
        if shape is not None:
            shapes[structure.name] = shape
    return shapes


def _tangents(centres: Sequence[FloatArray], up: FloatArray) -> FloatArray:
    """Direction of the spine at each centre: central differences, at both ends continued with the same bend."""
    if len(centres) < 2:
        return np.tile(up, (len(centres), 1))
    tangents: FloatArray = -np.gradient(np.array(centres), axis=0, edge_order=2 if len(centres) > 2 else 1)
    return tangents


def _sacral_plate(sacrum: _Structure, centres: Sequence[FloatArray], axes: FloatArray) -> Shape | None:
    """The upper end plate of S1, from the part of the sacrum that lies nearest to the lowest body or disc."""
    if not centres:
        return None
    voxels = np.argwhere(sacrum.mask)
    offsets = sacrum.grid.to_world(voxels) - centres[-1]
    distance = np.linalg.norm(offsets, axis=1)
    near = (distance <= distance.min() + _SACRUM_TOP_MM) & (np.abs(offsets @ axes[0]) <= _SACRUM_SIDE_MM)
    top = np.zeros_like(sacrum.mask)
    top[tuple(voxels[near].T)] = True
    return fit_shape(top, sacrum.grid, aligned(axes, -offsets[near].mean(axis=0)), lower_face=False) if near.any() else None


def _row(structure: _Structure, shape: Shape | None, axes: FloatArray) -> Measurement:
    if structure.cut == "end":
        return Measurement(structure.name, structure.kind, "end")
    x, y, z = (float(value) for value in structure.centroid_mm)
    whole = structure.cut == "no"
    volume_ml = int(structure.mask.sum()) * structure.grid.voxel_mm3 / 1000 if whole else None
    row = Measurement(structure.name, structure.kind, structure.cut, x, y, z, volume_ml)
    if shape is None or structure.kind == "sacrum":
        return row
    anterior, middle, posterior = (_number(height) for height in shape.heights_mm)
    return dataclasses.replace(
        row,
        anterior_mm=anterior,
        middle_mm=middle,
        posterior_mm=posterior,
        depth_mm=_number(shape.depth_mm),
        width_mm=_number(shape.width_mm) if whole else None,
        wedge_deg=tilt_deg(shape.lower, axes) - tilt_deg(shape.upper, axes),
    )


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _neighbours(rows: Sequence[Measurement]) -> Mapping[str, tuple[str, str]]:
    """For each disc the rows next to it, where these are the two bodies it joins."""
    return {
        disc.structure: (above.structure, below.structure)
        for above, disc, below in zip(rows, rows[1:], rows[2:], strict=False)
        if disc.kind == "disc" and above.structure == disc.structure.split("-")[0] and below.kind in ("body", "sacrum")
    }


def _with_indices(rows: Sequence[Measurement]) -> list[Measurement]:
    by_name = {row.structure: row for row in rows}
    joined = _neighbours(rows)
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


def _with_segments(rows: Sequence[Measurement], shapes: Mapping[str, Shape], axes: FloatArray) -> list[Measurement]:
    bodies = [row for row in rows if row.kind in ("body", "sacrum")]
    below = {a.structure: b.structure for a, b in itertools.pairwise(bodies) if _adjacent(a, b)}
    return [
        dataclasses.replace(row, segment_deg=tilt_deg(shapes[low].upper, axes) - tilt_deg(shapes[row.structure].upper, axes))
        if (low := below.get(row.structure)) in shapes and row.structure in shapes and low is not None
        else row
        for row in rows
    ]


def _adjacent(above: Measurement, below: Measurement) -> bool:
    """Tell whether no body is missing between two rows."""
    places = [(row.x_mm, row.y_mm, row.z_mm) for row in (above, below)]
    if any(value is None for place in places for value in place):
        return False
    apart = np.linalg.norm(np.subtract(*np.array(places, dtype=float)))
    return bool(apart < _NEXT_BODY_MM) or (below.kind == "sacrum" and above.structure in ("L5", "L6"))


def _with_signal(
    rows: Sequence[Measurement], structures: Sequence[_Structure], shapes: Mapping[str, Shape], labels: LabelMap, scan: Volume
) -> list[Measurement]:
    means = {s.name: float(scan.data[s.box][s.mask].mean()) for s in structures}
    centres = {s.name: s.centroid_mm for s in structures}
    canal: NDArray[np.intp] = np.argwhere(labels[CANAL]) if CANAL in labels.scheme else np.empty((0, 3), dtype=np.intp)
    joined = _neighbours(rows)
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


def _lordosis(shapes: Mapping[str, Shape], axes: FloatArray) -> Iterator[Measurement]:
    if "L1" not in shapes:
        return
    top = tilt_deg(shapes["L1"].upper, axes)
    if SACRUM in shapes:
        yield Measurement("L1-S1", "lordosis", segment_deg=tilt_deg(shapes[SACRUM].upper, axes) - top)
    elif "L5" in shapes:
        yield Measurement("L1-L5", "lordosis", segment_deg=tilt_deg(shapes["L5"].lower, axes) - top)
