"""Images in memory: what other libraries hold, as a volume in RAS+ mm.

A library is asked only if the image is of it, so none is imported here.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cascade.errors import InputError
from cascade.io.formats import Source, read_scan_file
from cascade.volume import Grid, Volume

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: Directions of the world's axes in ITK and DICOM (LPS+), seen from RAS+.
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
TAKEN = (
    "a path, a cascade.Volume, a nibabel or SimpleITK image, a MONAI MetaTensor, the pydicom data sets of one series, "
    "or an array with affine= (4 x 4, voxel to RAS+ mm)"
)


def read_image(image: Any, series: str | None = None, affine: ArrayLike | None = None) -> tuple[Volume, Source | None]:
    """Read a scan from a path, or take one that is in memory.

    Parameters
    ----------
    image : path, Volume, nibabel image, SimpleITK image, MetaTensor, Dataset, sequence of Dataset, or array
        SimpleITK and DICOM are LPS+; MONAI's tensors may have one channel first, and say themselves whether they are RAS+ or LPS+.
    series : str, optional
        DICOM series number or SeriesInstanceUID.
    affine : (4, 4) array, optional
        With an array only: voxel indices to RAS+ mm.

    Raises
    ------
    InputError
        It is none of these, or no 3-D image.
    """
    if affine is not None:
        return _from_array(image, affine), None
    if isinstance(image, Volume):
        return image, None
    if isinstance(image, str | os.PathLike):
        if image == "":
            raise InputError("image: expected a path; found an empty one")
        return read_scan_file(Path(image), series)
    if (datasets := _datasets(image)) is not None:
        return _from_datasets(datasets, series)
    library = type(image).__module__.split(".")[0]
    if library == "SimpleITK":
        return _from_itk(image), None
    if hasattr(image, "affine") and hasattr(image, "dataobj"):
        return _from_array(np.asanyarray(image.dataobj), image.affine, "nibabel image"), None
    if library == "monai" and hasattr(image, "affine"):
        return _from_metatensor(image), None
    raise InputError(f"image: expected {TAKEN}; found {_described(image)}")


def _described(image: Any) -> str:
    what = f"{type(image).__module__}.{type(image).__qualname__}".removeprefix("builtins.")
    return f"{what} without affine=" if hasattr(image, "__array__") else what


def _from_array(image: Any, affine: ArrayLike | None, what: str = "array") -> Volume:
    if not hasattr(image, "__array__"):
        raise InputError(f"image: expected an array where affine= is given; found {_described(image)}")
    data = np.asarray(image)
    while data.ndim > 3 and data.shape[-1] == 1:
        data = data[..., 0]
    if data.ndim != 3 or not data.size or data.dtype.kind not in "biuf":
        raise InputError(f"image: expected one 3-D image of real numbers; found an {what} of shape {data.shape} and type {data.dtype}")
    return Volume(np.asarray(data, dtype=np.float32), Grid((data.shape[0], data.shape[1], data.shape[2]), _matrix(affine)))


def _matrix(affine: ArrayLike | None) -> NDArray[np.float64]:
    try:
        matrix = np.asarray(affine, dtype=float)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    if (
        matrix.shape != (4, 4)
        or not np.isfinite(matrix).all()
        or not abs(np.linalg.det(matrix[:3, :3])) > 0
        or any(matrix[3] != [0, 0, 0, 1])
    ):
        raise InputError("image: expected as affine a 4 x 4 matrix from voxel indices to RAS+ mm that can be inverted; found another")
    return matrix


def _from_itk(image: Any) -> Volume:
    import SimpleITK

    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        found = f"{image.GetDimension()} dimensions, {image.GetNumberOfComponentsPerPixel()} components"
        raise InputError(f"image: expected one 3-D image of real numbers; found a SimpleITK image of {found}")
    lps = np.eye(4)
    lps[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    lps[:3, 3] = image.GetOrigin()
    return _from_array(SimpleITK.GetArrayFromImage(image).transpose(), _LPS_TO_RAS @ lps, "SimpleITK image")


def _from_metatensor(image: Any) -> Volume:
    data = image.detach().cpu().numpy()
    if data.ndim == 4 and data.shape[0] == 1:
        data = data[0]
    affine = np.asarray(image.affine.cpu(), dtype=float)
    is_lps = "LPS" in str(image.meta.get("space", "RAS")).upper()
    return _from_array(data, _LPS_TO_RAS @ affine if is_lps else affine, "MetaTensor")


def _datasets(image: Any) -> Sequence[Dataset] | None:
    """The data sets, if the image is made of such."""
    members = image if isinstance(image, list | tuple) else [image]
    return members if members and all(type(member).__module__.split(".")[0] == "pydicom" for member in members) else None


def _from_datasets(datasets: Sequence[Dataset], series: str | None) -> tuple[Volume, Source]:
    from cascade.io.dicom import read_series
    from cascade.io.dicom_files import DicomFile
    from cascade.io.dicom_series import choose, group_series

    files = [DicomFile(f"data set {number}", Path(), _written(dataset)) for number, dataset in enumerate(datasets, start=1)]
    found = group_series(files)
    if found.problems:
        raise found.problems[0]
    chosen = choose(found.series, series, "data sets")
    if len(chosen) != 1:
        raise InputError(f"data sets: expected those of one series; found {len(chosen)}; say which with series=")
    return read_series(chosen[0], "data sets")


def _written(dataset: Dataset) -> bytes:
    """A data set as bytes that `pydicom.dcmread` reads as it is."""
    buffer = io.BytesIO()
    if "TransferSyntaxUID" in getattr(dataset, "file_meta", ()):
        dataset.save_as(buffer, enforce_file_format=True)
    else:
        dataset.save_as(buffer, implicit_vr=True, little_endian=True)
    return buffer.getvalue()
