"""``cascade-segment``: scans in, named vertebrae and discs out."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cascade._version import __version__
from cascade.cli import console
from cascade.cli.options import SegmentOptions
from cascade.cohorts.find import find_jobs
from cascade.errors import InputError
from cascade.io.extras import require
from cascade.io.files import check_apart
from cascade.io.formats import check_extra
from cascade.notices import Notice, rounded_down

if TYPE_CHECKING:
    from cascade.cohorts.job import Job
    from cascade.pipeline import Segmenter
    from cascade.postproc.clicks.click import Click


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command; returns the exit status."""
    options = SegmentOptions.parse(arguments)
    return console.run(lambda: _do(options))


def _do(options: SegmentOptions) -> int:
    if options.loudness < 0:
        logging.getLogger("cascade").setLevel(logging.ERROR)
    if options.info:
        return _info(options)
    if options.demo:
        return _demo(options.demo, options)
    return _segment_studies(options) if options.study else _segment_all(options)


def _segment_all(options: SegmentOptions) -> int:
    jobs, problems = find_jobs(options.request)
    for problem in problems:
        console.error(problem)
    status = console.FAILED if problems else console.DONE
    if not jobs:
        return status
    clicks = _clicks(options.clicks, jobs)
    _check_extras(jobs, options)
    segmenter = options.loading.load(len(jobs) / options.jobs)
    if options.loudness > 0:
        console.say(_what_runs(segmenter))

    from cascade.cli.cohort import do_jobs, threads_of_a_worker
    from cascade.cohorts.keep import Keep
    from cascade.cohorts.run import Task

    keep = Keep(options.seg_type, options.probabilities)
    task = Task(segmenter, keep, options.scheme, options.numbering, threads_of_a_worker(options), clicks, options.repeat)
    return do_jobs(jobs, task, options) or status


def _check_extras(jobs: Sequence[Job], options: SegmentOptions) -> None:
    """Refuse what would fail for want of a package only when everything else is done."""
    for output in {job.output.suffix: job.output for job in jobs}.values():
        check_extra(output)
    if options.scheduler:
        require("cluster", options.scheduler)


def _what_runs(segmenter: Segmenter) -> str:
    weights = ", ".join(f"{stage} {identity[:12]}" for stage, identity in segmenter.checkpoint_sha256.items())
    return f"cascade: {__version__} in {segmenter.backend} on {segmenter.device}, {weights}"


def _segment_studies(options: SegmentOptions) -> int:
    from cascade.cli.cohort import do_jobs, threads_of_a_worker
    from cascade.study.task import StudyTask, find_study_jobs

    request = options.request
    jobs, problems = find_study_jobs(request.inputs, request.output)
    for problem in problems:
        console.error(problem)
    if not jobs:
        return console.FAILED
    task = StudyTask(
        options.loading.load(),
        request.output,
        options.scheme,
        options.numbering,
        request.suffix or ".nii.gz",
        options.seg_type,
        tuple(request.series.split(",")) if request.series else (),
        threads_of_a_worker(options),
        _clicks_by_series(options.clicks),
    )
    return do_jobs(jobs, task, options) or (console.FAILED if problems else console.DONE)


def _clicks_by_series(given: Path | None) -> dict[str, tuple[Click, ...]]:
    """The clicks for one series of a study, which stands before its file: ``series-3=clicks.json``."""
    if given is None:
        return {}
    from cascade.postproc.clicks.click import read_clicks

    name, _, file = str(given).partition("=")
    return {name: read_clicks(file)}


def _clicks(path: Path | None, jobs: Sequence[Job]) -> tuple[Click, ...]:
    """The clicks for the only scan."""
    if path is None:
        return ()
    from cascade.postproc.clicks.click import read_clicks

    if len(jobs) > 1:
        raise InputError(f"{path}: expected clicks for one scan; found {len(jobs)} scans; run them one by one")
    for job in jobs:
        check_apart((job.output, *job.beside), [path])
    clicks = read_clicks(path)
    if not clicks:
        console.warn(path, Notice("click-without-effect", None, "there is no click in the file"))
    return clicks


def _info(options: SegmentOptions) -> int:
    from cascade.cli.info import as_json, as_text, facts

    known = facts(options.loading)
    console.tell(as_json(known) if options.info == "json" else as_text(known))
    return console.DONE


def _demo(folder: Path, options: SegmentOptions) -> int:
    from cascade.demo import run_demo

    if options.loudness < 0:
        run_demo(folder, options.loading.load())
        return console.DONE
    console.say("segmenting a real scan and a phantom ...")
    demo = run_demo(folder, options.loading.load())
    console.tell("a real scan; nobody labelled it, so there is no reference\nstructure  confidence")
    for level in demo.scan.levels:
        console.tell(f"{level.name:9}  {rounded_down(level.confidence, 3)}")
    console.tell("\na phantom, whose answers are known\nstructure  Dice")
    for name, value in demo.phantom_dice.items():
        console.tell(f"{name:9}  {value:.3f}")
    console.tell(f"mean       {sum(demo.phantom_dice.values()) / len(demo.phantom_dice):.3f}")
    console.tell("that of bodies is lower than on real scans: the networks learnt from real scans alone")
    console.tell(f"\nopen first: {demo.open_first}")
    return console.DONE


if __name__ == "__main__":
    sys.exit(main())
