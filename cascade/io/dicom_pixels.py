"""The pixels of a DICOM image as intensities, also where a file leaves out what the standard asks for.

What is missing is assumed only where the standard or the file itself leaves one reading; it is told in words, never with a value
that belongs to a patient.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.processing import apply_rescale
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from cascade.errors import InputError
from cascade.io.dicom_files import DAMAGED, attribute, functional_group, quiet, whole
from cascade.io.extras import HOW
from cascade.volume import MAX_VOXELS

#: Photometric interpretations of grey images.
_GREY = ("MONOCHROME1", "MONOCHROME2")
#: Item tag that starts encapsulated (compressed) pixels.
_ITEM = b"\xfe\xff\x00\xe0"


def read_pixels(dataset: Dataset, name: str) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Decode, rescale and put right the pixels of an image.

    ``MONOCHROME1``, in which small numbers are bright, is turned round; padding gets the smallest intensity of its frame.

    Parameters
    ----------
    dataset : Dataset
        With pixels. What it lacks is put in.
    name : str
        Of the file, for messages.

    Returns
    -------
    pixels : array of float32, (frames, rows, columns)
    assumed : tuple of str
        What was assumed, in words.

    Raises
    ------
    InputError
        It is no grey image, or cannot be decoded; the message names the attribute where there is one.
    """
    _check_size(dataset, name)
    assumed = _completed(dataset, name)
    stored = _decoded(dataset, name)
    padding = _padding(dataset, stored)
    turned = attribute(dataset, "PhotometricInterpretation") == "MONOCHROME1"
    if turned:
        stored = _turned(dataset, stored)
        assumed.append("MONOCHROME1 is turned round, so that large numbers are bright")
    frames = np.stack([_rescaled(frame, dataset, number, name) for number, frame in enumerate(stored)])
    for frame, padded in zip(frames, padding, strict=True):
        if padded.any() and not padded.all():
            frame[padded] = frame[~padded].min()
    return frames, tuple(assumed)


def _check_size(dataset: Dataset, name: str) -> None:
    count = whole(dataset, "Rows", 0) * whole(dataset, "Columns", 0) * whole(dataset, "NumberOfFrames", 1)
    if not 0 < count <= MAX_VOXELS:
        raise InputError(f"{name}: expected an image of 1 to {MAX_VOXELS} voxels; the header says {count}; export it again")
    if whole(dataset, "SamplesPerPixel", 1) != 1 or str(attribute(dataset, "PhotometricInterpretation", _GREY[1])).strip() not in _GREY:
        raise InputError(f"{name}: expected one number a pixel; found colours; choose another series with --series")


def _completed(dataset: Dataset, name: str) -> list[str]:
    """Put in what the pixels cannot be read without; return what was assumed."""
    assumed = []
    if not isinstance(getattr(dataset, "file_meta", None), Dataset):
        dataset.file_meta = FileMetaDataset()
    if _is_empty(dataset.file_meta, "TransferSyntaxUID", name):
        dataset.file_meta.TransferSyntaxUID = _syntax(dataset, name)
        assumed.append("TransferSyntaxUID is absent, and the one that the file is readable with is taken")
    bits = whole(dataset, "BitsAllocated", 0) or _bits(dataset)
    stored = whole(dataset, "BitsStored", 0) or bits
    for keyword, value in (
        ("SamplesPerPixel", 1),
        ("PhotometricInterpretation", _GREY[1]),
        ("BitsAllocated", bits),
        ("BitsStored", stored),
        ("HighBit", stored - 1),
        ("PixelRepresentation", 0),
    ):
        if _is_empty(dataset, keyword, name):
            dataset.pop(Tag(keyword), None)  # an empty one may have another type
            setattr(dataset, keyword, value)
            assumed.append(f"{keyword} is absent, and {value} is assumed")
    for keyword in ("RescaleSlope", "RescaleIntercept", "NumberOfFrames"):
        if keyword in dataset and _is_empty(dataset, keyword, name):
            del dataset[keyword]
            assumed.append(f"{keyword} is empty, and left out of account")
    return assumed


