from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.tag import Tag
from pydicom.uid import MPEG2MPML, UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from cascade.errors import InputError
from cascade.io.dicom import read_dicom
from cascade.volume import Volume
from tests import blocks
from tests.dicom_files import enhanced, slices, uid, write_series


@pytest.mark.parametrize("angle", [-40.0, -1e-7, 0.0, 3.0, 25.0])
@pytest.mark.parametrize("axcodes", ["PSR", "ASL", "RSA", "LPS", "LAI"])
def test_an_oblique_series_lies_where_its_attributes_say(angle: float, axcodes: str, tmp_path: Path):
    scan = blocks.scan(axcodes, angle)
    read, _ = read_dicom(write_series(slices(scan), tmp_path))
    for corner in ((0, 0, 0), tuple(n - 1 for n in read.grid.shape)):
        there = np.rint(scan.grid.to_voxels(read.grid.to_world(corner))).astype(int)
        assert np.allclose(scan.grid.to_world(there), read.grid.to_world(corner), atol=1e-3)
        assert scan.data[tuple(there)] == read.data[corner]


def test_axes_run_along_rows_columns_and_their_cross_product(tmp_path: Path):
    read, _ = read_dicom(write_series(slices(blocks.scan("PIL", 0)), tmp_path))
    assert read.grid.axcodes == "PIR", "sorted along the normal, whatever the order of the files"
    assert read.grid.spacing_mm == pytest.approx((0.9, 1.1, 4.0))


@pytest.mark.parametrize("axcodes", ["PSR", "RSA", "LPS"])
def test_an_enhanced_multi_frame_image_equals_the_series_it_was_made_of(axcodes: str, tmp_path: Path):
    files = slices(blocks.scan(axcodes))
    one, _ = read_dicom(write_series(files, tmp_path / "classic"))
    enhanced(files).save_as(tmp_path / "enhanced.dcm")
    many, source = read_dicom(tmp_path / "enhanced.dcm")
    assert np.array_equal(one.data, many.data)
    assert one.grid.matches(many.grid, tol_mm=1e-6)
    assert len(source.datasets) == 1


