"""Make a DICOM study of one scan, to follow the tutorial with: a sagittal series, and axial slices that are cut from it.

python docs/tutorials/make_study.py demo/scan.nii.gz STUDY
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from cascade import Grid, Volume
from cascade.io.formats import read_scan_file

#: The axes of voxels as scanners store them, slices last; the largest number that is stored; and the axial field of view.
SAGITTAL, AXIAL = "PIR", "LPS"
BRIGHTEST = 4000
AXIAL_SHAPE, AXIAL_SPACING_MM = (60, 160, 40), (1.2, 1.2, 4.0)


def main(scan: Path, study: Path) -> None:
    """Write one file a slice to `study`."""
    volume, _ = read_scan_file(scan)
    study.mkdir(parents=True, exist_ok=True)
    series = {1: volume.reoriented(SAGITTAL), 2: volume.resampled(axial_grid(volume.grid))}
    for number, images in series.items():
        for index, dataset in enumerate(slices(images, number), start=1):
            dataset.save_as(study / f"{number}-{index:02d}.dcm", enforce_file_format=True)
        print(f"series {number}: {images.grid.shape[2]} slices")


def axial_grid(sagittal: Grid) -> Grid:
    """Axial slices around the middle of a scan."""
    affine = np.diag([*AXIAL_SPACING_MM, 1.0]) * (-1, -1, 1, 1)
    middle = sagittal.to_world((np.array(sagittal.shape) - 1) / 2)
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.array(AXIAL_SHAPE) - 1) / 2)
    return Grid(AXIAL_SHAPE, affine)


def slices(volume: Volume, number: int) -> Iterator[Dataset]:
    """The images of a series, one for each slice along the third axis."""
    lps = np.diag([-1, -1, 1, 1]) @ volume.grid.vox2world
    spacing, scale = volume.grid.spacing_mm, BRIGHTEST / float(volume.data.max())
    for index in range(volume.grid.shape[2]):
        dataset = header(number, index)
        dataset.ImagePositionPatient = [f"{x:.6f}" for x in lps[:3] @ [0, 0, index, 1]]
        dataset.ImageOrientationPatient = [f"{x:.6f}" for x in (*lps[:3, 0] / spacing[0], *lps[:3, 1] / spacing[1])]
        dataset.PixelSpacing, dataset.SliceThickness = [f"{spacing[1]:.6f}", f"{spacing[0]:.6f}"], f"{spacing[2]:.6f}"
        pixels = (volume.data[:, :, index].T.clip(0) * scale).round().astype(np.uint16)
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.PixelData = pixels.tobytes()
        yield dataset


def header(number: int, index: int) -> Dataset:
    """What all images of one made patient have in common."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
    dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = uid("study"), uid("frame")
    dataset.SeriesInstanceUID = uid("series", number)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid("image", number, index)
    dataset.Modality, dataset.PatientID, dataset.PatientName, dataset.StudyID = "MR", "1", "Tutorial", "1"
    dataset.PatientBirthDate = dataset.PatientSex = dataset.StudyDate = dataset.StudyTime = ""
    dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
    dataset.SeriesNumber, dataset.InstanceNumber, dataset.EchoTime = number, index + 1, "100"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    return dataset


def uid(*words: object) -> str:
    """A UID that is the same each time."""
    return str(generate_uid(entropy_srcs=["cascade tutorial", *map(str, words)]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
