"""DICOM series of known volumes, for tests: classic slices or one enhanced multi-frame image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from highdicom.legacy import LegacyConvertedEnhancedMRImage
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid
from pydicom.valuerep import format_number_as_ds as ds

from cascade.volume import Volume

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def uid(*words: object) -> str:
    return str(generate_uid(entropy_srcs=["cascade tests", *map(str, words)]))


def slices(volume: Volume, *, number: int = 5, patient: str = "P1", echo_ms: float = 100.0, **attributes: Any) -> list[Dataset]:
    """One MR image a slice along the third axis of `volume`, in that order; `attributes` overwrite any other."""
    affine = LPS @ volume.grid.vox2world
    columns, rows, thickness = volume.grid.spacing_mm
    found = []
    for index in range(volume.data.shape[2]):
        dataset = _header(number, patient, index)
        dataset.ImagePositionPatient = [ds(x) for x in affine[:3] @ [0, 0, index, 1]]
        dataset.ImageOrientationPatient = [ds(x) for x in (*affine[:3, 0] / columns, *affine[:3, 1] / rows)]
        dataset.PixelSpacing = [ds(rows), ds(columns)]
        dataset.SliceThickness, dataset.SpacingBetweenSlices = ds(0.9 * thickness), ds(thickness)
        dataset.EchoTime, dataset.RepetitionTime = str(echo_ms), "3000"
        pixels = np.ascontiguousarray(np.rint(volume.data[:, :, index]).astype(np.uint16).T)
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.PixelData = pixels.tobytes()
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
        found.append(dataset)
    return found


def enhanced(datasets: list[Dataset]) -> Dataset:
    """The same series as one enhanced multi-frame image."""
    image = LegacyConvertedEnhancedMRImage(datasets, uid("enhanced series"), 6, uid("enhanced"), 1)
    return image


def write_series(datasets: list[Dataset], folder: Path) -> Path:
    """Write files whose names say nothing about format or order."""
    folder.mkdir(parents=True, exist_ok=True)
    for n, dataset in enumerate(datasets):
        dataset.save_as(folder / f"{(n * 7919) % 1009:04d}_{dataset.SeriesNumber}", enforce_file_format=True)
    return folder


def _header(number: int, patient: str, index: int) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid(patient, number, index)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid(patient), uid(patient, number)
    dataset.FrameOfReferenceUID = uid(patient, "frame of reference")
    dataset.Modality, dataset.Manufacturer, dataset.ManufacturerModelName = "MR", "none", "phantom"
    dataset.DeviceSerialNumber, dataset.SoftwareVersions = "1", "1"
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientID, dataset.PatientName = f"ID-{patient}", f"Secret^{patient}"
    dataset.PatientBirthDate, dataset.PatientSex, dataset.StudyID = "19700102", "O", "1"
    dataset.AccessionNumber, dataset.ReferringPhysicianName, dataset.PositionReferenceIndicator = "1", "", ""
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = dataset.AcquisitionDate = "20240102"
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = dataset.AcquisitionTime = "101112"
    dataset.SeriesNumber, dataset.InstanceNumber, dataset.AcquisitionNumber = number, index + 1, 1
    dataset.PatientPosition, dataset.BodyPartExamined = "HFS", "LSPINE"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "SE"]
    dataset.ScanningSequence, dataset.SequenceVariant, dataset.ScanOptions = "SE", "SK", ""
    dataset.MRAcquisitionType, dataset.EchoTrainLength, dataset.MagneticFieldStrength = "2D", "16", "1.5"
    dataset.ImagedNucleus, dataset.ImagingFrequency, dataset.FlipAngle = "1H", "63.9", "150"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.WindowCenter, dataset.WindowWidth = "400", "800"
    return dataset
