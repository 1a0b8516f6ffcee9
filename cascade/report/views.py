"""Pictures for the report: a grey image as a data URI with the outlines of the structures as SVG paths above it."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.measure import find_contours

from cascade.labels import is_disc, is_level
from cascade.measure import Mark
from cascade.report.picture import PIXEL_MM, curved_cut, display_name, to_grey, window
from cascade.volume import FloatArray, Grid, LabelMap, Volume

#: What is shown around the labelled structures in the curved views.
_MARGIN_MM = 32.0
#: A curved view is at least this wide; what lies outside the scan is black.
_MIN_WIDTH_MM = 116.0
_MAX_SLICES = 60
#: Longest side of a slice in pixels, the largest that keeps all slices within the budget.
_SLICE_SIDES = (640, 448, 320, 224)
_BUDGET_BYTES = 3_500_000
_JPEG_QUALITY = 82
#: Pixels in front of a disc that its name needs; without them it is written into the disc.
_ROOM_FOR_A_NAME = 48
#: Outlines are smoothed over this many points of the contour, and every third of them is drawn.
_SMOOTH, _EVERY = 5, 3


@dataclass(frozen=True)
class Outline:
    """One structure in one picture.

    Parameters
    ----------
    structure : str
    path : str
        SVG path data in the picture's pixels.
    at : (2,) tuple of float
        Where its name goes, x and y.
    anchor : str
        SVG text-anchor.
    """

    structure: str
    path: str
    at: tuple[float, float]
    anchor: str

    @property
    def text(self) -> str:
        """The name as people write it."""
        return display_name(self.structure)


@dataclass(frozen=True)
class Stroke:
    """A measured length in a picture.

    Parameters
    ----------
    kind, structure, text : str
    ends : (4,) tuple of float
        x and y of both ends.
    """

    kind: str
    structure: str
    text: str
    ends: tuple[float, float, float, float]


@dataclass(frozen=True)
class View:
    """A picture with outlines.

    Parameters
    ----------
    title : str
    source : str
        JPEG as a data URI.
    width, height : int
        In pixels.
    pixel_mm : float
    outlines : tuple of Outline
    sides : (2,) tuple of str
        What lies to the left and to the right of the picture: R and L, or A(nterior) and P(osterior).
    strokes : tuple of Stroke
    """

    title: str
    source: str
    width: int
    height: int
    pixel_mm: float
    outlines: tuple[Outline, ...]
    sides: tuple[str, str] = ("A", "P")
    strokes: tuple[Stroke, ...] = ()


def curved_view(
    scan: Volume, labels: LabelMap, centreline_mm: FloatArray, plane: Literal["sagittal", "coronal"], marks: Sequence[Mark] = ()
) -> View:
    """Cut along the column in one plane, cropped around what is labelled.

    Parameters
    ----------
    scan : Volume
    labels : LabelMap
        Same grid.
    centreline_mm : (n, 3) array
        RAS+.
    plane : {"sagittal", "coronal"}
    marks : sequence of Mark
        What to draw over a sagittal cut.
    """
    scan, labels = scan.reoriented("RAS"), labels.reoriented("RAS")
    points = curved_cut(scan.grid, centreline_mm, plane)
    points = _widened(_around(points, ndimage.map_coordinates(labels.data, points, order=0)))
    grey = to_grey(ndimage.map_coordinates(scan.data, points, order=1, mode="nearest"), window(scan.data))
    grey[_outside(points, scan.grid)] = 0
    boxes = ndimage.find_objects(labels.data)
    parts = ((name, labels.data[boxes[value - 1]] == value, boxes[value - 1]) for value, name in _named(labels))
    outlines = [outline for name, mask, box in parts for outline in _cut_outlines(name, mask, box, points)]
    sides = ("A", "P") if plane == "sagittal" else ("R", "L")
    picture = data_uri(Image.fromarray(grey))
    strokes = tuple(_stroke(mark, scan.grid, points) for mark in marks)
    return View(f"{plane}, along the column", picture, grey.shape[1], grey.shape[0], PIXEL_MM, tuple(outlines), sides, strokes)


def slice_views(scan: Volume, labels: LabelMap) -> tuple[View, ...]:
    """Plain sagittal slices from the patient's right to the left, those with labels and two more on either side."""
    scan, labels = scan.reoriented("RAS"), labels.reoriented("RAS")
    chosen = _chosen_slices(labels)
    limits = window(scan.data)
    for side in _SLICE_SIDES:
        views = tuple(_slice_view(scan, labels, int(x), limits, side) for x in chosen)
        if sum(len(view.source) for view in views) <= _BUDGET_BYTES:
            break
    return views


def data_uri(picture: Image.Image) -> str:
    """Encode a picture as a JPEG data URI."""
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=_JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _stroke(mark: Mark, grid: Grid, points: FloatArray) -> Stroke:
    """A mark in a sagittal cut, whose rows and columns run down along the second and third axis."""
    ends = grid.to_voxels(mark.ends_mm)
    places = [
        float(np.interp(end[axis], line[::-1], np.arange(len(line))[::-1]))
        for end in ends
        for axis, line in ((1, points[1, 0]), (2, points[2, :, 0]))
    ]
    return Stroke(mark.kind, mark.structure, mark.text, (places[0], places[1], places[2], places[3]))


