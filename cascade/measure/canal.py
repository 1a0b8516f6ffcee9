"""The canal across its own axis: front to rear, area, narrowest place.

The axis is the line through the centroids of the canal's horizontal slabs, smoothed. Every millimetre the mask is cut at a right angle
to it. *AP* is the distance from front to rear wall through the middle of that cut (of the ellipse fitted to the chords within 5 mm of
it); *area* that of the piece around the axis. Limits for both, of axial scans, are compared by Steurer et al. 2011 (BMC Musculoskelet
Disord 12:175).
What is labelled as canal is the dural sac in SPIDER, so expect its diameters, not those between the bones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cascade.centreline import lengths_along
from cascade.labels import CANAL
from cascade.measure.endplates import Morphometry, aligned
from cascade.measure.lattice import Mask, crossings
from cascade.measure.structures import Structure
from cascade.measure.table import Measurement
from cascade.volume import FloatArray, Grid, LabelMap, boxes_of, grown_box

#: Slabs for the axis are at least this thick; the axis is smoothed over this length (standard deviation).
_SLAB_MM, _SMOOTH_MM = 2.0, 5.0
#: The canal is cut every so many mm; the ends of the axis, where the smoothing bends it, are left out.
_STEP_MM, _END_MM = 1.0, 4.0
#: A cut reaches this far to the sides and to the front and rear, with this step.
_SIDE_MM, _FRONT_MM, _PIXEL_MM = 24.0, 18.0, 0.5
#: Half the width of the band in which the diameter is read.
_BAND_MM = 5.0
_MIN_CHORDS = 5
#: What a level is told is the mean over so many cuts above and below it.
_AROUND = 2
#: A cut whose nearest piece lies further from the axis than this is no cut of the canal.
_MAX_OFF_MM = 5.0
_MIN_VOXELS = 50


@dataclass(frozen=True, eq=False)
class Canal:
    """Cuts across the canal from head to foot, one each millimetre.

    Parameters
    ----------
    places_mm : (n, 3) array
        On the axis, RAS+.
    ap_mm : (n,) array
    area_mm2 : (n,) array
        NaN where the left or right border of the field of view cuts the canal.
    walls_mm : (n, 2, 3) array
        Where the rear and the front wall are met in the middle, RAS+.
    """

    places_mm: FloatArray
    ap_mm: FloatArray
    area_mm2: FloatArray
    walls_mm: FloatArray

    def nearest(self, centre_mm: FloatArray, up: FloatArray) -> int | None:
        """Index of the cut in the plane through `centre_mm` across `up`; None if the canal does not reach it."""
        off = (self.places_mm - centre_mm) @ up
        index = int(np.abs(off).argmin())
        return index if abs(off[index]) <= _STEP_MM else None

    def around(self, index: int) -> tuple[float | None, float | None]:
        """AP and area, the mean over five neighbouring cuts; None where one of them is missing."""
        window = slice(max(index - _AROUND, 0), index + _AROUND + 1)
        ap_mm, area_mm2 = float(self.ap_mm[window].mean()), float(self.area_mm2[window].mean())
        return ap_mm if np.isfinite(ap_mm) else None, area_mm2 if np.isfinite(area_mm2) else None


def cut_canal(labels: LabelMap, axes: FloatArray) -> Canal | None:
    """Cut the labelled canal across its axis.

    Parameters
    ----------
    labels : LabelMap
    axes : (3, 3) array
        Rows right, front, up of the patient, RAS+.

    Returns
    -------
    Canal or None
        None where none is labelled, or too little.
    """
    if CANAL not in labels.structures:
        return None
    value = labels.scheme[CANAL]
    box = grown_box(boxes_of(labels.data)[value], 1, labels.grid.shape)
    mask, grid = np.asarray(labels.data[box] == value), labels.grid.cropped(box)
    line_mm = _axis(grid.to_world(np.argwhere(mask)), axes, grid)
    if line_mm is None:
        return None
    tangents = np.gradient(line_mm, axis=0)
    open_sides = _open_sides(box, labels.grid)
    padded = mask.astype(np.float32)
    cuts = [_cut(padded, grid, place, aligned(axes, -tangent), open_sides) for place, tangent in zip(line_mm, tangents, strict=True)]
    inner = slice(round(_END_MM / _STEP_MM), -round(_END_MM / _STEP_MM))
    ap_mm, area_mm2, right_mm, front_mm = np.array(cuts)[inner].T
    frames = np.stack([aligned(axes, -tangent) for tangent in tangents[inner]])
    middle_mm = line_mm[inner] + right_mm[:, None] * frames[:, 0] + front_mm[:, None] * frames[:, 1]
    reach_mm = ap_mm[:, None] / 2 * frames[:, 1]
    return Canal(line_mm[inner], ap_mm, area_mm2, np.stack([middle_mm - reach_mm, middle_mm + reach_mm], axis=1))


def with_canal(
    rows: Sequence[Measurement], canal: Canal, structures: Sequence[Structure], fits: Mapping[str, Morphometry]
) -> list[Measurement]:
    """Add to every body and disc the canal behind its middle."""
    centres = {structure.name: structure.centroid_mm for structure in structures}
    result = []
    for row in rows:
        index = canal.nearest(centres[row.structure], fits[row.structure].axes[2]) if _is_level(row, fits) else None
        if index is not None:
            ap_mm, area_mm2 = canal.around(index)
            row = dataclasses.replace(row, canal_ap_mm=ap_mm, canal_area_mm2=area_mm2)
        result.append(row)
    return result


def narrowest(
    rows: Sequence[Measurement], canal: Canal, structures: Sequence[Structure], fits: Mapping[str, Morphometry]
) -> Iterator[Measurement]:
    """Yield where the canal is narrowest from front to rear, between the first and the last body or disc that is not cut."""
    centres = {s.name: s.centroid_mm for s in structures}
    levels = {row.structure: index for row in rows if _is_level(row, fits)
              if (index := canal.nearest(centres[row.structure], fits[row.structure].axes[2])) is not None}  # fmt: skip
    if not levels:
        return
    first, last = min(levels.values()), max(levels.values())
    ap_mm = np.array([canal.around(i)[0] or np.nan for i in range(first, last + 1)])
    if not np.isfinite(ap_mm).any():
        return
    index = first + int(np.nanargmin(ap_mm))
    level = min(levels, key=lambda name: abs(levels[name] - index))
    x, y, z = (float(v) for v in canal.places_mm[index])
    least_mm, area_mm2 = canal.around(index)
    yield Measurement(CANAL, "canal", "no", x, y, z, canal_ap_mm=least_mm, canal_area_mm2=area_mm2, canal_at=level)


def _is_level(row: Measurement, fits: Mapping[str, Morphometry]) -> bool:
    return row.kind in ("body", "disc") and row.structure in fits


def _axis(points_mm: FloatArray, axes: FloatArray, grid: Grid) -> FloatArray | None:
    """A smooth line through the canal from head to foot, a point each millimetre; None where it is too short."""
    if len(points_mm) < _MIN_VOXELS:
        return None
    along = -(points_mm @ axes[2])
    slab_mm = max(_SLAB_MM, 1.01 * float(np.abs(axes[2] @ grid.vox2world[:3, :3]).max()))
    bins = ((along - along.min()) / slab_mm).astype(int)
    counts = np.bincount(bins)
    seen = np.flatnonzero(counts)
    centres = np.stack([np.bincount(bins, points_mm[:, axis])[seen] / counts[seen] for axis in range(3)], axis=1)
    if len(centres) < 2:
        return None
    fine = _resampled(centres)
    if len(fine) <= 2 * _END_MM / _STEP_MM + 2:
        return None
    return _resampled(ndimage.gaussian_filter1d(fine, _SMOOTH_MM / _STEP_MM, axis=0, mode="nearest"))


def _resampled(line_mm: FloatArray) -> FloatArray:
    """The same line with a point each millimetre of its length."""
    length = lengths_along(line_mm)
    places = np.arange(0, length[-1], _STEP_MM)
    return np.stack([np.interp(places, length, line_mm[:, axis]) for axis in range(3)], axis=1)


def _open_sides(box: tuple[slice, slice, slice], whole: Grid) -> tuple[int, bool, bool]:
    """The left-right axis, and whether the box ends at either border of the field of view along it."""
    axis = next(i for i, code in enumerate(whole.axcodes) if code in "LR")
    return axis, box[axis].start == 0, box[axis].stop == whole.shape[axis]


def _cut(
    mask: NDArray[np.float32], grid: Grid, place_mm: FloatArray, axes: FloatArray, sides: tuple[int, bool, bool]
) -> tuple[float, float, float, float]:
    """AP and area of one cut, and how far its middle lies to the right and to the front of the axis.

    NaN where there is no cut; the area is NaN where a side of the field of view cuts it.
    """
    right, front = (np.arange(-reach, reach + _PIXEL_MM / 2, _PIXEL_MM) for reach in (_SIDE_MM, _FRONT_MM))
    step = np.linalg.inv(grid.vox2world[:3, :3]) @ (axes[:2].T * _PIXEL_MM)
    start = grid.to_voxels(place_mm + right[0] * axes[0] + front[0] * axes[1])
    voxels = start + np.indices((len(right), len(front))).reshape(2, -1).T @ step.T
    occupancy = ndimage.map_coordinates(mask, voxels.T, order=1, mode="grid-constant").reshape(len(right), len(front))
    piece = _piece(np.asarray(occupancy >= 0.5), right, front)
    if piece is None:
        return np.nan, np.nan, np.nan, np.nan
    middle = float(right[np.nonzero(piece)[0]].mean())
    band = np.abs(right - middle) <= _BAND_MM
    low, high = crossings(np.where(ndimage.binary_dilation(piece), occupancy, 0.0)[band], front)
    axis, first, last = sides
    across = voxels[piece.ravel(), axis]
    cut = (first and across.min() <= 0) or (last and across.max() >= mask.shape[axis] - 1)
    ap_mm = _middle_chord(high - low, right[band] - middle)
    return ap_mm, np.nan if cut else float(piece.sum()) * _PIXEL_MM**2, middle, float(np.nanmedian((low + high) / 2))


def _middle_chord(chords_mm: FloatArray, off_mm: FloatArray) -> float:
    """Chord through the middle: that of the ellipse fitted to the chords beside it, which the voxels' steps hit at different places."""
    seen = np.isfinite(chords_mm)
    if seen.sum() < _MIN_CHORDS:
        return np.nan
    design = np.column_stack([np.ones(seen.sum()), off_mm[seen] ** 2])
    squared = float(np.linalg.lstsq(design, chords_mm[seen] ** 2, rcond=None)[0][0])
    return float(np.sqrt(max(squared, 0.0)))


def _piece(inside: Mask, right: FloatArray, front: FloatArray) -> Mask | None:
    """The piece of a cut that lies nearest to its middle."""
    if not inside.any():
        return None
    off = np.where(inside, np.hypot(*np.meshgrid(right, front, indexing="ij")), np.inf)
    nearest = np.unravel_index(int(off.argmin()), off.shape)
    if off[nearest] > _MAX_OFF_MM:
        return None
    pieces, _ = ndimage.label(inside)
    return np.asarray(pieces == pieces[nearest])
