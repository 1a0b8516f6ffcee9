"""A DICOM series in: slices to one volume, placed by the attributes of the standard.

DICOM's world is LPS+ (x to the left, y to the back, z to the head); it becomes RAS+ here, and nowhere else.
The first axis of a volume runs along the rows of an image (its column index), the second down the columns, the third
from slice to slice along the cross product of both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from cascade.errors import InputError
from cascade.io.dicom_files import DicomFile, attribute, functional_group
from cascade.io.dicom_headers import referable
from cascade.io.dicom_pixels import read_pixels
from cascade.io.dicom_series import MIN_SLICES, Series, choose_one
from cascade.notices import Notice, count_of
from cascade.volume import MAX_VOXELS, FloatArray, Grid, Volume

#: A slice may lie this far from its place on an even lattice: a share of the distance of slices, but never less than what rounding does.
LATTICE_TOLERANCE, ROUNDING_MM = 0.05, 0.1
#: Directions may differ by this much (as components of a unit vector) within a series.
_PARALLEL = 1e-3
#: Slices closer than this are the same slice.
_SAME_MM = 0.01
#: At most this share of the slices may be missing and interpolated.
_MISSING_SHARE = 0.2
#: Parallel slices further apart than this belong to different stacks: axial protocols have 3 to 6 mm, localisers 10 to 20, discs 30.
_APART_MM = 25.0
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False, repr=False)
class DicomSource:
    """What a DICOM SEG has to repeat of the series it belongs to.

    Parameters
    ----------
    datasets : tuple of Dataset
        Headers without pixels: one a slice, or one multi-frame image.
    slices : tuple of int
        For each frame, in the order of `datasets`, its index along the grid's third axis.
    grid : Grid
    notices : tuple of Notice
        What the reader noticed.
    """

    datasets: tuple[Dataset, ...]
    slices: tuple[int, ...]
    grid: Grid
    notices: tuple[Notice, ...] = ()
    holds_labels = False


@dataclass(frozen=True, eq=False)
class _Frame:
    """One slice: where it is (LPS+ mm) and what it shows."""

    name: str
    dataset: Dataset = field(repr=False)
    number: int
    position: FloatArray
    directions: FloatArray
    spacing: tuple[float, float]
    pixels: NDArray[np.float32] = field(repr=False)
    assumed: tuple[str, ...] = ()


def read_dicom(path: Path, series: str | None = None) -> tuple[Volume, DicomSource]:
    """Read one MR series.

    Parameters
    ----------
    path : Path
        Folder (searched recursively), zip, or multi-frame file.
    series : str, optional
        Series number or SeriesInstanceUID; by default the only usable series, or the only sagittal T2.

    Returns
    -------
    volume : Volume
    source : DicomSource
        With notes ``dicom-incomplete``, ``duplicate-slices`` and ``slices-missing``.

    Raises
    ------
    InputError
        Not exactly one series qualifies, or its slices make no volume.
    """
    return read_series(choose_one(path, series), str(path))


def check_referable(path: Path, series: str | None) -> tuple[Notice, ...]:
    """Make sure, from the headers alone, that a DICOM object can refer to a series; see `read_dicom` for the parameters.

    Returns
    -------
    notices : tuple of Notice
        What has to be put right in such an object: ``dicom-repaired``.

    Raises
    ------
    InputError
        Not exactly one series qualifies, or its images have no names of their own.
    """
    return check_series_referable(choose_one(path, series), str(path))


def check_series_referable(series: Series, name: str) -> tuple[Notice, ...]:
    """The same of a series that was found; `name` starts the error messages."""
    _, repaired = referable([file.read(stop_before_pixels=True) for file in series.files], 1.0, name)
    text = f"{', '.join(repaired)}: missing, or not what the standard allows; put right or left empty in the DICOM object"
    return (Notice("dicom-repaired", None, text),) if repaired else ()


def read_series(series: Series, name: str) -> tuple[Volume, DicomSource]:
    """Read the slices of a series into a volume; see `read_dicom`. `name` starts the error messages."""
    read = list(_all_frames(series, name))
    frames = _without_copies(read, name)
    _check_alike(frames, name)
    return _assembled(frames, series, name, copies=len(read) - len(frames))


def read_stacks(series: Series, name: str) -> tuple[tuple[Volume, DicomSource], ...]:
    """Read a series whose slices lie in several directions or places: each run of parallel, evenly spaced slices is a volume of its own.

    Returns
    -------
    stacks : tuple of (Volume, DicomSource)
        From the head down. One may consist of a single slice.

    Raises
    ------
    InputError
        A file is damaged, lacks what places its image, or two different images lie in one place.
    """
    read = list(_all_frames(series, name))
    frames = _without_copies(read, name)
    stacks = [_assembled(run, series, name, copies=len(read) - len(frames)) for run in _runs(frames)]
    return tuple(sorted(stacks, key=lambda stack: -float(stack[0].grid.to_world((np.array(stack[0].grid.shape) - 1) / 2)[2])))


def _runs(frames: Sequence[_Frame]) -> Iterator[list[_Frame]]:
    """Frames of one direction, size and spacing, each as far from the one before as the others are."""
    groups: list[list[_Frame]] = []
    for frame in frames:
        group = next((g for g in groups if _parallel(g[0], frame) and _is_alike(g[0], frame)), None)
        if group is None:
            groups.append(group := [])
        group.append(frame)
    for group in groups:
        normal = np.cross(*group[0].directions)
        group.sort(key=lambda frame: float(frame.position @ normal))
        steps = np.diff([frame.position for frame in group], axis=0)
        usual = np.median(steps, axis=0) if len(steps) else np.zeros(3)
        allowed = max(ROUNDING_MM, LATTICE_TOLERANCE * float(np.linalg.norm(usual)))
        apart = (np.abs(steps - usual).max(axis=1) > allowed) | (steps @ normal > _APART_MM) if len(steps) else np.zeros(0, dtype=bool)
        for run in np.split(np.arange(len(group)), np.flatnonzero(apart) + 1):
            yield [group[i] for i in run]


def _assembled(frames: list[_Frame], series: Series, name: str, *, copies: int) -> tuple[Volume, DicomSource]:
    """One volume of parallel frames."""
    frames, slices, grid = _arrange(frames, name)
    data = np.zeros(grid.shape, dtype=np.float32)
    for frame, index in zip(frames, slices, strict=True):
        data[:, :, index] = frame.pixels.T
    missing = sorted(set(range(grid.shape[2])) - set(slices))
    _interpolate(data, missing, slices)
    notices = list(_notices(copies, missing, _assumed(series, frames)))
    return Volume(data, grid), _source(frames, slices, grid, notices)


def _all_frames(series: Series, name: str) -> Iterator[_Frame]:
    count = 0
    for file in series.files:
        for frame in _frames(file):
            count += frame.pixels.size
            if count > MAX_VOXELS:
                raise InputError(f"{name}: expected at most {MAX_VOXELS} voxels; the series has more; separate the files")
            yield frame


def _frames(file: DicomFile) -> Iterator[_Frame]:
    dataset = file.read()
    pixels, assumed = read_pixels(dataset, file.name)
    if "PixelData" in dataset:
        del dataset.PixelData
    multi = "PerFrameFunctionalGroupsSequence" in dataset
    for number in range(len(pixels)):
        holders = [dataset] * 3
        if multi:
            groups = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
            holders = [functional_group(dataset, number, keyword) or Dataset() for keyword in groups]
        position = _numbers(holders[0], "ImagePositionPatient", 3, file.name)
        directions = np.reshape(_numbers(holders[1], "ImageOrientationPatient", 6, file.name), (2, 3))
        rows, columns = _numbers(holders[2], "PixelSpacing", 2, file.name)
        if min(rows, columns) <= 0 or not np.allclose(directions @ directions.T, np.eye(2), atol=_PARALLEL):
            raise InputError(f"{file.name}: expected positive PixelSpacing and perpendicular ImageOrientationPatient; found others")
        yield _Frame(file.name, dataset, number, np.array(position), directions, (rows, columns), pixels[number], assumed)


def _numbers(dataset: Dataset, keyword: str, count: int, name: str) -> tuple[float, ...]:
    value = attribute(dataset, keyword, ())
    try:
        numbers = tuple(float(number) for number in value)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise InputError(f"{name}: expected {keyword} with {count} numbers; it is missing or unusable; export the original series again")
    return numbers


def _without_copies(frames: Sequence[_Frame], name: str) -> list[_Frame]:
    """Drop files that repeat a slice; two different images of one slice are an error."""
    kept: list[_Frame] = []
    for frame in frames:
        twin = next((k for k in kept if np.abs(k.position - frame.position).max() < _SAME_MM and _parallel(k, frame)), None)
        if twin is None:
            kept.append(frame)
        elif not np.array_equal(twin.pixels, frame.pixels):
            raise InputError(f"{name}: expected one image a slice; found several (echoes, contrasts or time points?); separate them first")
    return kept


def _parallel(a: _Frame, b: _Frame) -> bool:
    return bool(np.abs(a.directions - b.directions).max() < _PARALLEL)


def _is_alike(a: _Frame, b: _Frame) -> bool:
    return a.pixels.shape == b.pixels.shape and np.allclose(a.spacing, b.spacing, rtol=1e-4)


def _check_alike(frames: Sequence[_Frame], name: str) -> None:
    first = frames[0]
    if len(frames) < MIN_SLICES:
        raise InputError(f"{name}: expected at least {MIN_SLICES} slices; found {len(frames)}; give the folder of the whole series")
    if not all(_parallel(first, frame) for frame in frames):
        raise InputError(f"{name}: expected parallel slices; found several orientations (a localiser?); choose another with --series")
    if not all(_is_alike(first, frame) for frame in frames):
        raise InputError(f"{name}: expected slices of one size and pixel spacing; found several; separate the files")


def _arrange(frames: list[_Frame], name: str) -> tuple[list[_Frame], list[int], Grid]:
    """Sort along the normal and give each slice its place on an even lattice; places may stay empty."""
    normal = np.cross(*frames[0].directions)
    if len(frames) == 1:
        return frames, [0], _grid(frames[0], normal * _thickness_mm(frames[0]), frames[0].position, 1)
    frames = sorted(frames, key=lambda frame: float(frame.position @ normal))
    positions = np.array([frame.position for frame in frames])
    heights = positions @ normal
    smallest = float(np.median(np.diff(heights)))
    if not _SAME_MM < smallest < np.inf:
        raise InputError(f"{name}: expected slices one above the other; found several side by side; separate the files")
    count = round(float(heights[-1] - heights[0]) / smallest)
    step = (positions[-1] - positions[0]) / count
    slices = np.rint((heights - heights[0]) / (step @ normal)).astype(int)
    off = np.abs(positions - (positions[0] + slices[:, None] * step)).max()
    allowed = max(ROUNDING_MM, LATTICE_TOLERANCE * smallest)
    if off > allowed or len(set(slices.tolist())) < len(slices):
        raise InputError(
            f"{name}: expected evenly spaced slices, at most {allowed:.2f} mm off; found some {off:.2f} mm off; "
            "separate the stacks or resample the scan"
        )
    if count + 1 - len(frames) > _MISSING_SHARE * (count + 1):
        raise InputError(f"{name}: expected {count + 1} slices; found {len(frames)}; the export is incomplete, export the series again")
    return frames, slices.tolist(), _grid(frames[0], step, positions[0], count + 1)


def _grid(frame: _Frame, step: FloatArray, position: FloatArray, count: int) -> Grid:
    """The lattice of `count` frames like this one, the first of which lies at `position`."""
    rows, columns = frame.spacing
    along_row, down_column = frame.directions
    affine = np.eye(4)
    affine[:3] = np.column_stack([along_row * columns, down_column * rows, step, position])
    height, width = frame.pixels.shape
    return Grid((width, height, count), LPS_TO_RAS @ affine)


def _thickness_mm(frame: _Frame) -> float:
    """What a slice that has no neighbour says of itself; 4 mm, as axial slices of the spine have, where it says nothing."""
    group = functional_group(frame.dataset, frame.number, "PixelMeasuresSequence")
    said = attribute(group if group is not None else frame.dataset, "SliceThickness")
    try:
        thickness = float(said)
    except (TypeError, ValueError):
        thickness = np.nan
    return thickness if 0 < thickness < _APART_MM else 4.0


def _interpolate(data: NDArray[np.float32], missing: Iterable[int], slices: Sequence[int]) -> None:
    """Fill empty places linearly between the nearest slices below and above."""
    for index in missing:
        below, above = max(s for s in slices if s < index), min(s for s in slices if s > index)
        weight = (index - below) / (above - below)
        data[:, :, index] = (1 - weight) * data[:, :, below] + weight * data[:, :, above]


def _assumed(series: Series, frames: Sequence[_Frame]) -> list[str]:
    """What was assumed of this series, each once, in the order in which it was met."""
    return list(dict.fromkeys([*series.assumed, *(text for frame in frames for text in frame.assumed)]))


def _notices(copies: int, missing: Sequence[int], assumed: Sequence[str]) -> Iterator[Notice]:
    if assumed:
        yield Notice("dicom-incomplete", None, f"the files are not as the standard asks: {'; '.join(assumed)}")
    if copies:
        yield Notice("duplicate-slices", None, f"repeated slices: {count_of(copies, 'image')}; each slice is used once")
    if missing:
        text = f"missing inside the series: {count_of(len(missing), 'slice')}; interpolated from the neighbours"
        yield Notice("slices-missing", None, text)


def _source(frames: Sequence[_Frame], slices: Sequence[int], grid: Grid, notices: Iterable[Notice]) -> DicomSource:
    if len({id(frame.dataset) for frame in frames}) == 1:
        in_file = sorted(zip(frames, slices, strict=True), key=lambda pair: pair[0].number)
        return DicomSource((frames[0].dataset,), tuple(index for _, index in in_file), grid, tuple(notices))
    return DicomSource(tuple(frame.dataset for frame in frames), tuple(slices), grid, tuple(notices))
