"""The manifest: what is settled, what has to be done again, and what a kill leaves."""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.synchronize
import os
from pathlib import Path

import pytest

from cascade.cohorts.job import MANIFEST, Job
from cascade.cohorts.manifest import Manifest, Outcome, digest_of
from cascade.errors import OutputError
from cascade.notices import Notice

MADE_WITH = {"version": "1", "checkpoint_sha256": {"stage1_spine": "ab"}, "options": {"point": (1.0, 2.0)}}


@pytest.fixture
def job(tmp_path: Path) -> Job:
    (tmp_path / "scan.nii").write_text("voxels")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "scan.nii").write_text("labels")
    (tmp_path / "out" / "scan.png").write_text("picture")
    return Job(tmp_path / "scan.nii", tmp_path / "out" / "scan.nii", picture=tmp_path / "out" / "scan.png", series_number=5)


def done(job: Job) -> Outcome:
    return Outcome("done", ("L4", "L5"), (Notice("few-slices", "L4", "few"),), None, 1.5, digest_of(job.image))


def open_manifest(job: Job, **changes: object) -> Manifest:
    return Manifest(job.output.parent / MANIFEST, MADE_WITH | changes)


def record(job: Job, outcome: Outcome) -> None:
    with open_manifest(job) as manifest:
        manifest.add(job, outcome)


def known(job: Job, **changes: object) -> Outcome | None:
    with open_manifest(job, **changes) as manifest:
        return manifest.known(job)


def lines(job: Job) -> list[str]:
    return (job.output.parent / MANIFEST).read_text(encoding="utf-8").splitlines()


def test_a_line_holds_what_is_documented(job: Job) -> None:
    record(job, done(job))
    (line,) = map(json.loads, lines(job))
    assert list(line) == [
        *("output", "input", "series", "state", "levels", "warnings", "error", "seconds", "input_sha256", "also_found", "finished"),
        *("version", "checkpoint_sha256", "options"),
    ]
    assert (line["output"], line["series"], line["state"], line["levels"]) == ("scan.nii", 5, "done", ["L4", "L5"])
    assert line["warnings"] == [{"code": "few-slices", "level": "L4", "text": "few", "rank": "note"}]


def test_what_is_done_is_known_as_it_was(job: Job) -> None:
    record(job, done(job))
    found = known(job)
    assert found is not None
    assert found.earlier
    assert found.columns() == done(job).columns()


@pytest.mark.parametrize("change", ["input", "output", "picture", "weights", "version", "options"])
def test_whatever_changes_the_scan_is_done_again(job: Job, change: str) -> None:
    record(job, done(job))
    changes: dict[str, object] = {}
    if change == "input":
        job.image.write_text("other voxels")
    elif change in ("output", "picture"):
        getattr(job, change).unlink()
    else:
        name = {"weights": "checkpoint_sha256"}.get(change, change)
        changes[name] = "another"
    assert known(job, **changes) is None


@pytest.mark.parametrize(("state", "settled"), [("refused", True), ("set-aside", True), ("failed", False)])
def test_what_cannot_be_done_is_settled_and_what_might_be_is_tried_again(job: Job, state: str, settled: bool) -> None:
    job.output.unlink()
    record(job, Outcome(state, error="why", input_sha256=digest_of(job.image)))  # type: ignore[arg-type]
    assert (known(job) is not None) == settled


def test_a_scan_that_could_not_be_read_is_tried_again(job: Job) -> None:
    job.image.unlink()
    record(job, Outcome("refused", error="there is no such file", input_sha256=digest_of(job.image)))
    assert known(job) is None


def test_the_last_line_holds(job: Job) -> None:
    record(job, done(job))
    record(job, Outcome("failed", error="disk", input_sha256=digest_of(job.image)))
    assert known(job) is None
    record(job, done(job))
    assert known(job) is not None


@pytest.mark.parametrize("length", range(1, 400, 37))
def test_a_torn_last_line_is_passed_over_and_the_next_one_is_whole(job: Job, length: int) -> None:
    record(job, done(job))
    path = job.output.parent / MANIFEST
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:length])
    assert known(job) is not None
    record(job, done(job))
    assert json.loads(lines(job)[-1])["state"] == "done"
    path.write_bytes(whole[:length])
    assert known(job) is None


@pytest.mark.parametrize("text", ["[]", "3", '{"output": "scan.nii"}', "{", '{"output": "scan.nii", "state": "odd"}', "\udcff\0"])
def test_what_is_no_line_of_a_manifest_is_passed_over(job: Job, text: str) -> None:
    record(job, done(job))
    with (job.output.parent / MANIFEST).open("a", encoding="utf-8", errors="surrogateescape") as stream:
        stream.write(text + "\n")
    assert known(job) is not None


