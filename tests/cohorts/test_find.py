from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from cascade.cli import segment as command
from cascade.cli.options import SegmentOptions
from cascade.cohorts.find import find_jobs
from cascade.cohorts.job import Job
from cascade.errors import CascadeError, OutputError
from cascade.io.formats import read_labels_file, read_scan_file, write_labels_file
from cascade.io.nifti import write_volume
from cascade.segmentation import NumberingResult, Segmentation
from cascade.stage1_spine.locate import Spine
from tests import blocks
from tests.conftest import AnswerWith
from tests.dicom_files import slices, write_series


def jobs_of(*arguments: object) -> tuple[list[Job], list[CascadeError]]:
    return find_jobs(SegmentOptions.parse([str(word) for word in arguments]).request)


class KnowsTheAnswer:
    """Takes a scan of `blocks` as the networks would, and returns its labels."""

    checkpoint_sha256: ClassVar = {"stage1_spine": "0" * 64, "stage2_levels": "1" * 64}
    backend: ClassVar = "torch"

    def segment(self, image: Path, *, series: str | None, **_: Any) -> Segmentation:
        scan, source = read_scan_file(image, series)
        labels = blocks.labels(scan.grid.axcodes)
        spine = Spine(scan, scan.data > 0, np.zeros((2, 3)), 1.0)
        return Segmentation(labels, scan, spine, (), NumberingResult(1.0, (), 1.0), (), {}, source)


@pytest.fixture
def answers(answer_with: AnswerWith) -> None:
    answer_with(KnowsTheAnswer())


@pytest.fixture
def study(tmp_path: Path) -> Path:
    write_series(slices(blocks.scan("PSR"), number=3, echo_ms=11), tmp_path / "study" / "a")
    write_series(slices(blocks.scan("PSR"), number=5), tmp_path / "study" / "b")
    return tmp_path / "study"


class TestOutputs:
    @pytest.mark.parametrize("name", ["l.nii", "l.nii.gz", "l.seg.nrrd", "l.nrrd", "l.mha", "l.dcm"])
    def test_the_suffix_says_the_format(self, name: str, study: Path, tmp_path: Path, answers: None) -> None:
        assert command.main([str(study), "-o", str(tmp_path / name)]) == 0
        data, grid = read_labels_file(tmp_path / name)
        assert np.count_nonzero(data) == np.count_nonzero(blocks.labels().data)
        assert sorted(grid.axcodes.translate(str.maketrans("LPI", "RAS"))) == sorted("RAS")

    @pytest.mark.parametrize("name", ["nii", "seg.nrrd", "mha", "dcm"])
    def test_the_format_of_a_folder_is_an_option(self, name: str, study: Path, tmp_path: Path) -> None:
        jobs, failed = jobs_of(study, "-o", tmp_path / "out", "--format", name)
        assert [job.output for job in jobs] == [tmp_path / "out" / "b" / f"series-5.{name}"]
        assert not failed

    def test_a_seg_of_a_nifti_scan_is_refused_before_anything_is_read(
        self, tmp_path: Path, answers: None, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_volume(blocks.scan(), tmp_path / "t2.nii.gz")
        assert command.main([str(tmp_path / "t2.nii.gz"), "-o", str(tmp_path / "l.dcm")]) == 1
        assert "give the DICOM series as input" in capsys.readouterr().err
        assert not (tmp_path / "l.dcm").exists()

    def test_a_label_map_seg_is_an_option(self, study: Path, tmp_path: Path, answers: None) -> None:
        assert command.main([str(study), "-o", str(tmp_path / "l.dcm"), "--seg-type", "labelmap"]) == 0
        assert b"LABELMAP" in (tmp_path / "l.dcm").read_bytes()

    def test_nothing_of_a_patient_is_printed_or_written_to_json(
        self, study: Path, tmp_path: Path, answers: None, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert command.main([str(study), "-o", str(tmp_path / "l.nii.gz"), "--json", str(tmp_path / "run.json")]) == 0
        said = "".join(capsys.readouterr()) + (tmp_path / "run.json").read_text(encoding="utf-8")
        assert json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["series"] == "5"
        assert "Secret" not in said
        assert "ID-P1" not in said


class TestSeries:
    def test_one_file_needs_exactly_one_series(self, study: Path, tmp_path: Path) -> None:
        write_series(slices(blocks.scan("PSR"), number=6), study / "c")
        with pytest.raises(OutputError, match=r"found .*series 5: sagittal T2.*; .*series 6: .*choose with --series"):
            jobs_of(study, "-o", tmp_path / "l.dcm")
        jobs, _ = jobs_of(study, "-o", tmp_path / "l.dcm", "--series", "6")
        assert [job.series_number for job in jobs] == [6]

    def test_a_folder_takes_every_sagittal_t2(self, study: Path, tmp_path: Path) -> None:
        write_series(slices(blocks.scan("PSR"), number=6), study / "c")
        jobs, _ = jobs_of(study, "-o", tmp_path / "out")
        assert [job.output.name for job in jobs] == ["series-5.nii.gz", "series-6.nii.gz"]

    def test_a_zip_is_a_study(self, study: Path, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
            for file in (f for f in study.rglob("*") if f.is_file()):
                archive.write(file, str(file.relative_to(study)))
        jobs, _ = jobs_of(tmp_path / "study.zip", "-o", tmp_path / "out")
        assert [job.output for job in jobs] == [tmp_path / "out" / "study" / "series-5.nii.gz"]

    def test_dicom_and_other_scans_can_share_a_folder(self, study: Path, tmp_path: Path) -> None:
        write_volume(blocks.scan(), study / "x.nii.gz")
        write_labels_file(blocks.labels(), study / "y.mha")
        write_labels_file(blocks.labels(), study / "done.seg.nrrd")
        (study / "notes.txt").write_text("hello")
        jobs, failed = jobs_of(study, "-o", tmp_path / "out")
        assert sorted(str(job.output.relative_to(tmp_path / "out")) for job in jobs) == ["b/series-5.nii.gz", "x.nii.gz", "y.nii.gz"]
        assert not failed

    def test_a_bad_study_does_not_stop_the_others(self, study: Path, tmp_path: Path) -> None:
        write_series(slices(blocks.scan("PSR"), patient="P2", number=1)[:2], study / "d")
        jobs, failed = jobs_of(study, "-o", tmp_path / "out")
        assert len(jobs) == 1
        assert failed
        assert "fewer than 3 slices" in str(failed[0])


class TestBids:
    def test_derivatives_are_written_beside_the_data(self, tmp_path: Path, answers: None) -> None:
        write_volume(blocks.scan("PIR"), tmp_path / "sub-01/anat/sub-01_T2w.nii.gz")
        (tmp_path / "dataset_description.json").write_text('{"Name": "test", "BIDSVersion": "1.10.0"}')
        assert command.main([str(tmp_path), "--bids"]) == 0
        folder = tmp_path / "derivatives" / "cascade"
        names = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
        stem = "sub-01/anat/sub-01_desc-cascade_dseg"
        assert names == [".manifest.jsonl", "dataset_description.json", f"{stem}.json", f"{stem}.nii.gz", f"{stem}.tsv"]

    def test_a_data_set_alone_is_expected(self, tmp_path: Path) -> None:
        with pytest.raises(SystemExit):
            command.main([str(tmp_path), str(tmp_path), "--bids"])
