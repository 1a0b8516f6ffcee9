"""What a study consists of."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from cascade.errors import InputError
from cascade.io.nifti import write_volume
from cascade.phantom import PhantomSpec
from cascade.study.find import find_studies, find_study, limited, plane_of
from cascade.volume import Grid, Volume
from tests.dicom_files import uid, write_series
from tests.study import made
from tests.study.made import View

SMALL = PhantomSpec(noise=0.0)


@pytest.fixture(scope="module")
def small() -> View:
    return made.sagittal(SMALL, (7, 41, 53), (9.0, 5.0, 5.0))


def names(path: Path) -> list[list[str]]:
    return [[part.name for part in study.parts] for study in find_studies(path)[0]]


def test_every_series_of_a_dicom_study_is_a_part(small: View, tmp_path: Path) -> None:
    for number in (2, 7):
        write_series(made.dicom([small], number), tmp_path)
    assert names(tmp_path) == [["series-2", "series-7"]]


def test_each_patient_of_a_folder_is_a_study_of_their_own(small: View, tmp_path: Path) -> None:
    for number, patient in ((2, "P1"), (3, "P2")):
        write_series(made.dicom([small], number, patient=patient), tmp_path)
    studies, problems = find_studies(tmp_path)
    assert len(studies) == 2
    assert problems == []
    assert len({study.name for study in studies}) == 2
    with pytest.raises(InputError, match="expected one study; found 2"):
        find_study(tmp_path)


def test_a_stray_patient_in_a_study_is_another_study_and_costs_nobody_anything(small: View, tmp_path: Path) -> None:
    for number, patient in ((2, "P1"), (3, "P2"), (4, "P1")):
        write_series(made.dicom([small], number, patient=patient, StudyInstanceUID=uid("both")), tmp_path)
    studies, problems = find_studies(tmp_path)
    assert sorted([part.name for part in study.parts] for study in studies) == [["series-2", "series-4"], ["series-3"]]
    assert len({study.key for study in studies}) == 2
    assert problems == []


def test_series_that_nothing_tells_apart_have_folders_of_their_own(small: View, tmp_path: Path) -> None:
    for letter in "ab":
        write_series(made.dicom([small], 2, SeriesInstanceUID=f"1.2.{ord(letter)}.0.1.2.3.4"), tmp_path / letter)
        write_volume(small.scan, tmp_path / "nifti" / f"t2{'.nii.gz' if letter == 'a' else '.nii'}")
    assert names(tmp_path) == [["series-2-.1.2.3.4", "series-2-.1.2.3.4-2"], ["nifti-t2", "nifti-t2-2"]]


def test_what_headers_say_leads_nowhere_outside_the_folder_of_results(small: View, tmp_path: Path) -> None:
    for letter in "ab":
        datasets = made.dicom([small], 2, SeriesInstanceUID=f"1.2/../../{letter}", StudyInstanceUID="1/../../x")
        write_series(datasets, tmp_path / letter)
    write_series(made.dicom([small], 2, patient="P2", StudyInstanceUID=""), tmp_path)
    studies, _ = find_studies(tmp_path)
    assert sorted(study.name.as_posix() for study in studies) == ["study", "study-_.._.._x"]
    assert sorted(names(tmp_path)) == [["series-2"], ["series-2-_.._.._a", "series-2-_.._.._b"]]


def test_a_link_that_leads_nowhere_and_a_header_that_ends_early_are_told(small: View, tmp_path: Path) -> None:
    write_series(made.dicom([small], 2), tmp_path / "patient")
    cut = sorted((tmp_path / "patient").iterdir())[1]
    cut.write_bytes(cut.read_bytes()[:700])
    (tmp_path / "patient" / "link").symlink_to("nowhere")
    studies, problems = find_studies(tmp_path)
    assert [[part.name for part in study.parts] for study in studies] == [["series-2"]]
    assert [str(problem).partition("; ")[0] for problem in problems] == [
        f"{tmp_path / 'patient' / 'link'}: expected a file",
        f"{cut}: expected an image",
    ]


def test_what_is_no_scan_does_not_cost_what_is_one(small: View, tmp_path: Path) -> None:
    write_volume(small.scan, tmp_path / "t2.nii.gz")
    with zipfile.ZipFile(tmp_path / "letters.zip", "w") as archive:
        archive.writestr("letter.txt", "no scan")
    studies, problems = find_studies(tmp_path)
    assert [[part.name for part in study.parts] for study in studies] == [["t2"]]
    assert [str(problem) for problem in problems] == [f"{tmp_path / 'letters.zip'}: expected DICOM MR images; found none"]
    assert [*map(str, find_study(tmp_path).problems)] == [*map(str, problems)]


def test_other_files_of_a_folder_are_one_study(small: View, tmp_path: Path) -> None:
    for name in ("t1_sag", "anat/t2_sag"):
        write_volume(small.scan, tmp_path / f"{name}.nii.gz")
    assert names(tmp_path) == [["anat-t2_sag", "t1_sag"]]


def test_what_results_go_to_is_left_out(small: View, tmp_path: Path) -> None:
    write_volume(small.scan, tmp_path / "t2.nii.gz")
    write_volume(small.scan, tmp_path / "out" / "other.nii.gz")
    studies, _ = find_studies(tmp_path, tmp_path / "out")
    assert [part.name for part in studies[0].parts] == ["t2"]


@pytest.mark.parametrize("wanted", ["series-7", "7", "uid"])
def test_series_are_chosen_by_name_number_or_uid(wanted: str, small: View, tmp_path: Path) -> None:
    for number in (2, 7):
        write_series(made.dicom([small], number), tmp_path)
    series = find_study(tmp_path).parts[1].series
    assert series is not None
    study = find_study(tmp_path)
    assert [part.name for part in limited(study, [series.uid if wanted == "uid" else wanted]).parts] == ["series-7"]
    with pytest.raises(InputError, match="expected a series 9; found series-2, series-7"):
        limited(study, ["9"])


def test_an_empty_folder_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected the scans of a study"):
        find_studies(tmp_path)
    with pytest.raises(InputError, match="expected the folder of a study; there is none"):
        find_studies(tmp_path / "none")


def test_a_multi_angle_series_is_read_as_one_stack_a_run(small: View, tmp_path: Path) -> None:
    blocks = list(made.axial_blocks(SMALL, pixel_mm=2.0))
    write_series(made.dicom(blocks, 4), tmp_path)
    (part,) = find_study(tmp_path).parts
    stacks = part.read()
    assert [stack.plane for stack in stacks] == ["axial"] * 6
    assert sorted(stack.scan.grid.shape[2] for stack in stacks) == [1, 1, 1, 4, 4, 4]
    for block in blocks:
        grid = block.scan.grid
        (stack,) = [s for s in stacks if s.scan.grid.reoriented(grid.axcodes).matches(grid, tol_mm=0.05)]
        assert np.abs(stack.scan.reoriented(grid.axcodes).data - block.scan.data).max() <= 0.5
        assert len(set(stack.instances)) == stack.scan.grid.shape[2]


def test_the_stacks_of_a_localiser_are_those_of_its_planes(small: View, tmp_path: Path) -> None:
    write_series(made.dicom([small, *made.localiser_planes(SMALL)], 1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), tmp_path)
    (part,) = find_study(tmp_path).parts
    assert sorted(stack.plane for stack in part.read()) == ["axial", "coronal", "sagittal"]


@pytest.mark.parametrize(
    ("spacing_mm", "plane"), [((4, 1, 1), "sagittal"), ((1, 4, 1), "coronal"), ((1, 1, 4), "axial"), ((1, 1, 1.2), "any")]
)
def test_the_plane_of_a_scan_is_that_of_its_thick_slices(spacing_mm: tuple[float, ...], plane: str) -> None:
    grid = Grid((9, 9, 9), np.diag([*spacing_mm, 1.0]))
    assert plane_of(grid) == plane
    assert plane_of(made.Grid(grid.shape, made.PLACED @ grid.vox2world)) == plane


def test_an_axial_file_is_read_with_its_slices_last(tmp_path: Path) -> None:
    scan = Volume(
        np.random.default_rng(0).normal(size=(7, 20, 20)).astype(np.float32),
        Grid((7, 20, 20), np.diag([1.0, 1.0, 4.0, 1.0])[:, [2, 0, 1, 3]]),
    )
    write_volume(scan, tmp_path / "ax.nii.gz")
    (stack,) = find_study(tmp_path).parts[0].read()
    assert stack.plane == "axial"
    assert stack.scan.grid.shape[2] == 7
