"""MetaImage and NRRD in and out, through ITK.

ITK's world is LPS+; it becomes RAS+ here.
"""

from __future__ import annotations

import errno
import gzip
import math
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from cascade.errors import InputError, OutputError
from cascade.io.files import replacing
from cascade.io.formats import PlainSource, Source
from cascade.io.itk_headers import check_header, native_name
from cascade.io.nifti import whole_numbers
from cascade.io.recognise import head_of, is_nrrd
from cascade.io.slicer import seg_entries
from cascade.notices import Notice
from cascade.volume import Grid, LabelMap, Volume

SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)  # its warnings quote the values of a file
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: ITK's reader by format (the suffix of a file is not asked), what people call the format, and what a header with an orientation says.
_READERS = {"nrrd": "NrrdImageIO", "metaimage": "MetaImageIO"}
_TITLES = {"nrrd": "NRRD", "metaimage": "MetaImage"}
_ORIENTED = {"nrrd": (b"space directions:",), "metaimage": (b"TransformMatrix", b"Orientation", b"Rotation")}


def read_scan(path: Path) -> tuple[Volume, PlainSource]:
    """Read a scan.

    Returns
    -------
    volume : Volume
    source : PlainSource
        With a note ``no-orientation`` where the header gives none.

    Raises
    ------
    InputError
        The file is damaged, or not one 3-D scalar image.
    """
    data, grid = _read(path, kind := _kind_of(path))
    return Volume(np.asarray(data, dtype=np.float32), grid), PlainSource(_notices(path, kind))


def read_labels(path: Path) -> tuple[NDArray[np.uint16], Grid]:
    """Read whole numbers; errors as for `read_scan`, and where a number is not whole."""
    data, grid = _read(path, _kind_of(path))
    return whole_numbers(data, path), grid


def _kind_of(path: Path) -> str:
    return "nrrd" if is_nrrd(head_of(path)) else "metaimage"


def _read(path: Path, kind: str) -> tuple[NDArray[Any], Grid]:
    """The numbers as they are stored."""
    stated, name = check_header(path, kind), native_name(path)
    reader = SimpleITK.ImageFileReader()
    try:
        reader.SetFileName(name)
        reader.SetImageIO(_READERS[kind])
        reader.ReadImageInformation()
        size, components = reader.GetSize(), reader.GetNumberOfComponents()
        if math.prod(size) * components != stated:
            raise RuntimeError("the header was understood otherwise")
        if components == 1 and len([n for n in size if n > 1]) == 3 and len(size) > 3:
            reader.SetExtractSize([*size[:3], *(0 for _ in size[3:])])
        image = reader.Execute()
    except (RuntimeError, MemoryError) as error:
        raise InputError(f"{path}: expected a {_TITLES[kind]} file; it is truncated, damaged or lacks its data file") from error
    if image.GetDimension() != 3 or components != 1:
        raise InputError(f"{path}: expected one 3-D volume; found size {size} with {components} numbers a voxel; extract one volume first")
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    data = np.ascontiguousarray(SimpleITK.GetArrayFromImage(image).T)
    try:
        return data, Grid((data.shape[0], data.shape[1], data.shape[2]), _LPS_TO_RAS @ affine)
    except InputError as error:
        raise InputError(f"{path}: {error}; correct the header") from None


def write_labels(labels: LabelMap, path: Path, _source: Source | None = None) -> None:
    """Write labels, compressed, on their grid, as ``.nrrd`` or ``.mha``; nothing of the source is repeated."""
    _write(labels, path, {})


def write_segments(labels: LabelMap, path: Path, _source: Source | None = None) -> None:
    """Write labels as ``.seg.nrrd``: an NRRD whose header names, colours and codes its structures."""
    _write(labels, path, seg_entries(labels))


def _write(labels: LabelMap, path: Path, entries: Mapping[str, str]) -> None:
    affine = _LPS_TO_RAS @ labels.grid.vox2world
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(labels.data.T))
    image.SetSpacing(labels.grid.spacing_mm)
    image.SetDirection((affine[:3, :3] / labels.grid.spacing_mm).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    for key, value in entries.items():
        image.SetMetaData(key, value)
    with replacing(path, path.suffix.lower()) as temporary:
        try:
            SimpleITK.WriteImage(image, native_name(temporary), useCompression=True)
        except (InputError, RuntimeError) as error:
            raise OutputError(f"{path}: expected room here, and a path of UTF-8 text; cannot write; choose another output") from error
        _check_written(temporary, labels)


def _check_written(path: Path, labels: LabelMap) -> None:
    """Raise OSError where the disk is full: ITK does not look whether its last bytes were written."""
    mark, unpack = (b"\n\n", gzip.decompress) if path.suffix == ".nrrd" else (b"ElementDataFile = LOCAL\n", zlib.decompress)
    try:
        data = unpack(path.read_bytes().partition(mark)[2])
    except (EOFError, gzip.BadGzipFile, zlib.error):
        data = b""
    if data != labels.data.T.tobytes():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _notices(path: Path, kind: str) -> tuple[Notice, ...]:
    with path.open("rb") as stream:
        header = stream.read(4096)
    if any(word in header for word in _ORIENTED[kind]):
        return ()
    return (Notice("no-orientation", None, "the header gives no orientation; the axes are taken as left, back, head"),)
