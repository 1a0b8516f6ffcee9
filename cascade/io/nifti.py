"""NIfTI in and out: the only place that touches nibabel's files."""

from __future__ import annotations

import contextlib
import gzip
import json
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.imageglobals import LoggingOutputSuppressor
from nibabel.nifti1 import Nifti1Extension, Nifti1Header, Nifti1Image
from nibabel.nifti2 import Nifti2Image
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from cascade.errors import InputError, OutputError, SchemeError, first_line
from cascade.io.files import replacing
from cascade.io.recognise import recognise_content
from cascade.labels import PARTLY, LabelScheme, get_scheme
from cascade.volume import MAX_VOXELS, Grid, LabelMap, Volume

SUFFIXES = (".nii", ".nii.gz")
#: sform and qform that differ by more than this anywhere in the field of view are reported.
FORM_TOLERANCE_MM = 0.1
#: NIfTI extension code for a plain comment.
_COMMENT = 6
#: No byte of deflate holds more than this many.
DEFLATE_RATIO = 1032
#: Header and extensions together.
_MAX_HEADER_BYTES = 1 << 24
_GZIP = b"\x1f\x8b"
#: What nibabel raises on files that are damaged.
_UNREADABLE = (ValueError, OSError, EOFError, zlib.error, ArithmeticError, LookupError, TypeError, MemoryError, WrapStructError)


@dataclass(frozen=True)
class NiftiHeader:
    """What a label file has to repeat of its source's header: affines, their codes, and units."""

    header: Nifti1Header
    notes: tuple[tuple[str, str], ...] = ()


def read_image(path: Path) -> tuple[Volume, NiftiHeader]:
    """Read a scan.

    Parameters
    ----------
    path : Path
        ``.nii`` or ``.nii.gz``; 3-D, or 4-D with one volume; any integer or float type.

    Returns
    -------
    volume : Volume
        Scaled intensities; NaN and infinities are kept for the caller to deal with.
    header : NiftiHeader
        With a note ``("forms-disagree", text)`` where sform and qform place the scan differently.

    Raises
    ------
    InputError
        The file is missing, not a NIfTI, truncated, not one 3-D scalar image, or has an unusable affine.
    """
    image = _open(path)
    grid = _grid(image, path)
    with np.errstate(over="ignore", invalid="ignore"):
        data = np.asarray(_data(image, grid.shape, path), dtype=np.float32)
    return Volume(data, grid), NiftiHeader(image.header, _form_notes(image))


def read_label_array(path: Path) -> tuple[NDArray[Any], Grid]:
    """Read a label file as it is: whole numbers, no scheme attached.

    Raises
    ------
    InputError
        As for `read_image`, or a value is not a whole number from 0 to 65535.
    """
    image = _open(path)
    grid = _grid(image, path)
    return whole_numbers(_data(image, grid.shape, path), path), grid


def whole_numbers(data: NDArray[Any], path: Path) -> NDArray[np.uint16]:
    """Turn what a label file holds into uint16.

    Raises
    ------
    InputError
        A value is not a whole number from 0 to 65535.
    """
    with np.errstate(invalid="ignore"):
        rounded = np.rint(data)
    if not np.isfinite(data).all() or not np.allclose(data, rounded, atol=1e-3) or data.min() < 0 or data.max() > 65535:
        raise InputError(f"{path}: expected whole label numbers from 0 to 65535; this looks like an image or a resampled mask")
    numbers: NDArray[np.uint16] = rounded.astype(np.uint16)
    return numbers


def write_labels(labels: LabelMap, path: Path, like: NiftiHeader | None = None) -> None:
    """Write labels, on their grid, with the label names in a header extension.

    The file holds no time, host name or path: equal labels give equal bytes.

    Parameters
    ----------
    labels : LabelMap
    path : Path
        ``.nii`` or ``.nii.gz``; written beside it first, then renamed.
    like : NiftiHeader, optional
        The source's header, whose affines and codes are repeated exactly.
    """
    names = {str(value): name for value, name in zip(labels.values, labels.structures, strict=True)}
    image = _on_grid(np.asarray(labels.data), labels.grid, like)
    image.header.extensions.append(Nifti1Extension(_COMMENT, json.dumps({"scheme": labels.scheme.name, "labels": names}).encode()))
    image.header["cal_max"] = 0
    write_image_file(image, path)