def test_folder_and_manifest_can_be_moved_together(job: Job, tmp_path: Path) -> None:
    record(job, done(job))
    (tmp_path / "out").rename(tmp_path / "moved")
    moved = tmp_path / "moved"
    assert known(Job(job.image, moved / "scan.nii", picture=moved / "scan.png")) is not None


def test_what_a_kill_left_is_removed_if_nobody_else_is_at_work(job: Job) -> None:
    torn = job.output.parent / ".scan.nii.abcd_123.nii"
    others = [job.output.parent / name for name in (".other.nii.abcd_123.nii", ".scan.nii", "scan.nii.abcd_123.nii")]
    for file in (torn, *others):
        file.write_text("half")
    with open_manifest(job) as manifest:
        manifest.begin([job])
    assert not torn.exists()
    assert all(file.exists() for file in others)


def _hold(path: Path, begun: multiprocessing.synchronize.Event, end: multiprocessing.synchronize.Event) -> None:
    with Manifest(path, {}) as manifest:
        manifest.begin([])
        begun.set()
        end.wait(60)


def _append(path: Path, job: Job, count: int) -> None:
    with Manifest(path, MADE_WITH) as manifest:
        for _ in range(count):
            manifest.add(job, Outcome("done", tuple(f"L{n}" for n in range(300)), input_sha256="0"))


def test_with_another_process_at_work_nothing_is_removed(job: Job) -> None:
    context = multiprocessing.get_context("fork")
    begun, end = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(job.output.parent / MANIFEST, begun, end))
    other.start()
    assert begun.wait(60)
    torn = job.output.parent / ".scan.nii.abcd_123.nii"
    torn.write_text("half, but growing")
    with open_manifest(job) as manifest:
        manifest.begin([job])
    end.set()
    other.join(60)
    assert torn.exists()


def test_several_processes_append_whole_lines(job: Job) -> None:
    context = multiprocessing.get_context("fork")
    path = job.output.parent / MANIFEST
    processes = [context.Process(target=_append, args=(path, job, 50)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert len([json.loads(line) for line in lines(job)]) == 150


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write here"):
        Manifest(tmp_path / "file" / MANIFEST, {})


def test_a_device_is_no_manifest(job: Job) -> None:
    (job.output.parent / MANIFEST).symlink_to("/dev/null")
    with pytest.raises(OutputError, match="expected a plain file"):
        open_manifest(job)


@pytest.mark.parametrize("written", [0, 20])
def test_a_full_disk_is_an_error_that_tells_how_to_go_on(job: Job, written: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    with monkeypatch.context() as patch, open_manifest(job) as manifest:
        patch.setattr(os, "write", lambda file, content: real(file, content[:written]))
        with pytest.raises(OutputError, match="make room and go on with --resume"):
            manifest.add(job, done(job))
    record(job, done(job))
    assert known(job) is not None


class TestDigest:
    def test_a_file_is_its_content(self, tmp_path: Path) -> None:
        (tmp_path / "a.nii").write_text("one")
        (tmp_path / "b.nii").write_text("one")
        assert digest_of(tmp_path / "a.nii") == digest_of(tmp_path / "b.nii")

    def test_a_folder_is_the_names_and_contents_of_its_files(self, tmp_path: Path) -> None:
        (tmp_path / "s" / "t").mkdir(parents=True)
        (tmp_path / "s" / "t" / "1.dcm").write_text("one")
        first = digest_of(tmp_path / "s")
        (tmp_path / "s" / "t" / "1.dcm").rename(tmp_path / "s" / "1.dcm")
        second = digest_of(tmp_path / "s")
        (tmp_path / "s" / "1.dcm").write_text("two")
        assert len({first, second, digest_of(tmp_path / "s")}) == 3

    def test_a_header_stands_for_its_voxels_too(self, tmp_path: Path) -> None:
        for name in ("a.mhd", "a.raw", "b.raw"):
            (tmp_path / name).write_text("one")
        first = digest_of(tmp_path / "a.mhd")
        (tmp_path / "b.raw").write_text("two")
        assert digest_of(tmp_path / "a.mhd") == first
        (tmp_path / "a.raw").write_text("two")
        assert digest_of(tmp_path / "a.mhd") != first

    def test_what_is_not_there_has_none(self, tmp_path: Path) -> None:
        assert digest_of(tmp_path / "none.nii") is None


def test_why_a_scan_is_done_again_is_counted(job: Job) -> None:
    record(job, done(job))
    with open_manifest(job, version="9.9.9") as manifest:
        assert manifest.known(job) is None
        ((why, count),) = manifest.again.items()
    assert count == 1
    assert why.startswith("they were done by cascade ")
    assert why.endswith(", and this is 9.9.9")
