"""Cohorts: killed at any moment and resumed, they end as if nothing had happened."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import cascade
from cascade.cohorts.find import jobs_for
from cascade.cohorts.job import MANIFEST, Job
from cascade.cohorts.keep import Keep
from cascade.cohorts.manifest import Outcome
from cascade.cohorts.run import Task, run_cohort
from cascade.cohorts.workers import WorkerProcesses, Workers, ended
from cascade.errors import CheckpointError, InputError, NoSpineError
from cascade.io.nifti import write_volume
from cascade.labels import CASCADE
from cascade.networks.checkpoint import load_checkpoint
from cascade.pipeline import Segmenter
from cascade.postproc.naming import Numbering
from cascade.volume import LabelMap, Volume
from tests.cohort_work import Copy, write_scans
from tests.phantom_result import phantom_result
from tests.synthetic import save_oracles

Coded = tuple[Volume, LabelMap]


def run(jobs: list[Job], work: Copy, workers: Workers | None = None, *, resume: bool = False, **options: Any) -> dict[str, Outcome]:
    done = run_cohort(jobs, work, workers, manifest=jobs[0].output.parent / MANIFEST, resume=resume, **options)  # type: ignore[arg-type]
    return {job.image.name: outcome for job, outcome in done}


def manifest_lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / MANIFEST).read_text(encoding="utf-8").splitlines()]


def states(outcomes: dict[str, Outcome]) -> dict[str, str]:
    return {name: outcome.state for name, outcome in outcomes.items()}


class TestResume:
    def test_what_is_missing_is_done_and_nothing_twice(self, tmp_path: Path) -> None:
        jobs = write_scans(tmp_path / "in", {"a": "1", "b": "bad", "c": "full", "d": "4"})
        assert states(run(jobs, Copy())) == {"a": "done", "b": "refused", "c": "failed", "d": "done"}
        jobs[3].output.unlink()
        again = run(jobs, Copy(), resume=True)
        assert {name for name, outcome in again.items() if outcome.earlier} == {"a", "b"}
        assert [line["output"] for line in manifest_lines(tmp_path / "out")] == [f"{n}.nii.gz" for n in "abcdcd"]

    def test_changed_scans_and_weights_are_done_again(self, tmp_path: Path) -> None:
        jobs = write_scans(tmp_path / "in", {"a": "1", "b": "2"})
        run(jobs, Copy())
        jobs[0].image.write_text("new", encoding="utf-8")
        assert [outcome.earlier for outcome in run(jobs, Copy(), resume=True).values()] == [True, False]
        assert jobs[0].output.read_text(encoding="utf-8") == "w1 new"
        assert not any(outcome.earlier for outcome in run(jobs, Copy("w2"), resume=True).values())

    def test_without_resume_everything_is_done_again(self, tmp_path: Path) -> None:
        jobs = write_scans(tmp_path / "in", {"a": "1"})
        assert not any(outcome.earlier for _ in range(2) for outcome in run(jobs, Copy()).values())

    def test_a_bug_at_one_scan_does_not_stop_the_others(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        jobs = write_scans(tmp_path / "in", {"a": "1", "b": "bug", "c": "3"})
        with ThreadPoolExecutor(2) as executor:
            found = run(jobs, Copy(), Workers(executor, lambda: 2))
        assert states(found) == {"a": "done", "b": "failed", "c": "done"}
        assert "RuntimeError" in str(found["b"].error)
        assert "Traceback" in caplog.text

    def test_a_scan_that_kills_workers_is_set_aside_and_named(self, tmp_path: Path) -> None:
        jobs = write_scans(tmp_path / "in", {"a": "1", "b": "die", "c": "3"})
        with ended(WorkerProcesses(2)) as executor:
            found = run(jobs, Copy(), Workers(executor, lambda: 2))
        assert states(found) == {"a": "done", "b": "set-aside", "c": "done"}
        line = next(line for line in manifest_lines(tmp_path / "out") if line["output"] == "b.nii.gz")
        assert line["state"] == "set-aside"
        assert "3 workers died at it" in line["error"]
        assert run(jobs, Copy(), resume=True)["b"].earlier

    def test_after_a_wish_to_stop_no_scan_is_begun(self, tmp_path: Path) -> None:
        jobs = write_scans(tmp_path / "in", {"a": "1", "b": "2", "c": "3"})
        left = iter([False, True, True])
        assert list(run(jobs, Copy(), stop=lambda: next(left))) == ["a"]
        assert list(run(jobs, Copy(), resume=True)) == ["a", "b", "c"]


COMMAND = """
import sys
from pathlib import Path
from cascade.cohorts.job import MANIFEST
from cascade.cohorts.workers import WorkerProcesses, Workers, ended
from tests.cohort_work import Copy
from tests.cohorts.test_run import run
from cascade.cohorts.job import Job