def _around(points: FloatArray, numbers: NDArray[np.unsignedinteger[Any]]) -> FloatArray:
    if not numbers.any():
        return points
    margin = round(_MARGIN_MM / PIXEL_MM)
    rows, columns = np.flatnonzero(numbers.any(axis=1)), np.flatnonzero(numbers.any(axis=0))
    top, left = max(rows[0] - margin, 0), max(columns[0] - margin, 0)
    return points[:, top : rows[-1] + margin, left : columns[-1] + margin]


def _widened(points: FloatArray) -> FloatArray:
    """Continue a cut that is too narrow to hold names beyond both its sides."""
    missing = round(_MIN_WIDTH_MM / PIXEL_MM) - points.shape[2]
    if missing <= 0 or points.shape[2] < 2:
        return points
    sides = [(0, 0), (0, 0), (missing // 2, missing - missing // 2)]
    widened: FloatArray = np.pad(points, sides, mode="reflect", reflect_type="odd")
    return widened


def _outside(points: FloatArray, grid: Grid) -> NDArray[np.bool_]:
    """Tell which points lie in no voxel."""
    last = np.reshape(grid.shape, (3, 1, 1)) - 0.5
    return np.asarray(((points < -0.5) | (points > last)).any(axis=0))


def _chosen_slices(labels: LabelMap) -> Sequence[int]:
    seen = np.flatnonzero(labels.data.any(axis=(1, 2)))
    first, last = (max(seen[0] - 2, 0), min(seen[-1] + 2, labels.grid.shape[0] - 1)) if len(seen) else (0, labels.grid.shape[0] - 1)
    count = min(last - first + 1, _MAX_SLICES)
    return [int(x) for x in np.linspace(last, first, count).round()]


def _slice_view(scan: Volume, labels: LabelMap, x: int, limits: tuple[float, float], side: int) -> View:
    """One slice with square pixels, front to the left and head to the top."""
    _, front_mm, up_mm = scan.grid.spacing_mm
    grey = to_grey(scan.data[x].T[::-1, ::-1], limits)
    height_mm, width_mm = grey.shape[0] * up_mm, grey.shape[1] * front_mm
    pixel_mm = max(min(front_mm, up_mm), max(height_mm, width_mm) / side)
    size = round(width_mm / pixel_mm), round(height_mm / pixel_mm)
    picture = Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC)
    numbers = labels.data[x].T[::-1, ::-1]
    scale = size[1] / grey.shape[0], size[0] / grey.shape[1]
    present = set(np.unique(numbers))
    outlines = [
        outline
        for value, name in _named(labels)
        if value in present
        for outline in _outlines(name, (numbers == value).astype(np.float32), scale=scale)
    ]
    return View(_slice_title(scan, x), data_uri(picture), *size, pixel_mm, tuple(outlines))


def _slice_title(scan: Volume, x: int) -> str:
    offset = (x - (scan.grid.shape[0] - 1) / 2) * scan.grid.spacing_mm[0]
    place = "in the middle" if abs(offset) < 0.05 else f"{abs(offset):.1f} mm to the {'right' if offset > 0 else 'left'} of the middle"
    return f"sagittal slice {scan.grid.shape[0] - x} of {scan.grid.shape[0]}, {place}"


def _named(labels: LabelMap) -> Iterator[tuple[int, str]]:
    return zip(labels.values, labels.structures, strict=True)


def _cut_outlines(name: str, mask: NDArray[np.bool_], box: tuple[slice, ...], points: FloatArray) -> Iterator[Outline]:
    """Outline one structure in a curved cut, from its interpolated mask."""
    rows = np.flatnonzero((points[2, :, 0] >= box[2].start - 1) & (points[2, :, 0] <= box[2].stop))
    if not len(rows):
        return
    here = points[:, rows[0] : rows[-1] + 1] - np.array([s.start - 1 for s in box])[:, None, None]
    occupancy = ndimage.map_coordinates(np.pad(mask, 1).astype(np.float32), here, order=1)
    yield from _outlines(name, occupancy, first_row=int(rows[0]))


def _outlines(
    name: str, occupancy: NDArray[np.float32], *, first_row: int = 0, scale: tuple[float, float] = (1.0, 1.0)
) -> Iterator[Outline]:
    """Trace where the occupancy passes 0.5; `scale` is rows, columns to pixels."""
    seen = np.argwhere(occupancy >= 0.5)
    if not len(seen):
        return
    (top, left), (bottom, right) = seen.min(axis=0), seen.max(axis=0) + 1
    core = np.pad(occupancy, 1)[top : bottom + 2, left : right + 2]
    origin = np.array([first_row + top - 0.5, left - 0.5])
    rings = [(_smoothed(ring[:-1]) + origin) * scale for ring in find_contours(core, 0.5) if len(ring) > 6]
    if not rings:
        return
    rows, columns = max(rings, key=len).T
    at, anchor = (float(columns.min() + columns.max()) / 2, float(rows.min() + rows.max()) / 2), "middle"
    if is_disc(name) and columns.min() > _ROOM_FOR_A_NAME * scale[1]:
        at, anchor = (float(columns.min()) - 6, float(rows[columns.argmin()])), "end"
    yield Outline(name, " ".join(map(_path, rings)), at, anchor if is_level(name) else "none")


def _smoothed(ring: FloatArray) -> FloatArray:
    """Running mean around a closed ring, thinned; short rings stay as they are."""
    if len(ring) < 4 * _SMOOTH:
        return ring
    smooth: FloatArray = ndimage.uniform_filter1d(ring, _SMOOTH, axis=0, mode="wrap")[::_EVERY]
    return smooth


def _path(ring: FloatArray) -> str:
    return "M" + "L".join(f"{column:.1f},{row:.1f}" for row, column in ring) + "Z"