def test_a_zip_equals_the_folder_that_was_packed(tmp_path: Path):
    folder = write_series(slices(blocks.scan()), tmp_path / "series")
    with zipfile.ZipFile(tmp_path / "series.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
        for file in folder.iterdir():
            archive.write(file, f"DICOM/{file.name}")
    one, many = read_dicom(folder)[0], read_dicom(tmp_path / "series.zip")[0]
    assert np.array_equal(one.data, many.data)
    assert one.grid.matches(many.grid)


def test_stored_values_are_rescaled(tmp_path: Path):
    scan = blocks.scan("LPS")
    read, _ = read_dicom(write_series(slices(scan, RescaleSlope="0.5", RescaleIntercept="-10"), tmp_path))
    assert np.array_equal(read.reoriented("LPS").data, 0.5 * scan.data - 10)


def test_spacing_comes_from_positions_not_from_slice_thickness(tmp_path: Path):
    read, _ = read_dicom(write_series(slices(blocks.scan("PSR"), SliceThickness="3", SpacingBetweenSlices="77"), tmp_path))
    assert read.grid.spacing_mm[2] == pytest.approx(4.0)


def test_missing_slices_are_interpolated_and_reported(tmp_path: Path):
    scan = blocks.scan("PSR")
    files = slices(scan)
    del files[2]
    read, source = read_dicom(write_series(files, tmp_path))
    whole = read.reoriented("PSR")
    assert whole.grid.matches(scan.grid, tol_mm=1e-4)
    assert np.allclose(whole.data[:, :, 2], (scan.data[:, :, 1] + scan.data[:, :, 3]) / 2)
    assert [notice.code for notice in source.notices] == ["slices-missing"]


def test_files_that_repeat_a_slice_are_used_once_and_reported(tmp_path: Path):
    files = slices(blocks.scan("PSR"))
    again = slices(blocks.scan("PSR"))[3]
    again.SOPInstanceUID = again.file_meta.MediaStorageSOPInstanceUID = uid("again")
    read, source = read_dicom(write_series([*files, again], tmp_path))
    assert read.grid.shape[2] == 7
    assert [notice.code for notice in source.notices] == ["duplicate-slices"]


def _missing_attribute(keyword: str) -> Callable[[list[Dataset]], list[Dataset]]:
    def broken(files: list[Dataset]) -> list[Dataset]:
        del files[3][keyword]
        return files

    return broken


def _truncated(files: list[Dataset]) -> list[Dataset]:
    files[2].PixelData = files[2].PixelData[:-20]
    return files


def _two_contrasts(files: list[Dataset]) -> list[Dataset]:
    other = slices(blocks.scan("PSR"))[3]
    other.PixelData = bytes(len(other.PixelData))
    return [*files, other]


def _localiser(files: list[Dataset]) -> list[Dataset]:
    return [*files[:4], *slices(blocks.scan("LPS"))[:4]]


def _uneven(files: list[Dataset]) -> list[Dataset]:
    position = files[-1].ImagePositionPatient
    files[-1].ImagePositionPatient = [position[0] + 1.5, position[1], position[2]]
    return files


def _half(files: list[Dataset]) -> list[Dataset]:
    return [*files[:2], *files[5:]]


def _two_patients(files: list[Dataset]) -> list[Dataset]:
    return [*files, *slices(blocks.scan("PSR"), patient="P2", number=6)]


def _two_patients_in_a_series(files: list[Dataset]) -> list[Dataset]:
    files[0].PatientID = "ID-other"
    return files


def _no_decoder(files: list[Dataset]) -> list[Dataset]:
    for dataset in files:
        dataset.file_meta.TransferSyntaxUID = MPEG2MPML
        dataset.PixelData = encapsulate([b"\0" * 64])
        dataset["PixelData"].VR = "OB"
    return files


def _colours(files: list[Dataset]) -> list[Dataset]:
    for dataset in files:
        dataset.SamplesPerPixel = 3
    return files


def _few(files: list[Dataset]) -> list[Dataset]:
    return files[:2]


BAD = {
    "missing spacing": (_missing_attribute("PixelSpacing"), "expected PixelSpacing with 2 numbers"),
    "missing position": (_missing_attribute("ImagePositionPatient"), "expected ImagePositionPatient with 3 numbers"),
    "missing orientation": (_missing_attribute("ImageOrientationPatient"), "expected ImageOrientationPatient with 6 numbers"),
    "truncated pixels": (_truncated, "truncated or damaged"),
    "several images a slice": (_two_contrasts, "expected one image a slice"),
    "localiser": (_localiser, "several orientations"),
    "uneven": (_uneven, "evenly spaced slices"),
    "half of the slices": (_half, "expected 7 slices; found 4"),
    "two patients": (_two_patients, "expected one patient; found 2"),
    "two patients in a series": (_two_patients_in_a_series, "expected one patient in a series"),
    "no decoder": (_no_decoder, "no decoder for MPEG2"),
    "colours": (_colours, "expected one number a pixel"),
    "few slices": (_few, "fewer than 3 slices"),
}


@pytest.mark.parametrize("how", BAD)
def test_bad_dicom_ends_in_one_clear_line_without_patient_data(how: str, tmp_path: Path):
    breaking, message = BAD[how]
    folder = write_series(breaking(slices(blocks.scan("PSR"), SeriesDescription="Secret^P1")), tmp_path / "series")
    with pytest.raises(InputError, match=message) as caught:
        read_dicom(folder)
    assert str(caught.value).startswith(str(folder))
    for private in ("\n", "Secret", "ID-P1", "19700102"):
        assert private not in str(caught.value)


def test_a_file_cut_in_its_header_is_named(tmp_path: Path):
    folder = write_series(slices(blocks.scan("PSR")), tmp_path)
    file = sorted(folder.iterdir())[0]
    file.write_bytes(file.read_bytes()[:700])
    with pytest.raises(InputError, match=r"found|expected"):
        read_dicom(folder)


def test_a_folder_without_images_says_so(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="expected DICOM MR images; found none"):
        read_dicom(tmp_path)


def test_a_damaged_zip_says_so(tmp_path: Path):
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04" + bytes(50))
    with pytest.raises(InputError, match=r"x\.zip: expected"):
        read_dicom(tmp_path / "x.zip")


def test_the_source_shows_nothing_of_a_patient(tmp_path: Path):
    _, source = read_dicom(write_series(slices(blocks.scan()), tmp_path))
    assert "Secret" not in repr(source)
    assert all("PixelData" not in dataset for dataset in source.datasets)
    assert isinstance(source.datasets[0], pydicom.Dataset)


def _missing(*keywords: str) -> Callable[[Dataset], None]:
    def edit(dataset: Dataset) -> None:
        for keyword in keywords:
            delattr(dataset, keyword)

    return edit


def _empty(*keywords: str) -> Callable[[Dataset], None]:
    def edit(dataset: Dataset) -> None:
        for keyword in keywords:
            setattr(dataset, keyword, None)

    return edit


#: What may be absent or empty without a doubt about the pixels.
INCOMPLETE = {
    "no PhotometricInterpretation": _missing("PhotometricInterpretation"),
    "empty PhotometricInterpretation": _empty("PhotometricInterpretation"),
    "no SamplesPerPixel": _missing("SamplesPerPixel"),
    "no PixelRepresentation": _missing("PixelRepresentation"),
    "no BitsStored and HighBit": _missing("BitsStored", "HighBit"),
    "no BitsAllocated": _missing("BitsAllocated", "BitsStored", "HighBit"),
    "empty RescaleSlope": _empty("RescaleSlope", "RescaleIntercept"),
    "RescaleSlope without RescaleIntercept": lambda dataset: setattr(dataset, "RescaleSlope", "3"),
    "no SliceThickness": _missing("SliceThickness"),
    "no SpacingBetweenSlices": _missing("SpacingBetweenSlices"),
    "no SeriesNumber": _missing("SeriesNumber"),
    "no patient": _missing("PatientID", "PatientName", "PatientSex", "PatientBirthDate"),
    "no SOPClassUID": _missing("SOPClassUID"),
}


@pytest.mark.parametrize("how", INCOMPLETE)
def test_what_is_absent_or_empty_is_assumed_where_there_is_one_reading(how: str, tmp_path: Path):
    clean, _ = read_dicom(write_series(slices(blocks.scan("PSR")), tmp_path / "clean"))
    folder = write_series(slices(blocks.scan("PSR")), tmp_path / "stripped")
    for file in folder.iterdir():
        dataset = pydicom.dcmread(file)
        INCOMPLETE[how](dataset)
        dataset.save_as(file)
    read, _ = read_dicom(folder)
    assert read.grid.matches(clean.grid)
    assert np.array_equal(read.data, clean.data)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_files_without_preamble_and_meta_are_read(syntax: UID, tmp_path: Path):
    clean, _ = read_dicom(write_series(slices(blocks.scan("PSR")), tmp_path / "clean"))
    folder = tmp_path / "bare"
    folder.mkdir()
    for n, dataset in enumerate(slices(blocks.scan("PSR"))):
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(folder / str(n), enforce_file_format=True)
        content = (folder / str(n)).read_bytes()
        (folder / str(n)).write_bytes(content[144 + int.from_bytes(content[140:144], "little") :])
    read, source = read_dicom(folder)
    assert np.array_equal(read.data, clean.data)
    assert [notice.code for notice in source.notices] == ["dicom-incomplete"]


def test_monochrome1_is_turned_round_and_told(tmp_path: Path):
    scan = blocks.scan("PSR")
    clean, _ = read_dicom(write_series(slices(scan), tmp_path / "clean"))
    inverted = Volume(65535 - scan.data, scan.grid)
    read, source = read_dicom(write_series(slices(inverted, PhotometricInterpretation="MONOCHROME1"), tmp_path / "inverted"))
    assert np.array_equal(read.data, clean.data)
    assert "MONOCHROME1" in source.notices[0].text


@pytest.mark.parametrize(("value", "signed"), [(-32768, 1), (60000, 0)])
def test_padding_is_the_darkest_of_its_slice(value: int, signed: int, tmp_path: Path):
    scan = blocks.scan("PSR")
    padded = np.zeros(scan.data.shape, dtype=bool)
    padded[:, :2] = True
    files = slices(Volume(np.where(padded, value % 65536, scan.data).astype(np.float32), scan.grid))
    for dataset in files:
        dataset.PixelRepresentation = signed
        dataset.PixelPaddingValue = value
    read, _ = read_dicom(write_series(files, tmp_path))
    assert read.data.min() == scan.data[~padded].min()
    assert read.data.max() == scan.data.max()


def test_a_tolerance_is_told_with_two_decimals(tmp_path: Path):
    files = slices(blocks.scan("PSR"))
    x, y, z = files[-1].ImagePositionPatient
    files[-1].ImagePositionPatient = [x, y + 0.25, z]
    with pytest.raises(InputError, match=r"at most 0\.20 mm off; found some 0\.\d\d mm off"):
        read_dicom(write_series(files, tmp_path))


@pytest.mark.parametrize("keyword", ["BitsStored", "HighBit", "PixelRepresentation", "PhotometricInterpretation"])
def test_what_is_damaged_is_not_taken_for_absent(keyword: str, tmp_path: Path):
    folder = write_series(slices(blocks.scan("PSR")), tmp_path)
    file = sorted(folder.iterdir())[0]
    tag = Tag(keyword)
    place = tag.group.to_bytes(2, "little") + tag.elem.to_bytes(2, "little")
    content = file.read_bytes()
    assert content.count(place + b"US") + content.count(place + b"CS") == 1
    at = content.index(place) + 4
    file.write_bytes(content[:at] + b"U\0" + content[at + 2 :])
    with pytest.raises(InputError, match=rf"expected a readable {keyword}|truncated or damaged"):
        read_dicom(folder)
