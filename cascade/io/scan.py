"""A scan that is to be segmented, wherever it comes from: read, checked, and without what is not finite."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cascade.errors import InputError, NumberingError
from cascade.io.formats import Source
from cascade.io.memory import read_image
from cascade.notices import HOW_TO_PLACE, Notice, percent
from cascade.volume import MAX_EXTENT_MM, MIN_EXTENT_MM, Grid, Volume, box_of

MIN_VOXELS, FEW_SLICES = 5, 8
#: A label map has at most so many values, and at least this share of it is 0. Of 381 public scans and slices none has fewer than 117 values
#: or more than 49 % of 0; of 114 label maps none has more than 21 values or less than 80 % of 0.
MAX_LABELS, MIN_BACKGROUND = 64, 0.75
#: Fewer voxels are not judged.
MIN_VOXELS_OF_LABELS = 100_000
_NO_SCAN = "give the scan that it was drawn on"
#: Voxels that are looked at first: most scans have more values among these.
_SAMPLE = 10_000
#: The bore of a scanner along a whole body: what lies beyond is an error in the header, and hours of work.
MAX_EXTENT_MM3 = 1e9


def read_scan(image: Any, series: str | None = None, affine: ArrayLike | None = None) -> tuple[Volume, Source | None, tuple[Notice, ...]]:
    """Read and check a scan, see `Segmenter.segment`; what is not finite becomes background.

    Raises
    ------
    InputError
        The scan is too small, constant, a label map, or holds no number.
    """
    name, (scan, source) = name_of(image), read_image(image, series, affine)
    notices = [*source.notices] if source else []
    if min(scan.grid.shape) < MIN_VOXELS:
        found = " x ".join(map(str, scan.grid.shape))
        raise InputError(f"{name}: expected at least {MIN_VOXELS} voxels along each axis; found {found}; give the whole series")
    extent_mm = np.multiply(scan.grid.shape, scan.grid.spacing_mm)
    if not MIN_EXTENT_MM <= extent_mm.max() <= MAX_EXTENT_MM or extent_mm.prod() > MAX_EXTENT_MM3:
        found = " x ".join(f"{length:.4g}" for length in extent_mm)
        raise InputError(f"{name}: expected the field of view of a scanner; found {found} mm; correct the header's voxel spacing")
    if min(scan.grid.shape) <= FEW_SLICES:
        notices.append(Notice("few-slices", None, f"only {min(scan.grid.shape)} slices; the outer parts of the spine are not in view"))
    with naming_the_file(image):
        scan, said = finite(scan)
        _check_no_labels(scan.data, holds_labels=source is not None and source.holds_labels)
    notices += [*said, *_about_identity(scan.grid)]
    if scan.data.min() == scan.data.max():
        raise InputError(f"{name}: expected an image; every voxel has the value {scan.data.flat[0]:g}")
    return scan, source, tuple(notices)


def _check_no_labels(data: NDArray[np.float32], *, holds_labels: bool) -> None:
    """Raise InputError for whole numbers if most of them are 0 and the others few, or their header says that they are labels."""
    if holds_labels and np.array_equal(data, np.rint(data)):
        raise InputError(f"expected a scan; the header says that it holds labels (intent code 1002); {_NO_SCAN}, or correct the header")
    if data.size < MIN_VOXELS_OF_LABELS or len(np.unique(data.ravel()[:: data.size // _SAMPLE])) > MAX_LABELS:
        return
    background = float(np.mean(data == 0))
    if not MIN_BACKGROUND <= background < 1:
        return
    if len(values := np.unique(data)) <= MAX_LABELS and np.array_equal(values, np.rint(values)):
        found = f"{len(values)} whole numbers, 0 in {percent(background)} of the voxels: a label map or mask"
        raise InputError(f"expected a scan; found {found}; {_NO_SCAN}")


def _about_identity(grid: Grid) -> Iterator[Notice]:
    """Multiples of the identity are what programs write where nobody knew the affine."""
    scale = grid.spacing_mm[0]
    if np.array_equal(grid.vox2world, np.diag([scale, scale, scale, 1.0])):
        text = "the affine is the identity or a multiple of it, as where none was known; the axes are taken as right, front, head; "
        yield Notice("no-orientation", None, text + HOW_TO_PLACE, "warning")


def finite(scan: Volume) -> tuple[Volume, tuple[Notice, ...]]:
    """Make what is NaN or infinite background (the scan's lowest value), and say so.

    Raises
    ------
    InputError
        No voxel holds a finite number.
    """
    sound = np.isfinite(scan.data)
    if sound.all():
        return scan, ()
    if not sound.any():
        raise InputError("expected an image; no voxel holds a finite number")
    where = ", ".join(f"{side.start}-{side.stop - 1}" for side in box_of(~sound) or ())
    count = sound.size - np.count_nonzero(sound)
    share = f"{count} of {sound.size} voxels ({count / sound.size:.2%}) are NaN or infinite, within the indices {where}"
    text = f"{share}; they are taken as background, and what lies there is not labelled"
    return Volume(np.where(sound, scan.data, scan.data[sound].min()), scan.grid), (Notice("not-finite", None, text),)


@contextlib.contextmanager
def naming_the_file(image: Any) -> Iterator[None]:
    """Put the scan's name in front of errors that do not know it."""
    name = name_of(image)
    try:
        yield
    except MemoryError as error:
        raise InputError(f"{name}: expected a scan that fits into memory with its results; it does not; cut or resample it") from error
    except (InputError, NumberingError) as error:
        if str(error).startswith(f"{name}:"):
            raise
        raise type(error)(f"{name}: {error}") from error


def name_of(image: Any) -> str:
    """A path as it was given; "image" for what lies in memory."""
    return os.fspath(image) if isinstance(image, str | os.PathLike) else "image"
