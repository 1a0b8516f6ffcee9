from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from cascade.errors import InputError
from cascade.io.dicom_series import choose, choose_one, find_series, find_studies
from tests import blocks
from tests.dicom_files import enhanced, slices, write_series


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A localiser, a sagittal T1, a sagittal T2, an axial T2, and a STIR, mixed in one folder."""
    folder = tmp_path / "study"
    write_series(slices(blocks.scan("PSR"), number=1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), folder)
    write_series(slices(blocks.scan("PSR"), number=3, echo_ms=11), folder)
    write_series(slices(blocks.scan("PSR"), number=5, SeriesDescription="Secret t2"), folder)
    write_series(slices(blocks.scan("LPS"), number=7), folder)
    write_series(slices(blocks.scan("PSR"), number=9, ScanningSequence="IR", InversionTime="150"), folder)
    return folder


def test_series_of_a_mixed_folder_are_listed_by_number(study: Path):
    assert [str(series) for series in find_series(study).series] == [
        "series 1: sagittal T2, 7 slices of 11 x 13 (localiser)",
        "series 3: sagittal, 7 slices of 11 x 13",
        "series 5: sagittal T2, 7 slices of 11 x 13",
        "series 7: axial T2, 13 slices of 7 x 11",
        "series 9: sagittal, 7 slices of 11 x 13",
    ]


def test_the_sagittal_t2_is_picked(study: Path):
    assert choose_one(study, None).number == 5


@pytest.mark.parametrize("number", [3, 7, 9])
def test_another_series_can_be_asked_for_by_number_or_uid(number: int, study: Path):
    series = choose_one(study, str(number))
    assert series.number == number
    assert choose_one(study, series.uid) == series


def test_a_series_that_is_not_there_is_an_error_that_lists_them(study: Path):
    with pytest.raises(InputError, match=r"expected a series 4; found series 1: .*series 9") as caught:
        choose_one(study, "4")
    assert "Secret" not in str(caught.value)


def test_without_a_sagittal_t2_the_series_are_listed(study: Path):
    others = [series for series in find_series(study).series if series.number != 5]
    with pytest.raises(InputError, match=r"found series 1: .*; choose with --series NUMBER"):
        choose(others, None, "study")


def test_two_sagittal_t2_are_listed_for_one_output_and_both_taken_for_a_folder(study: Path):
    write_series(slices(blocks.scan("PSR"), number=6), study)
    with pytest.raises(InputError, match=r"expected one series; found series 5: .*; series 6: .*--series"):
        choose_one(study, None)
    assert [series.number for series in choose(find_series(study).series, None, "study")] == [5, 6]


def test_a_single_series_is_taken_whatever_it_is(tmp_path: Path):
    write_series(slices(blocks.scan("LPS"), echo_ms=10), tmp_path)
    assert choose_one(tmp_path, None).plane == "axial"


def test_weighting_falls_back_to_the_name_where_no_echo_time_is_given(tmp_path: Path):
    files = slices(blocks.scan("PSR"), SeriesDescription="SAG T2 TSE")
    for dataset in files:
        del dataset.EchoTime
    assert find_series(write_series(files, tmp_path)).series[0].weighting == "T2"


def test_an_enhanced_image_is_described_like_its_slices(tmp_path: Path):
    files = slices(blocks.scan("PSR"))
    enhanced(files).save_as(tmp_path / "x")
    series = find_series(tmp_path).series[0]
    assert (series.plane, series.slices, series.size) == ("sagittal", 7, (11, 13))


def test_patients_in_folders_of_their_own_are_studies_of_their_own(tmp_path: Path):
    for patient in ("P1", "P2"):
        write_series(slices(blocks.scan("PSR"), patient=patient), tmp_path / patient)
    assert [len(study) for study in find_studies(tmp_path).studies] == [1, 1]


def test_patients_in_one_folder_are_refused(tmp_path: Path):
    for number, patient in enumerate(("P1", "P2")):
        write_series(slices(blocks.scan("PSR"), patient=patient, number=number), tmp_path)
    found = find_studies(tmp_path)
    (problem,) = found.problems
    assert not found.studies
    assert "expected one patient; found 2" in str(problem)
    assert "ID-P" not in str(problem)


def test_the_description_of_a_series_shows_nothing_of_a_patient(study: Path):
    text = repr(find_series(study))
    assert "Secret" not in text
    assert "id-p1" not in text.lower()


def test_series_with_one_number_are_listed_with_the_uids_that_choose_them(tmp_path: Path):
    for n in (1, 2):
        write_series(slices(blocks.scan("PSR"), SeriesInstanceUID=f"1.2.3.{n}", SOPInstanceUID=""), tmp_path / str(n))
    with pytest.raises(InputError, match=r"series 5: .*, UID 1\.2\.3\.1; series 5: .*, UID 1\.2\.3\.2; choose with --series UID"):
        choose_one(tmp_path, None)
    assert choose_one(tmp_path, "1.2.3.2").uid == "1.2.3.2"


def test_series_without_a_number_are_listed_with_their_uids(tmp_path: Path):
    for n in (1, 2):
        files = slices(blocks.scan("PSR"), SeriesInstanceUID=f"1.2.3.{n}")
        folder = write_series(files, tmp_path / str(n))
        for file in folder.iterdir():
            _without(file, "SeriesNumber")
    with pytest.raises(InputError, match=r"series \?: .*UID 1\.2\.3\.1; .*--series UID"):
        choose_one(tmp_path, None)


def test_series_without_uids_are_told_apart_by_folder(tmp_path: Path):
    for name in ("a", "b"):
        for file in write_series(slices(blocks.scan("PSR")), tmp_path / name).iterdir():
            _without(file, "SeriesInstanceUID")
    with pytest.raises(InputError, match="give the folder of one series"):
        choose_one(tmp_path, None)
    assert choose_one(tmp_path / "a", None).slices == 7


@pytest.mark.parametrize(
    "keywords", [("SOPClassUID",), ("SOPClassUID", "Modality"), ("SOPClassUID", "Modality", "SeriesNumber", "EchoTime")]
)
def test_stripped_files_are_taken_for_mr_by_their_other_attributes(keywords: tuple[str, ...], tmp_path: Path):
    for file in write_series(slices(blocks.scan("PSR")), tmp_path).iterdir():
        _without(file, *keywords, meta=True)
    series = choose_one(tmp_path, None)
    assert series.slices == 7
    assert any("SOPClassUID" in text for text in series.assumed)


def test_stripped_files_of_another_modality_are_passed_over(tmp_path: Path):
    for file in write_series(slices(blocks.scan("PSR"), Modality="CT"), tmp_path).iterdir():
        _without(file, "SOPClassUID", meta=True)
    with pytest.raises(InputError, match="expected DICOM MR images; found none"):
        find_series(tmp_path)


def test_a_damaged_file_costs_its_own_folder_only(tmp_path: Path):
    for patient in ("P1", "P2"):
        write_series(slices(blocks.scan("PSR"), patient=patient), tmp_path / patient)
    broken = sorted((tmp_path / "P2").iterdir())[2]
    broken.write_bytes(broken.read_bytes()[:300] + b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\x10\0\0\0\x08\0")
    found = find_studies(tmp_path)
    assert [study[0].origin.name for study in found.studies] == ["P1"]
    assert all(str(tmp_path / "P2") in str(problem) for problem in found.problems)
    assert found.problems
    with pytest.raises(InputError, match="P2"):
        choose_one(tmp_path / "P2", None)


def test_a_stray_patient_costs_its_own_series_only(tmp_path: Path):
    for patient in ("P1", "P2"):
        write_series(slices(blocks.scan("PSR"), patient=patient), tmp_path / patient)
    stray = sorted((tmp_path / "P2").iterdir())[2]
    dataset = pydicom.dcmread(stray)
    dataset.PatientID = "ID-other"
    dataset.save_as(stray)
    found = find_studies(tmp_path)
    assert [study[0].origin.name for study in found.studies] == ["P1"]
    (problem,) = found.problems
    assert "expected one patient in a series; found 2" in str(problem)


def _without(file: Path, *keywords: str, meta: bool = False) -> None:
    """Take attributes out of a file; with `meta`, the whole file meta information but its transfer syntax too."""
    dataset = pydicom.dcmread(file)
    for keyword in keywords:
        delattr(dataset, keyword)
    if meta:
        del dataset.file_meta.MediaStorageSOPClassUID
    dataset.save_as(file)
