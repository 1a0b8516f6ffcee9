"""A made study in, one numbering out."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pydicom
import pytest

from cascade.errors import InputError, NumberingError
from cascade.io.cases import read_cases
from cascade.io.nifti import write_volume
from cascade.labels import BODIES, is_disc
from cascade.phantom import PhantomSpec, solids
from cascade.postproc.clicks.click import Click
from cascade.postproc.naming import Numbering
from cascade.segmentation import Segmentation
from cascade.study.result import Study, StudySeries
from cascade.study.segment import segment_study
from cascade.volume import LabelMap, box_between
from tests.dicom_files import uid, write_series
from tests.study import made
from tests.study.conftest import T2
from tests.study.made import Remembering, View

SERIES = {"series-1": "localiser", "series-2": "t2", "series-3": "t1", "series-5": "stir"}


def codes(result: Segmentation) -> set[str]:
    return {notice.code for notice in result.warnings}


def names_in(labels: LabelMap, truth: LabelMap) -> dict[str, str]:
    """For each structure found, what most of its voxels are; labels lie on the same points, in any order of the axes."""
    truth = truth.reoriented(labels.grid.axcodes)
    assert labels.grid.matches(truth.grid, tol_mm=1e-2)
    found = {}
    for name in labels.structures:
        values = np.bincount(truth.data[labels[name]])
        values[0] = 0
        found[name] = truth.scheme.structure(int(values.argmax())) if values.any() else "nothing"
    return found


@pytest.mark.parametrize("series", SERIES)
def test_every_level_is_right_in_every_sagittal_series(series: str, study: Study, views: dict[str, View]) -> None:
    result = study[series].result
    assert result is not None
    assert len([level for level in result.levels if level.name in BODIES]) >= 4
    assert [(name, true) for name, true in names_in(result.labels, views[SERIES[series]].labels).items() if name != true] == []


def test_a_t2_that_ends_above_l5_is_named_by_the_t1_that_does_not(study: Study, segmenter: Remembering, views: dict[str, View]) -> None:
    alone = segmenter.segment(views["t2"].scan, scheme="verse")
    assert "no-sacrum-in-view" in codes(alone)
    assert names_in(alone.labels, views["t2"].labels)["L3"] == "L4"
    together = study["series-2"].result
    assert together is not None
    assert "no-sacrum-in-view" not in codes(together)
    assert "sacrum" not in together.labels.structures
    assert "sacrum" in study.levels


def test_series_that_fit_are_not_warned_of(study: Study) -> None:
    about_series = {"series-disagree", "series-not-matched", "series-moved", "series-not-segmented"}
    assert about_series & {notice.code for notice in study.warnings} == set()


def test_each_axial_slice_is_told_its_disc_and_its_distance_within_one_mm(study: Study, axial: list[View]) -> None:
    rows = [row for row in study.slices if row.series == "series-4"]
    assert len(rows) == sum(view.scan.grid.shape[0] for view in axial)
    truth = {name: solid.centre_mm for name, solid in made.discs(T2).items()}
    for view in axial:
        normal = made.normal(view)
        for index in range(view.scan.grid.shape[0]):
            centre = view.scan.grid.to_world([index, *((np.array(view.scan.grid.shape[1:]) - 1) / 2)])
            distance = {name: float((centre - place) @ normal) for name, place in truth.items()}
            nearest = min(distance, key=lambda name: abs(distance[name]))
            row = min(rows, key=lambda r: abs(np.dot((r.x_mm, r.y_mm, r.z_mm) - centre, normal)) + (r.disc != nearest))
            assert row.disc == nearest
            assert row.distance_mm == pytest.approx(distance[nearest], abs=1.0)
            at = np.rint(view.scan.grid.to_voxels((row.x_mm, row.y_mm, row.z_mm))).astype(int)
            assert at[0] == index


def test_what_an_axial_slice_shows_is_what_lies_in_the_middle_of_its_column(study: Study, axial: list[View]) -> None:
    told, right = 0, 0
    for view in axial:
        for row in study.slices:
            voxel = np.rint(view.scan.grid.to_voxels((row.x_mm, row.y_mm, row.z_mm))).astype(int)
            if row.series == "series-4" and ((voxel >= 0) & (voxel < view.scan.grid.shape)).all():
                told += 1
                right += view.labels.data[tuple(voxel)] == view.labels.scheme[str(row.structure)]
    assert told >= 15
    assert right >= told - 1  # at an end plate either may be meant


#: Voxels of a corner of a body that an axial slice just grazes.
CORNER = 200


def test_axial_labels_lie_where_the_structures_are(study: Study, axial: list[View]) -> None:
    stacks = study["series-4"].axial
    assert len(stacks) == len(axial)
    for stack in stacks:
        (view,) = [v for v in axial if stack.labels.grid.reoriented(v.labels.grid.axcodes).matches(v.labels.grid, tol_mm=0.05)]
        labels = stack.labels.reoriented(view.labels.grid.axcodes)
        for name in (name for name in labels.structures if is_disc(name) or name in BODIES):
            found, true = labels[name], view.labels[name]
            assert (found & ~true).sum() < max(0.15 * found.sum(), CORNER), name
            assert found.sum() > 0.4 * true.sum() - CORNER, name  # the networks leave out the phantom's dark rim


def voxels(series: StudySeries) -> np.ndarray:
    return series.result.labels.data if series.result else np.zeros(0)


def test_the_order_and_the_numbers_of_the_series_change_nothing(
    study: Study, study_folder: Path, segmenter: Remembering, tmp_path: Path
) -> None:
    numbers = {1: 40, 2: 30, 3: 20, 4: 10, 5: 6}
    for file in study_folder.iterdir():
        dataset = pydicom.dcmread(file)
        dataset.SeriesNumber = numbers[int(dataset.SeriesNumber)]
        dataset.save_as(tmp_path / f"{1000 - int(dataset.InstanceNumber)}-{dataset.SeriesNumber}")
    other = segment_study(tmp_path, scheme="verse", segmenter=segmenter)
    for before, after in numbers.items():
        one, two = study[f"series-{before}"], other[f"series-{after}"]
        assert np.array_equal(voxels(one), voxels(two))
        assert [(row.structure, row.disc, row.distance_mm) for stack in one.axial for row in stack.slices] == [
            (row.structure, row.disc, row.distance_mm) for stack in two.axial for row in stack.slices
        ]


def pair(folder: Path, one: View, other: View) -> Path:
    write_volume(one.scan, folder / "one.nii.gz")
    write_volume(other.scan, folder / "other.nii.gz")
    return folder


def test_a_patient_who_moved_between_series_is_warned_of(segmenter: Remembering, views: dict[str, View], tmp_path: Path) -> None:
    result = segment_study(pair(tmp_path, views["t1"], views["t2"].moved((2.0, 6.0, 8.0))), segmenter=segmenter)
    (notice,) = [notice for notice in result.warnings if notice.code == "series-moved"]
    assert re.match(r"in other the patient lies (9|10|11) mm", notice.text)
    assert "series-disagree" not in {each.code for each in result.warnings}


def test_series_that_contradict_each_other_are_told(segmenter: Remembering, views: dict[str, View], tmp_path: Path) -> None:
    """Where one series shows L5, the other one shows the sacrum."""
    other = made.sagittal(PhantomSpec(lumbar=4, thoracic=4, seed=3), (13, 104, 184), centre_mm=(0.0, 0.0, 20.0))
    result = segment_study(pair(tmp_path, views["t1"], other), segmenter=segmenter)
    (notice,) = [notice for notice in result.warnings if notice.code == "series-disagree"]
    assert re.match("(one|other) alone would be named otherwise, from the top down: ", notice.text)


def test_a_level_that_is_clicked_in_one_series_counts_for_all(segmenter: Remembering, views: dict[str, View], tmp_path: Path) -> None:
    """The person is wrong by a level, so that the click can be told from what would be named anyway."""
    body = next(solid for solid in solids(T2) if solid.name == "L2")
    click = Click(tuple(map(float, made.placed(body.centre_mm))), "L1")
    result = segment_study(pair(tmp_path, views["t1"], views["t2"]), scheme="verse", clicks={"other": [click]}, segmenter=segmenter)
    for name, view in (("one", views["t1"]), ("other", views["t2"])):
        found = result[name].result
        assert found is not None
        assert names_in(found.labels, view.labels)["L1"] == "L2"
    with pytest.raises(InputError, match="expected clicks for a series of the study"):
        segment_study(tmp_path, clicks={"third": [click]}, segmenter=segmenter)


def test_an_anchor_counts_for_all_series_and_one_that_hits_none_is_refused(
    segmenter: Remembering, views: dict[str, View], tmp_path: Path
) -> None:
    body = next(solid for solid in solids(T2) if solid.name == "L5")
    known = Numbering({"L4": tuple(map(float, made.placed(body.centre_mm)))})
    result = segment_study(pair(tmp_path, views["t1"], views["t2"]), scheme="verse", numbering=known, segmenter=segmenter)
    assert result["other"].result is not None
    assert names_in(result["other"].result.labels, views["t2"].labels)["L2"] == "L3"
    with pytest.raises(NumberingError, match="lies in none; move the point"):
        segment_study(tmp_path, numbering=Numbering({"L4": (300.0, 0.0, 0.0)}), segmenter=segmenter)


def test_series_of_other_coordinates_are_named_by_themselves(segmenter: Remembering, views: dict[str, View], tmp_path: Path) -> None:
    write_series(made.dicom([views["t1"]], 2), tmp_path)
    write_series(made.dicom([views["t2"]], 3, FrameOfReferenceUID=uid("another")), tmp_path)
    result = segment_study(tmp_path, segmenter=segmenter)
    (notice,) = [notice for notice in result.warnings if notice.code == "series-not-matched"]
    assert "frame of reference" in notice.text
    assert result["series-3"].result is not None
    assert "no-sacrum-in-view" in codes(result["series-3"].result)


def test_a_file_name_that_is_no_text_is_shown_as_far_as_it_is_one(segmenter: Remembering, views: dict[str, View], tmp_path: Path) -> None:
    write_volume(views["localiser"].scan, tmp_path / "in" / "t2.nii.gz")
    (tmp_path / "in" / "t2.nii.gz").rename(tmp_path / "in" / os.fsdecode(b"t\xe9.nii.gz"))
    (tmp_path / "in" / os.fsdecode(b"\xdf.nii.gz")).touch()
    result = segment_study(tmp_path / "in", segmenter=segmenter)
    result.save(tmp_path / "out")
    assert [each.name for each in result.series] == ["t\ufffd", "\ufffd"]
    assert "series-not-segmented</code> \ufffd: \ufffd.nii.gz: expected" in (tmp_path / "out" / "study.html").read_text(encoding="utf-8")


def test_a_numbering_that_is_none_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(NumberingError, match=r"expected a Numbering, .* got 'L4'"):
        segment_study(tmp_path / "nothing", numbering="L4")  # type: ignore[arg-type]


def test_a_study_of_a_few_axial_slices_alone_is_refused(axial: list[View], tmp_path: Path) -> None:
    write_series(made.dicom(axial[:1], 4), tmp_path)
    with pytest.raises(InputError, match="axial slices without a sagittal series") as refused:
        segment_study(tmp_path, device="cpu")
    assert str(refused.value).count("without a sagittal series") == 1


@pytest.mark.full
def test_axial_slices_alone_are_tried_and_flagged(segmenter: Remembering, tmp_path: Path) -> None:
    write_volume(made.axial_volume(T2).scan, tmp_path / "axial.nii.gz")
    result = segment_study(tmp_path, scheme="verse", segmenter=segmenter)
    assert "axial-alone" in {notice.code for notice in result.warnings}
    assert {"L3-L4", "L4-L5"} <= {row.structure for row in result.slices}


@pytest.mark.data
def test_a_real_series_that_ends_above_l5_is_named_by_one_that_does_not(data_folder: Path, segmenter: Remembering, tmp_path: Path) -> None:
    case = next(case for case in read_cases(data_folder, "val") if "L5" in case.load_labels().structures)
    scan, labels = (each.reoriented("RAS") for each in case.load())
    first = int(np.argwhere(labels["L5"])[:, 2].max()) - 3
    write_volume(scan, tmp_path / "whole.nii.gz")
    write_volume(scan.cropped(box_between((0, 0, first), scan.grid.shape)), tmp_path / "cut.nii.gz")
    cut = segment_study(tmp_path, scheme="verse", segmenter=segmenter)["cut"].result
    assert cut is not None
    found = names_in(cut.labels, labels.cropped(box_between((0, 0, first), scan.grid.shape)))
    assert {name: true for name, true in found.items() if name != true and true != "nothing" and name in BODIES} == {}
    assert "L4" in found
    assert "L5" not in found or found["L5"] == "L5"
