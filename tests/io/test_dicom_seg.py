from __future__ import annotations

import re
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.uid import UID

from cascade.errors import InputError, OutputError
from cascade.io.dicom import DicomSource, check_referable, read_dicom
from cascade.io.dicom_files import quiet
from cascade.io.dicom_seg import read_dicom_seg, write_dicom_seg
from cascade.io.formats import check_output
from cascade.labels import CASCADE_EXTENDED
from cascade.terminology import code_of
from cascade.volume import LabelMap
from tests import blocks
from tests.dicom_files import enhanced, slices, write_series

SOURCES = {"sagittal": "PSR", "coronal": "RSA", "axial": "LPS"}


@pytest.fixture
def source(tmp_path: Path) -> DicomSource:
    return read_dicom(write_series(slices(blocks.scan("PSR")), tmp_path / "series"))[1]


def _placed(path: Path, source: DicomSource) -> np.ndarray:
    """Segment numbers on the whole grid of the source."""
    data, grid, _ = read_dicom_seg(path)
    placed = np.zeros(source.grid.shape, dtype=int)
    voxels = np.argwhere(data)
    at = source.grid.to_voxels(grid.to_world(voxels))
    assert np.abs(at - np.rint(at)).max() < 1e-3
    placed[tuple(np.rint(at).astype(int).T)] = data[data > 0]
    return placed


@pytest.mark.parametrize("seg_type", ["binary", "labelmap"])
@pytest.mark.parametrize("multi_frame", [False, True])
@pytest.mark.parametrize("axcodes", SOURCES.values(), ids=SOURCES)
def test_every_segment_lies_where_its_structure_is(axcodes: str, multi_frame: bool, seg_type: str, tmp_path: Path):
    files = slices(blocks.scan(axcodes))
    _, source = read_dicom(write_series([enhanced(files)] if multi_frame else files, tmp_path / "series"))
    labels = blocks.labels(axcodes)
    write_dicom_seg(labels, tmp_path / "x.dcm", source, seg_type)
    names = read_dicom_seg(tmp_path / "x.dcm")[2]
    assert list(names.values()) == ["L4", "L4-L5", "L5", "L5-S1", "L6", "sacrum"], "from head to foot"
    placed, expected = _placed(tmp_path / "x.dcm", source), labels.reoriented(source.grid.axcodes)
    for number, name in names.items():
        assert np.array_equal(placed == number, expected[name]), name


def test_segments_carry_codes_names_and_the_algorithm(source: DicomSource, tmp_path: Path):
    write_dicom_seg(blocks.labels("PSR"), tmp_path / "x.dcm", source)
    seg = highdicom.seg.segread(tmp_path / "x.dcm")
    for number in seg.segment_numbers:
        description = seg.get_segment_description(number)
        assert description.segmented_property_category.value == "123037004"
        assert description.segmented_property_type.value == code_of(description.segment_label).value
        assert description.segmented_property_type.scheme_designator == "SCT"
        assert description.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == "cascade"
    by_label = {seg.get_segment_description(n).segment_label: seg.get_segment_description(n) for n in seg.segment_numbers}
    assert by_label["L6"].segmented_property_type.meaning == "Vertebra", "its parent's code"
    assert by_label["sacrum"].SegmentDescription == "S1 vertebral body"


def test_the_seg_belongs_to_study_frame_of_reference_and_images_of_its_source(source: DicomSource, tmp_path: Path):
    write_dicom_seg(blocks.labels("PSR"), tmp_path / "x.dcm", source)
    seg, image = pydicom.dcmread(tmp_path / "x.dcm"), source.datasets[0]
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientName", "PatientBirthDate"):
        assert seg[keyword].value == image[keyword].value
    referenced = seg.ReferencedSeriesSequence[0]
    assert referenced.SeriesInstanceUID == image.SeriesInstanceUID
    assert {i.ReferencedSOPInstanceUID for i in referenced.ReferencedInstanceSequence} == {d.SOPInstanceUID for d in source.datasets}
    assert seg.SeriesInstanceUID != image.SeriesInstanceUID


def test_every_frame_names_the_image_it_was_drawn_on(source: DicomSource, tmp_path: Path):
    write_dicom_seg(blocks.labels("PSR"), tmp_path / "x.dcm", source)
    positions = {dataset.SOPInstanceUID: dataset.ImagePositionPatient for dataset in source.datasets}
    for frame in pydicom.dcmread(tmp_path / "x.dcm").PerFrameFunctionalGroupsSequence:
        image = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert np.allclose(frame.PlanePositionSequence[0].ImagePositionPatient, positions[image], atol=1e-4)


def test_a_series_with_a_missing_slice_gets_segments_on_the_slices_that_are_there(tmp_path: Path):
    files = slices(blocks.scan("PSR"))
    del files[3]
    _, source = read_dicom(write_series(files, tmp_path / "series"))
    labels = blocks.labels("PSR")
    write_dicom_seg(labels, tmp_path / "x.dcm", source)
    expected = labels.reoriented(source.grid.axcodes).data.copy() > 0
    expected[:, :, sorted(set(range(7)) - set(source.slices))] = False
    assert np.array_equal(_placed(tmp_path / "x.dcm", source) > 0, expected)