if __name__ == "__main__":
    root = Path(sys.argv[1])
    jobs = [Job(scan, root / "out" / f"{scan.name}.nii.gz") for scan in sorted((root / "in").iterdir())]
    with ended(WorkerProcesses(2)) as executor:
        run(jobs, Copy(seconds=0.05), Workers(executor, lambda: 4), resume=True)
"""


@pytest.mark.full
def test_a_cohort_killed_at_random_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    """Kill the command (its workers have to notice), resume it until it is done; no line twice, nothing torn, nothing left over."""
    texts = {f"{n:03}": "bad" if n % 7 == 3 else str(n) for n in range(60)}
    write_scans(tmp_path / "killed" / "in", texts)
    whole = run(write_scans(tmp_path / "whole" / "in", texts), Copy(seconds=0.05))
    (tmp_path / "command.py").write_text(COMMAND, encoding="utf-8")
    command = [sys.executable, str(tmp_path / "command.py"), str(tmp_path / "killed")]
    rng, environment = random.Random(0), os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for kill in (*[True] * 5, False):
        process = subprocess.Popen(command, env=environment, start_new_session=True)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(3, 9) if kill else None)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(0.5)
    lines = manifest_lines(tmp_path / "killed" / "out")
    assert sorted(line["output"] for line in lines) == [f"{name}.nii.gz" for name in texts]
    assert {line["output"].removesuffix(".nii.gz"): line["state"] for line in lines} == states(whole)
    contents = [{p.name: p.read_text(encoding="utf-8") for p in (tmp_path / r / "out").glob("*.nii.gz")} for r in ("whole", "killed")]
    assert contents[0] == contents[1]
    assert not list((tmp_path / "killed" / "out").glob(".*"))


class TestTask:
    class Fake:
        checkpoint_sha256 = {"stage1_spine": "0"}  # noqa: RUF012
        backend = "torch"

        def segment(self, image: Path, **_: Any) -> Any:
            if "bad" in image.name:
                raise NoSpineError(f"{image}: no spine found")
            return phantom_result()

    def test_the_result_comes_back_if_nobody_keeps_it(self, tmp_path: Path) -> None:
        outcome = Task(self.Fake())(Job(tmp_path / "a.nii", tmp_path / "b.nii"))
        assert outcome.state == "done"
        assert outcome.result is not None
        assert outcome.levels == tuple(level.name for level in outcome.result.levels)

    def test_a_scan_that_cannot_be_used_is_refused_and_an_output_that_cannot_be_written_failed(self, tmp_path: Path) -> None:
        task = Task(self.Fake(), Keep())
        assert task(Job(tmp_path / "bad.nii", tmp_path / "b.nii")).state == "refused"
        (tmp_path / "file").write_text("")
        assert task(Job(tmp_path / "a.nii", tmp_path / "file" / "b.nii")).state == "failed"

    def test_a_cohort_that_a_program_began_goes_on_with_the_command_and_the_other_way_round(self) -> None:
        by_a_program = Task(self.Fake(), Keep(), CASCADE)
        by_the_command = Task(self.Fake(), Keep("binary"), "cascade", Numbering(), threads=1)
        assert by_a_program.made_with() == by_the_command.made_with()
        assert Task(self.Fake(), Keep(), "verse").made_with() != by_a_program.made_with()
        assert Task(self.Fake(), Keep(), repeat=5).made_with() != by_a_program.made_with()

    def test_outputs_are_named_after_the_scans_below_their_root(self, tmp_path: Path) -> None:
        scans = [tmp_path / "a" / "t2.nii.gz", tmp_path / "b" / "t2.mha"]
        assert [job.output for job in jobs_for(scans, Path("o"), tmp_path)] == [Path("o/a/t2.nii.gz"), Path("o/b/t2.nii.gz")]
        with pytest.raises(InputError, match="the root of both"):
            jobs_for(scans, Path("o"))


@pytest.fixture(scope="module")
def segmenter(oracle_weights: Path) -> Segmenter:
    return Segmenter.from_pretrained("cpu", oracle_weights)


@pytest.fixture(scope="module")
def scans(coded: Coded, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("scans")
    write_volume(coded[0], folder / "a.nii.gz")
    (folder / "b.nii.gz").write_text("no scan")
    (folder / "c.nii.gz").symlink_to(folder / "a.nii.gz")
    return sorted(folder.iterdir())


class TestMap:
    def test_results_come_in_order_and_equal_those_of_segment(self, segmenter: Segmenter, scans: list[Path]) -> None:
        expected = segmenter.segment(scans[0])
        with ThreadPoolExecutor(2) as executor:
            found = list(segmenter.map(scans, executor=executor))
        assert [image for image, _ in found] == scans
        assert [outcome.state for _, outcome in found] == ["done", "refused", "done"]
        for _, outcome in (found[0], found[2]):
            assert outcome.result is not None
            assert (outcome.result.labels.data == expected.labels.data).all()

    def test_a_segmenter_pickles_to_little_and_is_loaded_once(self, segmenter: Segmenter) -> None:
        text = pickle.dumps(segmenter)
        assert len(text) < 2000
        copy, again = pickle.loads(text), pickle.loads(text)
        assert copy.stage2.network is again.stage2.network
        assert copy.checkpoint_sha256 == segmenter.checkpoint_sha256

    def test_another_processes_weights_must_be_the_same(self, coded: Coded, tmp_path: Path) -> None:
        save_oracles(tmp_path)
        text = pickle.dumps(load_checkpoint("stage2_levels", tmp_path))
        save_oracles(tmp_path, blind=True)
        with pytest.raises(CheckpointError, match="give all workers the same checkpoint"):
            pickle.loads(text)

    @pytest.mark.parametrize("kind", [pytest.param(ProcessPoolExecutor, marks=pytest.mark.full), WorkerProcesses])
    def test_processes_write_what_segment_would(
        self, kind: type[Executor], segmenter: Segmenter, scans: list[Path], tmp_path: Path
    ) -> None:
        if kind is ProcessPoolExecutor:
            import multiprocessing

            executor: Executor = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        else:
            executor = WorkerProcesses(1)
        with executor:
            found = dict(segmenter.map(scans, tmp_path / "out", executor=executor))
            again = dict(segmenter.map(scans, tmp_path / "out", executor=executor, resume=True))
        assert {image.name: outcome.state for image, outcome in found.items()} == {
            "a.nii.gz": "done",
            "b.nii.gz": "refused",
            "c.nii.gz": "done",
        }
        assert all(outcome.earlier for outcome in again.values())
        segmenter.segment(scans[0]).save(tmp_path / "alone.nii.gz")
        assert (tmp_path / "out" / "a.nii.gz").read_bytes() == (tmp_path / "alone.nii.gz").read_bytes()
        (line, *_) = manifest_lines(tmp_path / "out")
        assert line["checkpoint_sha256"] == segmenter.checkpoint_sha256
        assert line["version"] == cascade.__version__