def noted_scheme(path: Path) -> LabelScheme | None:
    """Return the scheme that `write_labels` noted in a file's header; None if there is no such note.

    Raises
    ------
    InputError
        The file is missing or not a NIfTI.
    """
    for extension in _open(path).header.extensions:
        if extension.get_code() == _COMMENT:
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, SchemeError):
                note = json.loads(extension.get_content())
                cut = [name for value, name in note["labels"].items() if int(value) > PARTLY]
                return get_scheme(note["scheme"]).for_chain(note["labels"].values(), cut)
    return None


def write_volume(volume: Volume, path: Path) -> None:
    """Write a scan as float32."""
    write_image_file(_on_grid(volume.data, volume.grid, None), path)


def write_image_file(image: Nifti1Image, path: Path) -> None:
    """Write `image` to a temporary file beside `path`, then rename it, so that no half file is ever seen."""
    suffix = next((s for s in reversed(SUFFIXES) if path.name.lower().endswith(s)), None)
    if suffix is None:
        raise OutputError(f"{path}: expected an output name that ends in .nii or .nii.gz")
    with replacing(path, suffix) as temporary:
        nib.save(image, temporary)


def _open(path: Path) -> Nifti1Image:
    """Open a file of which nothing has been believed yet."""
    if not path.is_file():
        raise InputError(f"{path}: expected a file; {'it is a folder' if path.is_dir() else 'there is no such file'}")
    try:
        with LoggingOutputSuppressor():
            _check_extensions(path)
            image = _load(path)
    except (*_UNREADABLE, ImageFileError, HeaderDataError) as error:
        raise InputError(f"{path}: expected a NIfTI file (.nii or .nii.gz); it cannot be read as one ({first_line(error)})") from error
    if not isinstance(image, Nifti1Image):
        raise InputError(f"{path}: expected a NIfTI file (.nii or .nii.gz); it is {type(image).__name__}")
    return image


def _load(path: Path) -> Any:
    """Load by name, or by content where the name does not fit it; without a memory map, which is a crash if the file shrinks."""
    try:
        return nib.load(path, mmap=False)
    except ImageFileError:
        if _head_kind(path) is None:
            raise
        kind = _class_of(path)
        with _stream(path) as stream:
            header = _raw_header(stream, kind)
            count = math.prod(header.get_data_shape())
            if count > MAX_VOXELS:
                raise ValueError(f"{count} voxels are more than the {MAX_VOXELS} that a scan may have") from None
            stream.seek(0)
            return kind.from_bytes(stream.read(_MAX_HEADER_BYTES + count * header.get_data_dtype().itemsize))


def _stream(path: Path) -> IO[bytes]:
    """The bytes of a file, unpacked as they are read."""
    with path.open("rb") as raw:
        is_zipped = raw.read(2) == _GZIP
    return cast(IO[bytes], gzip.open(path)) if is_zipped else path.open("rb")


def _head_kind(path: Path) -> bytes | None:
    """Where the magic of NIfTI-1 or 2 stands, what it is."""
    with _stream(path) as stream:
        head = stream.read(348)
    if recognise_content(head) != "nifti":
        return None
    return head[4:8] if head[4:8] in (b"n+2\0", b"ni2\0") else head[344:348]


def _class_of(path: Path) -> type[Nifti1Image]:
    return Nifti2Image if (_head_kind(path) or b"").startswith((b"n+2", b"ni2")) else Nifti1Image


def _raw_header(stream: IO[bytes], kind: type[Nifti1Image]) -> Nifti1Header:
    """The header's fields as they stand, without its extensions."""
    return kind.header_class(stream.read(kind.header_class.template_dtype.itemsize), check=False)


