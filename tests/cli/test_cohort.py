"""Cohorts on the command line: jobs, resume, and how they stop."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest

from cascade.cli import console
from cascade.cli import segment as command
from cascade.errors import NoSpineError
from cascade.io.nifti import write_volume
from cascade.segmentation import Segmentation
from cascade.volume import LabelMap, Volume
from tests.conftest import AnswerWith
from tests.phantom_result import phantom_result

RESULT = phantom_result()


class Answering:
    """Stands in for `Segmenter`; notes what it was asked, and may be told to send a signal meanwhile."""

    checkpoint_sha256: ClassVar = {"stage1_spine": "0" * 64, "stage2_levels": "1" * 64}
    backend: ClassVar = "torch"

    def __init__(self, *signals: int) -> None:
        self.signals, self.asked = list(signals), []

    def segment(self, image: Path, **_: Any) -> Segmentation:
        self.asked.append(image.name)
        if self.signals:
            os.kill(os.getpid(), self.signals.pop(0))
            time.sleep(0.2)
        if "bad" in image.name:
            raise NoSpineError(f"{image}: no spine found")
        return RESULT


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    for name in ("a.nii", "bad.nii", "sub/c.nii", "d.nii", "e.nii", "f.nii"):
        write_volume(Volume(RESULT.scan.data[:6, :6, :6].copy(), RESULT.scan.grid.cropped((slice(0, 6),) * 3)), tmp_path / "in" / name)
    return tmp_path / "in"


def answer(answer_with: AnswerWith, *signals: int) -> Answering:
    segmenter = Answering(*signals)
    answer_with(segmenter)
    return segmenter


def states(out: Path) -> list[tuple[str, str]]:
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    return sorted((line["output"], line["state"]) for line in lines)


ALL = [("a.nii", "done"), ("bad.nii", "refused"), ("d.nii", "done"), ("e.nii", "done"), ("f.nii", "done"), ("sub/c.nii", "done")]


def test_resume_does_what_is_missing_and_says_again_what_was_refused(
    scans: Path, tmp_path: Path, answer_with: AnswerWith, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(scans), "-o", str(tmp_path / "out"), "--report", str(tmp_path / "reports"), "--resume"]
    answer(answer_with)
    assert command.main(words) == 1
    assert states(tmp_path / "out") == ALL
    first = (tmp_path / "reports" / "index.html").read_text(encoding="utf-8")
    capsys.readouterr()
    (tmp_path / "out" / "d.nii").unlink()
    again = answer(answer_with)
    assert command.main(words) == 1
    assert again.asked == ["d.nii"]
    assert (tmp_path / "reports" / "index.html").read_text(encoding="utf-8") == first
    out, err = capsys.readouterr()
    assert [line.split("\t")[0] for line in out.splitlines()] == [str(tmp_path / "out" / "d.nii")]
    assert "bad.nii: no spine found" in err
    assert err.splitlines()[-1].startswith("cascade: 6 scans: 5 done (4 earlier), 1 failed, ")


@pytest.mark.parametrize("options", [["--extended"], ["--scheme", "verse"], ["--lowest", "L4"]])
def test_other_options_are_another_result_and_the_reason_is_told(
    options: list[str], scans: Path, tmp_path: Path, answer_with: AnswerWith, caplog: pytest.LogCaptureFixture
) -> None:
    answer(answer_with)
    command.main([str(scans), "-o", str(tmp_path / "out")])
    again = answer(answer_with)
    command.main([str(scans), "-o", str(tmp_path / "out"), "--resume", *options])
    assert len(again.asked) == 6
    what = "numbering" if "--lowest" in options else "scheme"
    assert f"cascade: 6 of 6 scans are done again: options are others ({what})" in caplog.text


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_cohort_that_is_told_to_stop_finishes_what_is_in_work_and_can_be_resumed(
    number: int, status: int, scans: Path, tmp_path: Path, answer_with: AnswerWith, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [str(scans), "-o", str(tmp_path / "out"), "--resume"]
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    stopped = answer(answer_with, number)
    assert command.main(words) == status
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before
    assert "stopping when the scans in work are done" in capfd.readouterr().err
    assert 1 <= len(stopped.asked) < 6
    assert len(states(tmp_path / "out")) == len(stopped.asked)
    rest = answer(answer_with)
    assert command.main(words) == 1
    assert sorted(stopped.asked + rest.asked) == ["a.nii", "bad.nii", "c.nii", "d.nii", "e.nii", "f.nii"]
    assert states(tmp_path / "out") == ALL


def test_a_second_signal_stops_at_once() -> None:
    with console.Stop(patient=True) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_single_file_stops_at_once_and_leaves_no_manifest(scans: Path, tmp_path: Path, answer_with: AnswerWith) -> None:
    answer(answer_with, signal.SIGINT)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background a shell lets it be ignored
    try:
        assert command.main([str(scans / "a.nii"), "-o", str(tmp_path / "l.nii")]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


@pytest.mark.parametrize(
    "options",
    [["--jobs", "0"], ["--jobs", "two"], ["--jobs", "2", "--scheduler", "tcp://x:1"], ["--resume", "-o", "l.nii.gz"]],
)
def test_options_that_do_not_go_together_exit_with_2(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(["scans", "-o", "out", *options])
    assert caught.value.code == 2
    assert "usage: cascade-segment" in capsys.readouterr().err


def test_two_processes_write_what_one_does(
    coded: tuple[Volume, LabelMap], tmp_path: Path, oracle_weights: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_volume(coded[0], tmp_path / "in" / "a.nii.gz")
    shutil.copy(tmp_path / "in" / "a.nii.gz", tmp_path / "in" / "b.nii.gz")
    (tmp_path / "in" / "bad.nii.gz").write_text("no scan")
    words = [str(tmp_path / "in"), "--weights", str(oracle_weights), "--device", "cpu", "-o"]
    assert command.main([*words, str(tmp_path / "one"), "--json", str(tmp_path / "json1")]) == 1
    assert command.main([*words, str(tmp_path / "two"), "--json", str(tmp_path / "json2"), "--jobs", "2"]) == 1
    for name in ("a.nii.gz", "b.nii.gz"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
        assert (tmp_path / "json2" / name.replace(".nii.gz", ".json")).is_file()
    assert states(tmp_path / "one") == states(tmp_path / "two")
    assert "bad.nii.gz: expected a NIfTI" in capfd.readouterr().err
    assert command.main([*words, str(tmp_path / "two"), "--json", str(tmp_path / "json2"), "--resume"]) == 1
    assert capfd.readouterr().out == ""
