"""Volumes in any format that public data sets come in: NIfTI, MetaImage, NRRD, DICOM series."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cascade.errors import InputError
from cascade.extras import extra
from cascade.formats import read_scan_file
from cascade.nifti import SUFFIXES as NIFTI
from cascade.nifti import read_image
from cascade.volume import Volume

#: Single files that hold a volume; ``.dcm`` only if it is multi-frame or the only one of its series.
SUFFIXES = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd", ".nhdr")
_DICOM = (".dcm", ".ima")


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
        The format needs an extra that is not installed.
    """
    if len(scan.files) == 1 and scan.path.name.lower().endswith(NIFTI):
        volume, header = read_image(scan.path)
        return volume, header.notes
    if len(scan.files) == 1 and scan.path.name.lower().endswith(SUFFIXES):
        return read_scan_file(scan.path)[0], ()
    return _read_dicom(scan), ()


def _read_dicom(scan: ScanFile) -> Volume:
    with extra("dicom", str(scan.path)):
        from cascade.dicom import read_series
        from cascade.dicom_series import DicomFile, group_series
    found = group_series(DicomFile(str(path), path.parent, path) for path in scan.files)
    if len(found) != 1:
        raise InputError(f"{scan.path}: expected one DICOM series; found {len(found)}; separate the files")
    return read_series(found[0], str(scan.path))[0]


def _dicom_series(folder: Path, files: list[Path]) -> Iterator[ScanFile]:
    """Group the DICOM files of a folder into series; what cannot be read is no scan."""
    with extra("dicom", str(folder)):
        from cascade.dicom_series import DicomFile, attribute, group_series
    headers = {}
    for path in files:
        with contextlib.suppress(InputError):
            file = DicomFile(str(path), path.parent, path)
            headers[file] = file.read(stop_before_pixels=True, specific_tags=["SeriesDescription"])
    for series in group_series(headers):
        paths = tuple(Path(file.name) for file in series.files)
        description = str(attribute(headers[series.files[0]], "SeriesDescription", "")).strip()
        yield ScanFile.of(paths[0]) if len(paths) == 1 else ScanFile(folder, f"{folder.name} {description}".strip(), paths)


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"
