"""The front door for files: scans of any format in, labels in any format out.

Inputs are recognised by content, outputs by the suffix of their name.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from cascade.errors import InputError, OutputError
from cascade.io.extras import extra
from cascade.io.nifti import NiftiHeader, read_image, read_label_array, whole_numbers, write_labels
from cascade.io.recognise import Kind, find_suffix, is_there, recognise
from cascade.volume import Grid, LabelMap, Volume

if TYPE_CHECKING:
    from cascade.io.dicom_seg import SegType

#: Output formats by the suffix that asks for them; longer suffixes first.
OUTPUT_SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha", ".dcm")
SEG_TYPES: tuple[SegType, ...] = ("binary", "labelmap")


class Source(Protocol):
    """What a reader remembers of a file, for the writer of its labels."""

    @property
    def notes(self) -> tuple[tuple[str, str], ...]:
        """Code and text of what the reader noticed."""


@dataclass(frozen=True)
class PlainSource:
    """A file of which nothing but the reader's notes is needed again."""

    notes: tuple[tuple[str, str], ...] = ()


def read_scan_file(path: Path, series: str | None = None) -> tuple[Volume, Source | None]:
    """Read a scan: NIfTI, NRRD, MetaImage, a DICOM folder, zip or multi-frame file.

    Parameters
    ----------
    path : Path
    series : str, optional
        DICOM series number or SeriesInstanceUID, where there are several.

    Returns
    -------
    volume : Volume
    source : Source or None
        What `write_labels_file` has to repeat.

    Raises
    ------
    InputError
        The file is missing, damaged, of no known format, or not one 3-D scan.
    MissingExtraError
        The format needs an extra that is not installed.
    """
    kind = _recognised(path)
    if kind == "nifti":
        return read_image(path)
    if kind in ("dicom", "zip"):
        with extra("dicom", str(path)):
            from cascade.io.dicom import read_dicom
        return read_dicom(path, series)
    with extra("itk", str(path)):
        from cascade.io.itk import read_itk
    volume, notes = read_itk(path, kind)
    return volume, PlainSource(notes)


def read_labels_file(path: Path) -> tuple[NDArray[Any], Grid]:
    """Read whole numbers from a label file of any format; a DICOM SEG gives its segment numbers.

    Raises
    ------
    InputError
        As for `read_scan_file`, or the values are no labels.
    MissingExtraError
        The format needs an extra that is not installed.
    """
    kind = _recognised(path)
    if kind == "nifti":
        return read_label_array(path)
    if kind == "dicom":
        with extra("dicom", str(path)):
            from cascade.io.dicom_seg import read_dicom_seg
        return read_dicom_seg(path)[:2]
    if kind == "zip":
        raise InputError(f"{path}: expected a label file; found a zip; unpack it first")
    with extra("itk", str(path)):
        from cascade.io.itk import read_itk_array
    data, grid = read_itk_array(path, kind)
    return whole_numbers(data, path), grid


def write_labels_file(labels: LabelMap, path: Path, source: Source | None = None, seg_type: SegType = "binary") -> None:
    """Write labels in the format that the suffix of `path` asks for.

    Parameters
    ----------
    labels : LabelMap
    path : Path
    source : Source, optional
        From `read_scan_file`: NIfTI repeats its header, DICOM SEG refers to its series.
    seg_type : {"binary", "labelmap"}
        Kind of DICOM SEG.

    Raises
    ------
    OutputError
        The suffix is unknown, the path cannot be written, or the format does not go with the source.
    MissingExtraError
        The format needs an extra that is not installed.
    """
    suffix = output_suffix(path)
    if suffix in (".nii", ".nii.gz"):
        write_labels(labels, path, source if isinstance(source, NiftiHeader) else None)
    elif suffix == ".dcm":
        _write_seg(labels, path, source, seg_type)
    else:
        with extra("itk", str(path)):
            from cascade.io.itk import write_itk
        from cascade.io.slicer import seg_entries

        write_itk(labels, path, suffix.removeprefix(".seg"), seg_entries(labels) if suffix == ".seg.nrrd" else None)


def output_suffix(path: Path) -> str:
    """The suffix that says an output's format.

    Raises
    ------
    OutputError
        There is no such format.

    Examples
    --------
    >>> output_suffix(Path("levels.seg.nrrd")), output_suffix(Path("levels.NII.GZ"))
    ('.seg.nrrd', '.nii.gz')
    """
    found = find_suffix(path.name, OUTPUT_SUFFIXES)
    if not found:
        raise OutputError(f"{path}: expected an output name that ends in {', '.join(OUTPUT_SUFFIXES)}")
    return found


def check_output(path: Path, scan: Path, *others: Path | None, series: str | None = None) -> tuple[tuple[str, str], ...]:
    """Refuse, before anything is computed, an output that cannot be written for this scan.

    Returns
    -------
    notes : tuple of (str, str)
        Code and text of what will be written otherwise than the scan says.

    Raises
    ------
    OutputError
        The suffix is unknown, the output is the input, or a DICOM SEG is asked for a scan that is not DICOM.
    InputError
        A DICOM SEG is asked for a series to which it cannot refer.
    """
    suffix = output_suffix(path)
    for output in (path, *others):
        if output is not None and is_there(output) and is_there(scan) and output.samefile(scan):
            raise OutputError(f"{output}: expected an output other than the input; the scan would be overwritten; choose another name")
    if suffix != ".dcm" or not is_there(scan):
        return ()
    if recognise(scan) not in ("dicom", "zip"):
        raise OutputError(_NOT_DICOM.format(path=path))
    with extra("dicom", str(path)):
        from cascade.io.dicom import check_referable
    return check_referable(scan, series)


def _write_seg(labels: LabelMap, path: Path, source: Source | None, seg_type: SegType) -> None:
    if seg_type not in SEG_TYPES:
        raise OutputError(f"{path}: expected a DICOM SEG of type {' or '.join(SEG_TYPES)}; found {seg_type!r}")
    with extra("dicom", str(path)):
        from cascade.io.dicom import DicomSource
        from cascade.io.dicom_seg import write_dicom_seg
    if not isinstance(source, DicomSource):
        raise OutputError(_NOT_DICOM.format(path=path))
    write_dicom_seg(labels, path, source, seg_type)


_NOT_DICOM = (
    "{path}: expected a scan read from DICOM, which a DICOM SEG has to refer to; found another format; "
    "give the DICOM series as input, or write .seg.nrrd or .nii.gz"
)


def _recognised(path: Path) -> Kind:
    if not is_there(path):
        raise InputError(f"{path}: expected a file or folder; there is no such file")
    kind = recognise(path)
    if kind is None and find_suffix(path.name, (".nii", ".nii.gz")):
        return "nifti"
    if kind is None and not os.access(path, os.R_OK):
        raise InputError(f"{path}: expected a readable file; permission denied; change its permissions")
    if kind is None:
        raise InputError(f"{path}: expected NIfTI, DICOM, NRRD or MetaImage; its content is none of these")
    return kind