def _is_empty(dataset: Dataset, keyword: str, name: str) -> bool:
    """Tell whether an attribute is absent or empty; one that cannot be read is neither, and nothing is assumed in its place."""
    try:
        return dataset.get(keyword) in (None, "")
    except DAMAGED as error:
        raise InputError(f"{name}: expected a readable {keyword}; it is damaged ({type(error).__name__}); export it again") from None


def _syntax(dataset: Dataset, name: str) -> UID:
    """The transfer syntax by which the data set was read; the default of the standard is implicit VR little endian."""
    if _ITEM in bytes(dataset.get("PixelData", b"")[:4]):
        raise InputError(f"{name}: expected TransferSyntaxUID, without which compressed pixels cannot be read; export the series again")
    implicit, little = dataset.original_encoding
    if implicit is not False:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _bits(dataset: Dataset) -> int:
    """Bits of a pixel, from how many bytes there are."""
    pixels = whole(dataset, "Rows", 1) * whole(dataset, "Columns", 1) * whole(dataset, "NumberOfFrames", 1)
    return 8 * max(1, len(dataset.get("PixelData", b"")) // pixels)


def _decoded(dataset: Dataset, name: str) -> NDArray[Any]:
    syntax = UID(str(dataset.file_meta.TransferSyntaxUID))
    try:
        with quiet():
            pixels: NDArray[Any] = dataset.pixel_array
            return pixels.reshape(-1, whole(dataset, "Rows", 0), whole(dataset, "Columns", 0))
    except (RuntimeError, NotImplementedError) as error:
        raise InputError(
            f"{name}: expected pixels that can be decoded; no decoder for {syntax.name}; decompress the files first (gdcmconv --raw), "
            f"or {HOW.format('dicom')}"
        ) from error
    except DAMAGED as error:
        raise InputError(f"{name}: expected pixels; the file is truncated or damaged ({type(error).__name__}); export it again") from None


def _padding(dataset: Dataset, stored: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels that hold the padding value (or lie in its range), which stands for no image at all."""
    value = _number_of(dataset, "PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, dtype=bool)
    limit = _number_of(dataset, "PixelPaddingRangeLimit")
    low, high = sorted((value, value if limit is None else limit))
    return (stored >= low) & (stored <= high)


def _number_of(dataset: Dataset, keyword: str) -> int | None:
    """A number whose type depends on the sign of the pixels; None if it is missing or none."""
    value = attribute(dataset, keyword)
    signed = whole(dataset, "PixelRepresentation", 0) == 1
    if isinstance(value, bytes):
        return int.from_bytes(value[:2], "little", signed=signed) if value else None
    try:
        number = int(value)
    except DAMAGED:
        return None
    bits = whole(dataset, "BitsAllocated", 16)
    if signed and number >= 1 << (bits - 1):
        return number - (1 << bits)
    return number + (1 << bits) if number < 0 and not signed else number


def _turned(dataset: Dataset, stored: NDArray[Any]) -> NDArray[Any]:
    """Stored numbers counted from the other end of their range."""
    top = (1 << whole(dataset, "BitsStored", 16)) - 1
    signed = whole(dataset, "PixelRepresentation", 0) == 1
    return (-1 if signed else top) - stored.astype(np.int64)


def _rescaled(frame: NDArray[Any], dataset: Dataset, number: int, name: str) -> NDArray[np.float32]:
    group = functional_group(dataset, number, "PixelValueTransformationSequence")
    holder = dataset if group is None else group
    if any(_is_empty(holder, keyword, name) for keyword in ("RescaleSlope", "RescaleIntercept")):
        return np.asarray(frame, dtype=np.float32)
    try:
        with np.errstate(over="ignore", invalid="ignore"), quiet():
            return np.asarray(apply_rescale(frame, holder), dtype=np.float32)
    except DAMAGED:
        raise InputError(f"{name}: expected numbers as RescaleSlope and RescaleIntercept; found others; export it again") from None
