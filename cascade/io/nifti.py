"""NIfTI in and out: the only place that touches nibabel's files."""

from __future__ import annotations

import contextlib
import gzip
import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.imageglobals import LoggingOutputSuppressor
from nibabel.nifti1 import Nifti1Extension, Nifti1Header, Nifti1Image
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from cascade.errors import InputError, OutputError, SchemeError, first_line
from cascade.io.files import replacing
from cascade.io.formats import NIFTI, Source, find_suffix
from cascade.io.nifti_header import Placement, place_voxels
from cascade.io.recognise import is_nifti
from cascade.labels import PARTLY, LabelScheme, get_scheme
from cascade.notices import Notice
from cascade.volume import Grid, LabelMap, Shape, Volume

#: NIfTI extension code for a plain comment.
_COMMENT = 6
#: NIFTI_INTENT_LABEL: each number stands for something.
_LABEL_INTENT = 1002
#: No byte of deflate holds more than this many.
DEFLATE_RATIO = 1032
#: Header and extensions together.
_MAX_HEADER_BYTES = 1 << 24
#: Bytes that are unpacked at a time.
_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"
#: The fields that say where the voxels are, beside the first four of pixdim.
_PLACING = (
    *("sform_code", "qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("srow_x", "srow_y", "srow_z", "xyzt_units"),
)
#: What nibabel raises on files that are damaged.
_UNREADABLE = (ValueError, OSError, EOFError, zlib.error, ArithmeticError, LookupError, TypeError, MemoryError, WrapStructError)


@dataclass(frozen=True)
class NiftiHeader:
    """What a label file has to repeat of its source's header: affines, their codes, and units."""

    header: Nifti1Header
    notices: tuple[Notice, ...] = ()

    @property
    def holds_labels(self) -> bool:
        """Whether the header says that these are labels, not a scan."""
        return int(self.header["intent_code"]) == _LABEL_INTENT


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
        With a note where something was mended or contradicts itself: see `cascade.io.nifti_header`.

    Raises
    ------
    InputError
        The file is missing, not a NIfTI, truncated, not one 3-D scalar image, or has an unusable affine.
    """
    opened = _open(path)
    with np.errstate(over="ignore", invalid="ignore"):
        data = np.asarray(_voxels(opened, path), dtype=np.float32)
    return Volume(data, opened.placement.grid), NiftiHeader(opened.header, opened.placement.notices)


def read_label_array(path: Path) -> tuple[NDArray[Any], Grid]:
    """Read a label file as it is: whole numbers, no scheme attached.

    Raises
    ------
    InputError
        As for `read_image`, or a value is not a whole number from 0 to 65535.
    """
    opened = _open(path)
    return whole_numbers(_voxels(opened, path), path), opened.placement.grid


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


def write_labels(labels: LabelMap, path: Path, source: Source | None = None) -> None:
    """Write labels, on their grid, with the label names in a header extension.

    The file holds no time, host name or path: equal labels give equal bytes.

    Parameters
    ----------
    labels : LabelMap
    path : Path
        ``.nii`` or ``.nii.gz``; written beside it first, then renamed.
    source : Source, optional
        What the scan was read from: affines and codes of a NIfTI header are repeated exactly.
    """
    like = source if isinstance(source, NiftiHeader) else None
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
    for comment in _open(path).comments:
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, SchemeError):
            note = json.loads(comment)
            cut = [name for value, name in note["labels"].items() if int(value) > PARTLY]
            return get_scheme(note["scheme"]).for_chain(note["labels"].values(), cut)
    return None


def write_volume(volume: Volume, path: Path) -> None:
    """Write a scan as float32."""
    write_image_file(_on_grid(volume.data, volume.grid, None), path)


def nifti_bytes(data: NDArray[Any], grid: Grid, shown: tuple[float, float]) -> bytes:
    """A NIfTI-1 file in memory, not packed, as viewers take it; `shown` are the values to show as black and white."""
    image = _on_grid(data, grid, None)
    image.header["cal_min"], image.header["cal_max"] = shown
    packed: bytes = image.to_bytes()
    return packed


def write_image_file(image: Nifti1Image, path: Path) -> None:
    """Write `image` to a temporary file beside `path`, then rename it, so that no half file is ever seen."""
    suffix = find_suffix(path.name, NIFTI.outputs)
    if not suffix:
        raise OutputError(f"{path}: expected an output name that ends in .nii or .nii.gz")
    with replacing(path, suffix) as temporary:
        nib.save(image, temporary)


@dataclass(frozen=True)
class _Opened:
    """A file whose header is read and mended, and whose voxels are not yet."""

    header: Nifti1Header
    comments: tuple[bytes, ...]
    placement: Placement


def _open(path: Path) -> _Opened:
    """Open a file of which nothing has been believed yet."""
    if not path.is_file():
        raise InputError(f"{path}: expected a file; {'it is a folder' if path.is_dir() else 'there is no such file'}")
    try:
        with LoggingOutputSuppressor(), _stream(path) as stream:
            header, comments = _read_header(stream)
            placement = place_voxels(header, _shape(header))
            header.check_fix()
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (*_UNREADABLE, HeaderDataError) as error:
        raise InputError(f"{path}: expected a NIfTI file (.nii or .nii.gz); it cannot be read as one ({first_line(error)})") from error
    return _Opened(header, comments, placement)


def _stream(path: Path) -> IO[bytes]:
    """The bytes of a file, unpacked as they are read; its name is not asked."""
    with path.open("rb") as raw:
        is_zipped = raw.read(2) == _GZIP
    return cast(IO[bytes], _Unpacked(path)) if is_zipped else path.open("rb")


class _Unpacked(gzip.GzipFile):
    """A file that is unpacked to where its voxels will lie, and not once more beside them."""

    def readinto(self, target: Any) -> int:
        """Fill a buffer as far as the file goes."""
        view, filled = memoryview(target).cast("B"), 0
        while part := self.read(min(_CHUNK, len(view) - filled)):
            view[filled : filled + len(part)] = part
            filled += len(part)
        return filled


def _read_header(stream: IO[bytes]) -> tuple[Nifti1Header, tuple[bytes, ...]]:
    """The header's fields as they stand, and the comments among its extensions."""
    head = stream.read(Nifti2Header.template_dtype.itemsize)
    if not is_nifti(head):
        raise ValueError("its content is something else")
    magic = head[4:8] if head[4:8] in (b"n+2\0", b"ni2\0") else head[344:348]
    if magic.startswith(b"ni"):
        raise ValueError("it is one of a pair .hdr and .img; join them to one file")
    kind: type[Nifti1Header] = Nifti2Header if magic.startswith(b"n+2") else Nifti1Header
    length = kind.template_dtype.itemsize
    header = kind(head[:length], check=False)
    stream.seek(length)
    return header, tuple(content for code, content in _extensions(stream, header) if code == _COMMENT)


def _extensions(stream: IO[bytes], header: Nifti1Header) -> Iterator[tuple[int, bytes]]:
    """Walk the header's extensions by their stated lengths, which nibabel would read whatever they say."""
    place, end = stream.tell() + 4, float(header["vox_offset"])
    if not end <= _MAX_HEADER_BYTES:
        raise ValueError("the voxels are said to start far behind the header")
    if stream.read(4)[:1] in (b"", b"\0"):
        return
    order: Literal["little", "big"] = "little" if header.endianness == "<" else "big"
    while place + 16 <= end:
        length, code = (int.from_bytes(stream.read(4), order, signed=True) for _ in range(2))
        if not 16 <= length <= end - place:
            raise ValueError("a header extension has an impossible length")
        place += length
        yield code, stream.read(length - 8).rstrip(b"\0")


def _shape(header: Nifti1Header) -> Shape:
    stated = tuple(int(n) for n in header.get_data_shape())
    shape = stated[:3] if len(stated) > 3 and all(n == 1 for n in stated[3:]) else stated
    if len(shape) != 3:
        found = f"a {len(shape)}-D picture" if len(shape) < 3 else f"{shape[3]} volumes"
        wayout = "give the whole series" if len(shape) < 3 else "extract one volume first"
        raise InputError(f"expected one 3-D volume; found {found} (shape {stated}); {wayout}")
    dtype = header.get_data_dtype()
    if dtype.fields is not None or np.issubdtype(dtype, np.complexfloating):
        raise InputError("expected one number a voxel; it holds colours or complex values; convert it to grey first")
    return shape[0], shape[1], shape[2]


def _voxels(opened: _Opened, path: Path) -> NDArray[Any]:
    """The voxels, scaled, unless the file is too short to hold them all: nothing is allocated on a header's word alone."""
    shape = opened.placement.grid.shape
    needed = math.prod(shape) * opened.header.get_data_dtype().itemsize
    with path.open("rb") as raw:
        ratio = DEFLATE_RATIO if raw.read(2) == _GZIP else 1
    try:
        if path.stat().st_size * ratio < needed:
            raise ValueError("the file is too short")
        with _stream(path) as stream, np.errstate(over="ignore", invalid="ignore"):
            return np.asanyarray(ArrayProxy(stream, opened.header, mmap=False)).reshape(shape)
    except _UNREADABLE as error:
        raise InputError(f"{path}: expected {math.prod(shape)} voxels; the file is truncated or damaged ({first_line(error)})") from error


def _on_grid(data: NDArray[Any], grid: Grid, like: NiftiHeader | None) -> Nifti1Image:
    """The image of `data`, in mm, or with the source's affines, codes and unit as they stand."""
    image = Nifti1Image(data, grid.vox2world)
    image.header.set_xyzt_units("mm")
    if like is None:
        return image
    for field in _PLACING:
        image.header[field] = like.header[field]
    image.header["pixdim"][:4] = like.header["pixdim"][:4]
    return Nifti1Image(data, None, image.header)