def test_what_an_anonymiser_took_away_is_left_empty(tmp_path: Path):
    files = slices(blocks.scan())
    for dataset in files:
        for keyword in (
            "PatientName",
            "PatientBirthDate",
            "PatientSex",
            "AccessionNumber",
            "StudyID",
            "StudyDate",
            "StudyTime",
            "ContentDate",
        ):
            del dataset[keyword]
    _, source = read_dicom(write_series(files, tmp_path / "series"))
    write_dicom_seg(blocks.labels(), tmp_path / "x.dcm", source)
    assert pydicom.dcmread(tmp_path / "x.dcm").PatientName == ""


#: A header that writers of the standard refuse, and what the SEG holds instead: the attribute, its value, the value in the SEG.
REPAIRED = (
    ("PatientSex", "m", "M"),
    ("PatientSex", "female", ""),
    ("PatientBirthDate", "1960", ""),
    ("PatientBirthDate", "1960.01.31", "19600131"),
    ("PatientBirthDate", "1960-01-31", "19600131"),
    ("StudyTime", "10:10:10", "101010"),
    ("StudyDate", "yesterday", ""),
    ("StudyID", "a text that is longer than sixteen", ""),
)


@pytest.mark.parametrize(("keyword", "value", "repaired"), REPAIRED)
def test_values_against_their_type_are_put_right_or_left_empty(keyword: str, value: str, repaired: str, tmp_path: Path):
    files = slices(blocks.scan())
    with quiet():
        for dataset in files:
            setattr(dataset, keyword, value)
        folder = write_series(files, tmp_path / "series")
    (notice,) = check_referable(folder, None)
    assert notice.code == "dicom-repaired"
    assert keyword in notice.text
    assert value not in re.findall(r"\w+", notice.text)
    _, source = read_dicom(folder)
    write_dicom_seg(blocks.labels(), tmp_path / "x.dcm", source)
    assert str(pydicom.dcmread(tmp_path / "x.dcm").get(keyword) or "") == repaired


@pytest.mark.parametrize("keyword", ["FrameOfReferenceUID", "SliceThickness", "SOPClassUID", "Modality"])
def test_what_the_standard_asks_for_and_the_rest_tells_is_put_in(keyword: str, tmp_path: Path):
    files = slices(blocks.scan())
    folder = write_series(files, tmp_path / "series")
    for file in folder.iterdir():
        dataset = pydicom.dcmread(file)
        delattr(dataset, keyword)
        dataset.save_as(file)
    check_referable(folder, None)
    _, source = read_dicom(folder)
    write_dicom_seg(blocks.labels(), tmp_path / "x.dcm", source)
    seg = pydicom.dcmread(tmp_path / "x.dcm")
    assert UID(seg.FrameOfReferenceUID).is_valid
    assert seg.StudyInstanceUID == files[0].StudyInstanceUID


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_images_that_cannot_be_named_are_refused_before_anything_is_computed(keyword: str, tmp_path: Path):
    folder = write_series(slices(blocks.scan()), tmp_path / "series")
    for file in folder.iterdir():
        dataset = pydicom.dcmread(file)
        delattr(dataset, keyword)
        dataset.save_as(file)
    with pytest.raises(InputError, match=rf"expected a {keyword} in every file.*write \.seg\.nrrd") as caught:
        check_output(tmp_path / "x.dcm", folder)
    assert "Secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("charset", "name"), [("ISO 2022 IR 87", "Yamada^Tarou=山田^太郎"), ("ISO 2022 IR 149", "Hong^Gildong=洪^吉洞=홍^길동")]
)
def test_japanese_and_korean_names_are_kept(charset: str, name: str, tmp_path: Path):
    files = slices(blocks.scan(), SpecificCharacterSet=["", charset], PatientName=name)
    _, source = read_dicom(write_series(files, tmp_path / "series"))
    write_dicom_seg(blocks.labels(), tmp_path / "x.dcm", source)
    assert pydicom.dcmread(tmp_path / "x.dcm").PatientName == name


@pytest.mark.parametrize("wrong_mm", ["0.09", "-3", "400"])
def test_the_distance_of_slices_is_that_of_their_positions_whatever_the_header_says(wrong_mm: str, tmp_path: Path):
    files = slices(blocks.scan(), SpacingBetweenSlices=wrong_mm)
    scan, source = read_dicom(write_series(files, tmp_path / "series"))
    write_dicom_seg(blocks.labels(), tmp_path / "x.dcm", source)
    measures = pydicom.dcmread(tmp_path / "x.dcm").SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(measures.SpacingBetweenSlices) == pytest.approx(scan.grid.spacing_mm[2], abs=1e-4)
    _, grid, _ = read_dicom_seg(tmp_path / "x.dcm")
    assert grid.spacing_mm[2] == pytest.approx(scan.grid.spacing_mm[2], abs=1e-4)


def test_labels_of_another_grid_are_refused(source: DicomSource, tmp_path: Path):
    with pytest.raises(OutputError, match="on the grid of the source series"):
        write_dicom_seg(blocks.labels("PSR", angle_deg=5), tmp_path / "x.dcm", source)


def test_an_empty_segmentation_is_refused(source: DicomSource, tmp_path: Path):
    empty = LabelMap(np.zeros(source.grid.shape, np.uint8), source.grid, CASCADE_EXTENDED)
    with pytest.raises(OutputError, match="cannot be empty"):
        write_dicom_seg(empty, tmp_path / "x.dcm", source)


def test_an_image_is_no_seg(tmp_path: Path):
    folder = write_series(slices(blocks.scan())[:1], tmp_path)
    with pytest.raises(InputError, match="expected a DICOM SEG"):
        read_dicom_seg(next(folder.iterdir()))