def _check_extensions(path: Path) -> None:
    """Walk the header's extensions by their stated lengths, which nibabel would read whatever they say."""
    if _head_kind(path) is None:
        return
    with _stream(path) as stream:
        header = _raw_header(stream, _class_of(path))
        place, end = stream.tell() + 4, float(header["vox_offset"])
        if not end <= _MAX_HEADER_BYTES:
            raise ValueError("the voxels are said to start far behind the header")
        if stream.read(4)[:1] in (b"", b"\0"):
            return
        while place + 16 <= end:
            length = int.from_bytes(stream.read(4), "little" if header.endianness == "<" else "big", signed=True)
            if not 16 <= length <= end - place:
                raise ValueError("a header extension has an impossible length")
            place += length
            stream.read(length - 4)


def _shape(image: Nifti1Image, path: Path) -> tuple[int, ...]:
    shape = image.shape
    if len(shape) > 3 and all(n == 1 for n in shape[3:]):
        shape = shape[:3]
    if len(shape) != 3:
        found = f"{len(shape)}-D" if len(shape) < 3 else f"{shape[3]} volumes"
        raise InputError(f"{path}: expected one 3-D volume; it has {found} (shape {image.shape}); extract one volume first")
    if image.get_data_dtype().fields is not None or np.issubdtype(image.get_data_dtype(), np.complexfloating):
        raise InputError(f"{path}: expected one number a voxel; it holds colours or complex values; convert it to grey first")
    return shape


def _data(image: Nifti1Image, shape: tuple[int, ...], path: Path) -> NDArray[Any]:
    """The voxels, unless the file is too short to hold them all: nothing is allocated on a header's word alone."""
    needed = math.prod(shape) * image.get_data_dtype().itemsize
    with path.open("rb") as raw:
        ratio = DEFLATE_RATIO if raw.read(2) == _GZIP else 1
    try:
        if path.stat().st_size * ratio < needed:
            raise ValueError("the file is too short")
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asanyarray(image.dataobj).reshape(shape)
    except _UNREADABLE as error:
        raise InputError(f"{path}: expected {math.prod(shape)} voxels; the file is truncated or damaged ({first_line(error)})") from error


def _grid(image: Nifti1Image, path: Path) -> Grid:
    shape = _shape(image, path)
    zooms = _stated_spacing(path)
    if not np.isfinite(zooms).all() or (zooms <= 0).any():
        raise InputError(f"{path}: expected a positive voxel spacing; the header says {zooms.tolist()} mm")
    try:
        return Grid((shape[0], shape[1], shape[2]), image.affine)
    except InputError as error:
        raise InputError(f"{path}: {error}; correct the header") from None


def _stated_spacing(path: Path) -> NDArray[np.float64]:
    """Return the spacing as it is in the file: nibabel mends zero and negative values when it loads a header."""
    with _stream(path) as stream:
        header = _raw_header(stream, _class_of(path))
    return np.asarray(header["pixdim"][1:4], dtype=float)


def _form_notes(image: Nifti1Image) -> tuple[tuple[str, str], ...]:
    sform, qform = image.get_sform(coded=True)[0], image.get_qform(coded=True)[0]
    if sform is None or qform is None:
        return ()
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in image.shape[:3]])).reshape(3, -1)
    apart = np.abs((sform - qform)[:3] @ np.vstack([corners, np.ones(corners.shape[1])])).max()
    if apart <= FORM_TOLERANCE_MM:
        return ()
    return (("forms-disagree", f"sform and qform place the scan up to {apart:.1f} mm apart; the sform is used"),)


def _on_grid(data: NDArray[Any], grid: Grid, like: NiftiHeader | None) -> Nifti1Image:
    image = Nifti1Image(data, grid.vox2world)
    image.header.set_xyzt_units("mm")
    if like is not None:
        source = like.header
        image.set_sform(source.get_sform(), int(source["sform_code"]))
        image.set_qform(source.get_qform(), int(source["qform_code"]))
        for field in ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"):
            image.header[field] = source[field]
        image.header["pixdim"][:4] = source["pixdim"][:4]
        image.header["xyzt_units"] = source["xyzt_units"]
    return image
