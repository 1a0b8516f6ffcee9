"""MetaImage and NRRD in and out, through ITK.

ITK's world is LPS+; it becomes RAS+ here.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import math
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from cascade.errors import InputError, OutputError
from cascade.io.files import replacing
from cascade.io.formats import PlainSource, Source
from cascade.io.itk_headers import TextHeader, check_header, native_name
from cascade.io.nifti import whole_numbers
from cascade.io.nifti_header import believed_unit_mm
from cascade.io.recognise import head_of, is_nrrd
from cascade.io.slicer import seg_entries
from cascade.notices import HOW_TO_PLACE, Notice
from cascade.volume import Grid, LabelMap, Volume

SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)  # its warnings quote the values of a file
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: ITK's reader by format (the suffix of a file is not asked), and what people call the format.
_READERS = {"nrrd": "NrrdImageIO", "metaimage": "MetaImageIO"}
_TITLES = {"nrrd": "NRRD", "metaimage": "MetaImage"}


def read_scan(path: Path) -> tuple[Volume, PlainSource]:
    """Read a scan.

    Returns
    -------
    volume : Volume
    source : PlainSource
        With ``no-orientation`` and ``no-spacing`` where the header gives none.

    Raises
    ------
    InputError
        The file is damaged, or not one 3-D scalar image.
    """
    data, grid, header = _read(path, _kind_of(path))
    return Volume(np.asarray(data, dtype=np.float32), grid), PlainSource(tuple(_notices(header)))


def read_labels(path: Path) -> tuple[NDArray[np.uint16], Grid]:
    """Read whole numbers; errors as for `read_scan`, and where a number is not whole."""
    data, grid, _ = _read(path, _kind_of(path))
    return whole_numbers(data, path), grid


def _kind_of(path: Path) -> str:
    return "nrrd" if is_nrrd(head_of(path)) else "metaimage"


def _read(path: Path, kind: str) -> tuple[NDArray[Any], Grid, TextHeader]:
    header, name = check_header(path, kind), native_name(path)
    reader = SimpleITK.ImageFileReader()
    try:
        reader.SetFileName(name)
        reader.SetImageIO(_READERS[kind])
        reader.ReadImageInformation()
        size, components = reader.GetSize(), reader.GetNumberOfComponents()
        if math.prod(size) * components != header.count:
            raise RuntimeError("the header was understood otherwise")
        if math.prod(size[3:]) != 1 or len(size) < 3 or components != 1:
            found = f"found size {size} with {components} numbers a voxel"
            raise InputError(f"{path}: expected one 3-D volume; {found}; extract one volume first")
        one = SimpleITK.GetArrayFromImage(SimpleITK.Image([1, 1], reader.GetPixelID()))
        if not header.may_hold(one.dtype.itemsize):
            raise InputError(f"{path}: expected {header.count} voxels; the file is truncated or damaged; export it again")
        data = np.ascontiguousarray(_voxels(reader, header, one.dtype))
    except (RuntimeError, MemoryError, OSError, EOFError) as error:
        raise InputError(f"{path}: expected a {_TITLES[kind]} file; it is truncated, damaged or lacks its data file") from error
    try:
        return data, _grid(reader, header), header
    except InputError as error:
        raise InputError(f"{path}: {error}; correct the header") from None


def _voxels(reader: SimpleITK.ImageFileReader, header: TextHeader, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The numbers, in the order of the axes."""
    size = reader.GetSize()
    if header.encoding in ("bzip2", "bz2"):
        return _unpacked(header, dtype).reshape(size[::-1]).T.reshape(size[:3])
    if len(size) > 3:
        reader.SetExtractSize([*size[:3], *(0 for _ in size[3:])])
    voxels: NDArray[Any] = SimpleITK.GetArrayFromImage(reader.Execute()).T
    return voxels


def _unpacked(header: TextHeader, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The voxels of an NRRD packed by bzip2, which ITK is built without."""
    if {header.fields.get(name, "0") for name in ("byteskip", "lineskip")} != {"0"}:
        raise RuntimeError("there is something in front of the voxels")
    with header.data.open("rb") as stream:
        stream.seek(header.skip)
        content = bz2.BZ2File(stream).read(header.count * dtype.itemsize)
    order: Literal["<", ">"] = ">" if header.fields.get("endian", "little").lower() == "big" else "<"
    if len(content) < header.count * dtype.itemsize:
        raise RuntimeError("voxels are missing")
    return np.frombuffer(content, dtype.newbyteorder(order)).astype(dtype)


def _grid(reader: SimpleITK.ImageFileReader, header: TextHeader) -> Grid:
    size, axes = reader.GetSize()[:3], len(reader.GetSize())
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(reader.GetDirection(), (axes, axes))[:3, :3] * reader.GetSpacing()[:3]
    affine[:3, 3] = reader.GetOrigin()[:3]
    length = float((np.linalg.norm(affine[:3, :3], axis=0) * size).max())
    unit = np.diag([believed_unit_mm(header.unit_mm, length)] * 3 + [1.0])
    return Grid((size[0], size[1], size[2]), unit @ _LPS_TO_RAS @ affine)


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


def _notices(header: TextHeader) -> Iterator[Notice]:
    if not header.has_orientation:
        yield Notice("no-orientation", None, f"the header gives no orientation; the axes are taken as left, back, head; {HOW_TO_PLACE}")
    if not header.has_spacing:
        yield Notice("no-spacing", None, "the header gives no distance between voxels; 1 mm is taken; if it is another, volumes are wrong")
