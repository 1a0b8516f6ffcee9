from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePath

import numpy as np
import pytest

from cascade.errors import InputError, SchemeError
from cascade.evaluation.pairs import Pair, pair_up, stem
from cascade.io.nifti import write_image_file, write_labels
from cascade.labels import CASCADE, SPIDER, TOTALSPINESEG, VERSE, LabelScheme
from cascade.volume import LabelMap
from tests.evaluation.spines import GRID, stack


def write(*paths: Path, scheme: LabelScheme = VERSE, noted: bool = True) -> None:
    for path in paths:
        labels = stack(["L5", "L4"], scheme=scheme)
        write_labels(labels, path) if noted else write_plain(labels, path)


def write_plain(labels: LabelMap, path: Path) -> None:
    """As other programs write them: numbers, and no note of what they mean."""
    import nibabel as nib

    write_image_file(nib.Nifti1Image(labels.data, GRID.vox2world), path)


def found(pairs: Iterable[Pair], root: Path) -> dict[str, str | None]:
    return {pair.case.name: pair.prediction.relative_to(root).as_posix() if pair.prediction else None for pair in pairs}


def test_two_files_are_a_pair_whatever_their_names(tmp_path: Path) -> None:
    write(tmp_path / "a.nii.gz", tmp_path / "b.nii")
    (pair,) = pair_up(tmp_path / "a.nii.gz", tmp_path / "b.nii")
    assert (pair.prediction, pair.case.labels) == (tmp_path / "a.nii.gz", tmp_path / "b.nii")


@pytest.mark.parametrize(
    "prediction",
    [
        "s/02.nii.gz",
        "s/02_image.nii.gz",
        "s/02_labels_levels.nii",
        "s_02.nii.gz",
        "deep/s_02_levels.nii.gz",
        "02.nii.gz",
        "else/02_seg.nii",
    ],
)
def test_predictions_are_found_by_path_by_data_set_and_case_and_by_name(tmp_path: Path, prediction: str) -> None:
    write(tmp_path / "ref/s/02_labels.nii.gz", tmp_path / "ref/s/03_labels.nii.gz", tmp_path / "pred" / prediction)
    assert found(pair_up(tmp_path / "pred", tmp_path / "ref"), tmp_path / "pred") == {"02": prediction, "03": None}


def test_the_relative_path_goes_before_the_name(tmp_path: Path) -> None:
    write(*(tmp_path / side / folder / "02.nii.gz" for side in ("ref", "pred") for folder in ("a", "b")))
    pairs = pair_up(tmp_path / "pred", tmp_path / "ref")
    assert [pair.prediction for pair in pairs] == [tmp_path / "pred/a/02.nii.gz", tmp_path / "pred/b/02.nii.gz"]
    assert [(pair.case.dataset, pair.case.patient) for pair in pairs] == [("a", "a/02"), ("b", "b/02")]


def test_a_name_that_two_references_share_decides_nothing(tmp_path: Path) -> None:
    write(tmp_path / "ref/a/02.nii.gz", tmp_path / "ref/b/02.nii.gz", tmp_path / "pred/02.nii.gz", tmp_path / "pred/a_02.nii.gz")
    pairs = pair_up(tmp_path / "pred", tmp_path / "ref")
    assert [pair.prediction for pair in pairs] == [tmp_path / "pred/a_02.nii.gz", None]


def test_a_missing_and_a_doubtful_prediction_say_so_and_name_the_files(tmp_path: Path) -> None:
    write(*(tmp_path / "ref" / f"{name}.nii.gz" for name in ("1", "2", "3")))
    write(tmp_path / "pred/x/1.nii.gz", tmp_path / "pred/y/1.nii.gz", tmp_path / "pred/2.nii.gz")
    one, two, three = pair_up(tmp_path / "pred", tmp_path / "ref")
    assert two.prediction is not None
    for file in ("ref/1.nii.gz", "pred/x/1.nii.gz", "pred/y/1.nii.gz"):
        assert str(tmp_path / file) in one.problem
    assert str(tmp_path / "ref/3.nii.gz") in three.problem
    with pytest.raises(InputError, match="found none"):
        three.load_prediction()


def test_scans_beside_the_labels_are_not_taken_for_labels(tmp_path: Path) -> None:
    write(tmp_path / "ref/01_image.nii.gz", tmp_path / "ref/01_labels.nii.gz", tmp_path / "ref/02.nii.gz", tmp_path / "ref/02_seg.nii.gz")
    write(tmp_path / "pred/01.nii.gz", tmp_path / "pred/02.nii.gz", tmp_path / "pred/02_levels.nii.gz")
    pairs = pair_up(tmp_path / "pred", tmp_path / "ref")
    assert [pair.case.labels.name for pair in pairs] == ["01_labels.nii.gz", "02_seg.nii.gz"]
    assert [pair.case.image.name for pair in pairs] == ["01_image.nii.gz", "02.nii.gz"]
    assert [pair.prediction.name for pair in pairs if pair.prediction] == ["01.nii.gz", "02_levels.nii.gz"]


