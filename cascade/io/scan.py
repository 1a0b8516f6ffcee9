"""A scan that is to be segmented, wherever it comes from: read, checked, and without what is not finite."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cascade.errors import InputError, NumberingError
from cascade.io.formats import Source
from cascade.io.memory import read_image
from cascade.notices import Notice
from cascade.volume import MAX_EXTENT_MM, MIN_EXTENT_MM, Volume

MIN_VOXELS, FEW_SLICES = 5, 8
#: The bore of a scanner along a whole body: what lies beyond is an error in the header, and hours of work.
MAX_EXTENT_MM3 = 1e9


def read_scan(image: Any, series: str | None = None, affine: ArrayLike | None = None) -> tuple[Volume, Source | None, tuple[Notice, ...]]:
    """Read and check a scan, see `Segmenter.segment`; what is not finite becomes background.

    Raises
    ------
    InputError
        The scan is too small, constant, or holds no number.
    """
    name, (scan, source) = name_of(image), read_image(image, series, affine)
    notices = [*source.notices] if source else []
    if min(scan.grid.shape) < MIN_VOXELS:
        raise InputError(f"{name}: expected at least {MIN_VOXELS} voxels along each axis, got {scan.grid.shape}")
    extent_mm = np.multiply(scan.grid.shape, scan.grid.spacing_mm)
    if not MIN_EXTENT_MM <= extent_mm.max() <= MAX_EXTENT_MM or extent_mm.prod() > MAX_EXTENT_MM3:
        found = " x ".join(f"{length:.4g}" for length in extent_mm)
        raise InputError(f"{name}: expected the field of view of a scanner; found {found} mm; correct the header's voxel spacing")
    if min(scan.grid.shape) <= FEW_SLICES:
        notices.append(Notice("few-slices", None, f"only {min(scan.grid.shape)} slices; the outer parts of the spine are not in view"))
    with naming_the_file(image):
        scan, said = finite(scan)
    notices += said
    if scan.data.min() == scan.data.max():
        raise InputError(f"{name}: expected an image; every voxel has the value {scan.data.flat[0]:g}")
    return scan, source, tuple(notices)


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
    text = f"{float(1 - sound.mean()):.2%} of the voxels are NaN or infinite; they are taken as background"
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
