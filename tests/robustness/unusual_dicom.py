"""DICOM series as anonymisers, old archives and people leave them, all made from one clean scan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from cascade.io.dicom_files import quiet
from cascade.volume import Volume
from tests.dicom_files import slices, write_series

Change = Callable[[Dataset], None]


@dataclass(frozen=True)
class Left:
    """What was done to each file of a series, and what is right.

    Parameters
    ----------
    change : callable
        Gets each data set.
    warns : tuple of str
        Codes of the reader's warnings; the voxels are those of the clean series.
    seg : tuple of str
        Codes of what is said before a SEG is made.
    refused : str
        Words with which a SEG is refused, before anything is computed.
    unread : str
        Words with which the series is refused.
    """

    change: Change
    warns: tuple[str, ...] = ()
    seg: tuple[str, ...] = ()
    refused: str = ""
    unread: str = ""


def put(**values: Any) -> Change:
    """Other values; None takes the attribute away, an empty text leaves it empty."""

    def change(dataset: Dataset) -> None:
        for keyword, value in values.items():
            if value is None:
                dataset.pop(keyword, None)
            else:
                setattr(dataset, keyword, value)

    return change


_ASSUMED, _MENDED = ("dicom-incomplete",), ("dicom-repaired",)
_NAME = "Yamada^Tarou=\u5c71\u7530^\u592a\u90ce"
SERIES: dict[str, Left] = {
    "slice_thickness_missing": Left(put(SliceThickness=None)),
    "slice_thickness_empty": Left(put(SliceThickness="")),
    "spacing_between_slices_wrong": Left(put(SpacingBetweenSlices="0.09")),
    "spacing_between_slices_negative": Left(put(SpacingBetweenSlices="-4")),
    "spacing_between_slices_empty": Left(put(SpacingBetweenSlices="")),
    "sex_lowercase": Left(put(PatientSex="m"), seg=_MENDED),
    "sex_in_words": Left(put(PatientSex="MALE"), seg=_MENDED),
    "birth_year_only": Left(put(PatientBirthDate="1960"), seg=_MENDED),
    "birth_date_with_dashes": Left(put(PatientBirthDate="1960-01-31"), seg=_MENDED),
    "study_time_colons": Left(put(StudyTime="10:10:10"), seg=_MENDED),
    "study_date_in_words": Left(put(StudyDate="yesterday"), seg=_MENDED),
    "study_id_too_long": Left(put(StudyID="x" * 40), seg=_MENDED),
    "image_type_lowercase": Left(put(ImageType=["original", "primary", "m"]), seg=_MENDED),
    "japanese": Left(put(SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName=_NAME)),
    "korean": Left(put(SpecificCharacterSet=["", "ISO 2022 IR 149"], PatientName="Hong^Gildong=\u6d2a^\u5409\u6d1e=\ud64d^\uae38\ub3d9")),
    "chinese": Left(put(SpecificCharacterSet="GB18030", PatientName="Wang^XiaoDong=\u738b^\u5c0f\u4e1c=")),
    "no_frame_of_reference": Left(put(FrameOfReferenceUID=None), seg=_MENDED),
    "frame_of_reference_empty": Left(put(FrameOfReferenceUID=""), seg=_MENDED),
    "no_study_uid": Left(put(StudyInstanceUID=None), refused="expected a StudyInstanceUID in every file"),
    "study_uid_in_words": Left(put(StudyInstanceUID="study 1"), refused="expected a StudyInstanceUID in every file"),
    "no_series_uid": Left(put(SeriesInstanceUID=None), refused="expected a SeriesInstanceUID in every file"),
    "one_instance_uid": Left(put(SOPInstanceUID="1.2.3"), refused="expected another SOPInstanceUID in every file"),
    "no_patient": Left(put(PatientID=None, PatientName=None, PatientBirthDate=None, PatientSex=None)),
    "no_photometric": Left(put(PhotometricInterpretation=None), _ASSUMED),
    "photometric_empty": Left(put(PhotometricInterpretation=""), _ASSUMED),
    "no_samples_per_pixel": Left(put(SamplesPerPixel=None), _ASSUMED),
    "no_bits": Left(put(BitsAllocated=None, BitsStored=None, HighBit=None), _ASSUMED),
    "rescale_slope_empty": Left(put(RescaleSlope="", RescaleIntercept=""), _ASSUMED),
    "no_class": Left(put(SOPClassUID=None), seg=_MENDED),
    "series_number_missing": Left(put(SeriesNumber=None)),
    "no_instance_number": Left(put(InstanceNumber=None, SliceLocation="", AcquisitionNumber="")),
    "echo_time_empty": Left(put(EchoTime="")),
    "colours": Left(put(PhotometricInterpretation="RGB"), unread="expected one number a pixel; found colours"),
    "no_rows": Left(put(Rows=None), unread="expected an image of 1 to"),
    "no_position": Left(put(ImagePositionPatient=None), unread="ImagePositionPatient"),
    "no_orientation": Left(put(ImageOrientationPatient=None), unread="ImageOrientationPatient"),
    "no_pixel_spacing": Left(put(PixelSpacing=None), unread="PixelSpacing"),
    "no_pixels": Left(put(PixelData=None), unread="PixelData|pixels"),
}


def write_left(scan: Volume, left: Left, folder: Path, **options: Any) -> Path:
    """Write the scan as a series, one file a slice along its third axis, and change each file."""
    with quiet():
        write_series(slices(scan, **options), folder)
        for file in folder.iterdir():
            dataset = pydicom.dcmread(file)
            left.change(dataset)
            dataset.save_as(file)
    return folder


def write_bare(scan: Volume, folder: Path) -> Path:
    """Write the scan without preamble and file meta information, in the transfer syntax that the standard takes for granted."""
    folder.mkdir(parents=True)
    for number, dataset in enumerate(slices(scan)):
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        dataset.save_as(folder / str(number), enforce_file_format=True)
        content = (folder / str(number)).read_bytes()
        (folder / str(number)).write_bytes(content[144 + int.from_bytes(content[140:144], "little") :])
    return folder


def write_folders(scan: Volume, out: Path) -> None:
    """Write folders in which one fault must not cost the others."""
    for letter in ("a", "b"):
        write_series(slices(scan, patient="P1", SeriesInstanceUID=f"1.2.3.{ord(letter)}"), out / "dcm_two_series_one_number" / letter)
    for name in ("dcm_cohort_mixed_series", "dcm_cohort_damaged_file"):
        for patient in ("pat1", "pat2"):
            write_series(slices(scan, patient=patient), out / name / patient)
    stray, damaged = (sorted((out / name / "pat2").iterdir())[1] for name in ("dcm_cohort_mixed_series", "dcm_cohort_damaged_file"))
    dataset = pydicom.dcmread(stray)
    dataset.PatientID = "C"
    dataset.save_as(stray)
    damaged.write_bytes(damaged.read_bytes()[:700])
