"""The command for studies: results, the manifest, going on."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pydicom
import pytest

from cascade.cli.segment import main
from cascade.io.formats import read_labels_file
from cascade.io.nifti import write_volume
from cascade.study.task import find_study_jobs
from tests.conftest import AnswerWith
from tests.dicom_files import uid, write_series
from tests.study import made
from tests.study.made import Remembering, View


@pytest.fixture(scope="module")
def command() -> list[str]:
    return ["--study", "--device", "cpu", "--threads", "1", "--scheme", "verse"]


def test_a_study_leaves_a_folder_for_each_series_and_tables_of_all(
    study_folder: Path,
    segmenter: Remembering,
    answer_with: AnswerWith,
    command: list[str],
    tmp_path: Path,
) -> None:
    answer_with(segmenter)
    words = [str(study_folder), "-o", str(tmp_path), "--series", "3,series-4", *command]
    assert main(words) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        *("series-3", "series-4"),
        *("study.json", "study.tsv", "study.html", "slices.tsv", "manifest.jsonl"),
    }
    levels = {"levels.nii.gz", "levels.json", "levels.tsv", "levels.png", "levels.html"}
    assert {path.name for path in (tmp_path / "series-3").iterdir()} == levels
    assert {path.name for path in (tmp_path / "series-4").iterdir()} == {f"stack-{n}.nii.gz" for n in range(1, 7)}
    assert len(read_labels_file(tmp_path / "series-3" / "levels.nii.gz")[0].nonzero()[0]) > 1000

    told = json.loads((tmp_path / "study.json").read_text(encoding="utf-8"))
    assert [series["name"] for series in told["series"]] == ["series-3", "series-4"]
    with (tmp_path / "slices.tsv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert len(rows) == len(told["slices"]) >= 15
    assert {row["disc"] for row in rows if row["series"] == "series-4"} == {"L3-L4", "L4-L5", "L5-S1"}
    assert all(len(row["instance"]) > 10 for row in rows)
    with (tmp_path / "study.tsv").open(encoding="utf-8") as stream:
        assert {row["scan"] for row in csv.DictReader(stream, delimiter="\t")} == {"series-3"}
    page = (tmp_path / "study.html").read_text(encoding="utf-8")
    assert "series-3/levels.html" in page
    assert "Axial slices" in page
    assert "Secret" not in page + json.dumps(told)

    before = (tmp_path / "study.json").stat().st_mtime_ns
    assert main([*words, "--resume"]) == 0
    assert (tmp_path / "study.json").stat().st_mtime_ns == before


def test_a_single_study_goes_to_the_folder_itself_and_several_to_folders_of_their_own(study_folder: Path, tmp_path: Path) -> None:
    jobs, problems = find_study_jobs((study_folder,), tmp_path)
    assert [job.output for job in jobs] == [tmp_path / "study.json"]
    assert problems == []
    other = tmp_path / "other"
    other.mkdir()
    for file in study_folder.iterdir():
        dataset = pydicom.dcmread(file)
        dataset.PatientID, dataset.StudyInstanceUID = "another", uid("another study")
        dataset.SeriesInstanceUID = uid("another", dataset.SeriesNumber)
        dataset.save_as(other / file.name)
    jobs, problems = find_study_jobs((study_folder, other), tmp_path / "out")
    assert len({job.output for job in jobs}) == 2
    assert {job.output.parent.parent for job in jobs} == {tmp_path / "out"}
    assert problems == []


@pytest.fixture
def little_study(views: dict[str, View], tmp_path: Path) -> Path:
    """A localiser whose headers have to be put right, and beside it one to which nothing can refer."""
    folder = tmp_path / "patient"
    write_series(made.dicom([views["localiser"]], 2, PatientSex="m"), folder)
    write_series(made.dicom([views["localiser"]], 3, StudyInstanceUID=uid("P1")), folder)
    for file in folder.glob("*_3"):
        dataset = pydicom.dcmread(file)
        dataset.SOPInstanceUID = "1.2.3"
        dataset.save_as(file)
    return folder


def test_what_is_put_right_in_a_seg_and_what_cannot_have_one_are_told_everywhere(
    little_study: Path, segmenter: Remembering, answer_with: AnswerWith, command: list[str], tmp_path: Path
) -> None:
    answer_with(segmenter)
    out = tmp_path / "out"
    assert main([str(little_study), "-o", str(out), "--format", "dcm", *command]) == 0
    assert sorted(path.parent.name for path in out.glob("*/levels.dcm")) == ["series-2"]
    told = json.loads((out / "study.json").read_text(encoding="utf-8"))["warnings"]
    line = json.loads((out / "manifest.jsonl").read_text(encoding="utf-8"))["warnings"]
    page = (out / "study.html").read_text(encoding="utf-8")
    for code, text in {"dicom-repaired": "series-2: PatientSex", "series-not-segmented": "SOPInstanceUID in every file"}.items():
        for notices in (told, line):
            (notice,) = [notice for notice in notices if notice["code"] == code]
            assert text in notice["text"]
            assert str(tmp_path) not in notice["text"]
        assert text in page


def test_results_in_the_folder_of_the_study_are_no_part_of_it(
    little_study: Path, segmenter: Remembering, answer_with: AnswerWith, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    answer_with(segmenter)
    words = [str(little_study), "-o", str(little_study / "out"), "--format", "dcm", *command]
    assert main(words) == 0
    written = {path: path.stat().st_mtime_ns for path in (little_study / "out").rglob("*") if path.is_file()}
    assert main([*words, "--resume"]) == 0
    assert {path: path.stat().st_mtime_ns for path in (little_study / "out").rglob("*") if path.is_file()} == written
    assert main(words) == 0
    assert "SEG" not in capsys.readouterr().err
    assert {path for path in (little_study / "out").rglob("*") if path.is_file()} == set(written)


def test_results_do_not_go_between_the_scans(study_folder: Path) -> None:
    jobs, problems = find_study_jobs((study_folder,), study_folder)
    assert jobs == []
    assert "expected an output folder other than that of the study" in str(problems[0])


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (["--lowest", "L5"], "argument --lowest: not with --study"),
        (["--json", "x"], "argument --json: not with --study"),
        (["-o", "levels.nii.gz"], "expected a folder as -o"),
        (["--clicks", "clicks.json"], "series-3=clicks.json"),
    ],
)
def test_options_that_a_study_cannot_have_are_refused(option: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["study", "-o", "out", "--study", *option])
    assert stopped.value.code == 2
    assert says in capsys.readouterr().err


def test_a_dicom_seg_of_a_study_that_is_not_dicom_is_refused_before_the_networks_run(
    views: dict[str, View], blind_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_volume(views["localiser"].scan, tmp_path / "study" / "t2.nii.gz")
    assert main([str(tmp_path / "study"), "--study", "-o", str(tmp_path / "out"), "--format", "dcm", "--weights", str(blind_weights)]) == 1
    assert "t2.dcm: expected" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["manifest.jsonl"]