def test_a_table_gives_data_set_patient_split_and_scheme(tmp_path: Path) -> None:
    (tmp_path / "cases.tsv").write_text(
        "dataset\tcase\tpatient\tsplit\tscheme\ns\t1\tada\tval\tspider\ns\t2\tbo\ttrain\t\ns\t3\tcy\tval\t\n"
    )
    write(tmp_path / "pred/s_1.nii.gz", tmp_path / "pred/s_3.nii.gz")
    pairs = pair_up(tmp_path / "pred", tmp_path / "cases.tsv", reference_scheme="totalspineseg", split="val")
    assert [(pair.name, pair.case.patient, pair.case.scheme) for pair in pairs] == [("s/1", "ada", SPIDER), ("s/3", "cy", TOTALSPINESEG)]
    assert found(pairs, tmp_path / "pred") == {"1": "s_1.nii.gz", "3": "s_3.nii.gz"}
    assert len(pair_up(tmp_path / "pred", tmp_path)) == 3


def test_schemes_noted_in_files_are_used_unless_others_are_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "p.nii", scheme=TOTALSPINESEG)
    write(tmp_path / "r.nii", scheme=SPIDER)
    (noted,) = pair_up(tmp_path / "p.nii", tmp_path / "r.nii")
    assert (noted.scheme.name, noted.case.scheme.name) == ("totalspineseg", "spider")
    assert noted.load_prediction()[0].structures == ("L4", "L5")
    (asked,) = pair_up(tmp_path / "p.nii", tmp_path / "r.nii", prediction_scheme="verse", reference_scheme="cascade")
    assert (asked.scheme, asked.case.scheme) == (VERSE, CASCADE)


def test_without_a_note_predictions_are_cascade_and_references_verse(tmp_path: Path) -> None:
    write(tmp_path / "p.nii", tmp_path / "r.nii", noted=False)
    (pair,) = pair_up(tmp_path / "p.nii", tmp_path / "r.nii")
    assert (pair.scheme, pair.case.scheme) == (CASCADE, VERSE)


def test_a_missing_prediction_counts_as_one_in_the_scheme_of_the_others(tmp_path: Path) -> None:
    write(tmp_path / "ref/1.nii.gz", tmp_path / "ref/2.nii.gz")
    write(tmp_path / "pred/2.nii.gz", scheme=TOTALSPINESEG)
    one, _ = pair_up(tmp_path / "pred", tmp_path / "ref")
    assert one.empty_prediction(one.case.load_labels()).scheme == TOTALSPINESEG


def test_a_sixth_lumbar_vertebra_is_read_back_from_a_scheme_that_counts_from_below(tmp_path: Path) -> None:
    labels = stack(["L6", "L5", "L4"])
    write_labels(labels.to_scheme(SPIDER), tmp_path / "p.nii")
    write_labels(labels, tmp_path / "r.nii")
    (pair,) = pair_up(tmp_path / "p.nii", tmp_path / "r.nii")
    assert set(pair.load_prediction()[0].structures) == {"L6", "L5", "L4"}


def test_a_vertebra_with_the_number_for_cut_ones_is_read_back(tmp_path: Path) -> None:
    labels = stack(["L5", "L4", "L3"])
    scheme = SPIDER.for_chain(labels.structures, cut=["L3"])
    cut = LabelMap(np.select([labels["L5"], labels["L4"], labels["L3"]], [1, 2, 103]).astype(np.uint8), labels.grid, scheme)
    write_labels(cut, tmp_path / "p.nii")
    write_labels(labels, tmp_path / "r.nii")
    (pair,) = pair_up(tmp_path / "p.nii", tmp_path / "r.nii")
    prediction, unknown = pair.load_prediction()
    assert set(prediction.structures) == {"L5", "L4", "L3"}
    assert not unknown


def test_what_cannot_be_paired_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.nii", tmp_path / "one/x.nii", tmp_path / "two/y.nii", tmp_path / "three/z_image.nii")
    (tmp_path / "none").mkdir()
    for predictions, references, text in (
        ("a.nii", "one", "two label files, or a folder"),
        ("one", "a.nii", "two label files, or a folder"),
        ("gone.nii", "a.nii", "no such file"),
        ("one", "two", "none that fits"),
        ("none", "one", "found none"),
        ("one", "three", "found only scans"),
    ):
        with pytest.raises(InputError, match=text):
            pair_up(tmp_path / predictions, tmp_path / references)
    with pytest.raises(SchemeError):
        pair_up(tmp_path / "a.nii", tmp_path / "a.nii", prediction_scheme="roman")


def test_a_name_that_is_nothing_but_an_ending_stays() -> None:
    assert stem(PurePath("_labels.nii.gz")) == "_labels"
    assert stem(PurePath("Case_Labels.NII.GZ")) == "Case"
