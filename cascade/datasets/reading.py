"""Volumes in any format that public data sets come in: NIfTI, MetaImage, NRRD, DICOM series."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cascade.errors import InputError
from cascade.extras import extra
from cascade.formats import read_scan_file
from cascade.nifti import SUFFIXES as NIFTI
from cascade.nifti import read_image
from cascade.volume import Grid, Volume

#: Single files that hold a volume; ``.dcm`` only if it is multi-frame or the only one of its series.
SUFFIXES = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd", ".nhdr")
_DICOM = (".dcm", ".ima")
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, order=True)
class ScanFile:
    """A volume on disk.

    Parameters
    ----------
    folder : Path
        Where it lies.
    name : str
        File name without suffix; of a DICOM series its description and the folder's name.
    files : tuple of Path
        One file, or the slices of a DICOM series in order.
    """

    folder: Path
    name: str
    files: tuple[Path, ...]

    @classmethod
    def of(cls, path: Path) -> ScanFile:
        """Describe a single file."""
        return cls(path.parent, stem(path), (path,))

    @property
    def path(self) -> Path:
        """What to call it in messages."""
        return self.files[0] if len(self.files) == 1 else self.folder


def stem(path: Path) -> str:
    """File name without the suffix of a volume.

    >>> stem(Path("a/Img_02.nii.gz"))
    'Img_02'
    """
    suffix = next((s for s in (*SUFFIXES, *_DICOM) if path.name.lower().endswith(s)), "")
    return path.name[: len(path.name) - len(suffix)]


def list_scans(folder: Path) -> list[ScanFile]:
    """All volumes directly in `folder`, by name; hidden files are skipped."""
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    single = [ScanFile.of(p) for p in files if p.name.lower().endswith(SUFFIXES)]
    dicom = [p for p in files if p.name.lower().endswith(_DICOM) or (not p.suffix and _is_dicom(p))]
    return sorted([*single, *(_dicom_series(folder, dicom) if dicom else ())])


def folders_with_scans(source: Path) -> Iterator[Path]:
    """`source` and every folder below it, by name, without hidden ones and the archiver's leftovers."""
    if source.name == "__MACOSX":
        return
    yield source
    for folder in sorted(p for p in source.iterdir() if p.is_dir() and not p.name.startswith(".")):
        yield from folders_with_scans(folder)


def read_scan(scan: ScanFile) -> tuple[Volume, tuple[tuple[str, str], ...]]:
    """Read a volume as float32 in RAS+ world coordinates, with the notes of its header.

    Raises
    ------
    InputError
        The file cannot be read or is not one 3-D scalar volume.
    MissingExtraError
        The format needs SimpleITK, which is not installed.
    """
    if len(scan.files) == 1 and scan.path.name.lower().endswith(NIFTI):
        volume, header = read_image(scan.path)
        return volume, header.notes
    if len(scan.files) == 1 and scan.path.name.lower().endswith(SUFFIXES):
        return read_scan_file(scan.path)[0], ()
    return _read_dicom(scan), ()


def _read_dicom(scan: ScanFile) -> Volume:
    sitk = _sitk(scan.path)
    names = [str(p) for p in scan.files]
    try:
        image = sitk.ReadImage(names if len(names) > 1 else names[0])
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1][:120]
        raise InputError(f"{scan.path}: expected DICOM; it cannot be read ({reason}); fetch it again") from error
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(f"{scan.path}: expected one 3-D scalar volume; it has size {image.GetSize()}; extract one volume first")
    data = np.ascontiguousarray(sitk.GetArrayFromImage(image).T, dtype=np.float32)
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return Volume(data, Grid(data.shape, _LPS_TO_RAS @ affine))


def _dicom_series(folder: Path, files: list[Path]) -> Iterator[ScanFile]:
    """Group the DICOM files of a folder into series."""
    sitk = _sitk(folder)
    reader = sitk.ImageSeriesReader
    known = {p.name for p in files}
    for uid in sorted(reader.GetGDCMSeriesIDs(str(folder))):
        slices = tuple(Path(name) for name in reader.GetGDCMSeriesFileNames(str(folder), uid) if Path(name).name in known)
        if len(slices) == 1:
            yield ScanFile.of(slices[0])
        elif slices:
            yield ScanFile(folder, f"{folder.name} {_description(slices[0])}".strip(), slices)


def _description(path: Path) -> str:
    reader = _sitk(path).ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return reader.GetMetaData("0008|103e").strip() if reader.HasMetaDataKey("0008|103e") else ""


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


@functools.cache
def _library() -> Any:
    import SimpleITK as sitk  # noqa: N813  (the name its own documentation uses)

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    return sitk


def _sitk(path: Path) -> Any:
    with extra("itk", str(path)):
        return _library()
