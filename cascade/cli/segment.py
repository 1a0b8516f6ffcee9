"""``cascade-segment``: scans in, named vertebrae and discs out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cascade.cli import console
from cascade.cli.loading import Loading
from cascade.cli.options import SegmentOptions
from cascade.cohorts.find import find_jobs
from cascade.errors import InputError
from cascade.notices import Notice

if TYPE_CHECKING:
    from cascade.cohorts.job import Job
    from cascade.postproc.clicks.click import Click


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command; returns the exit status."""
    options = SegmentOptions.parse(arguments)
    return console.run(lambda: _demo(options.demo, options.loading) if options.demo else _segment_all(options))


def _segment_all(options: SegmentOptions) -> int:
    jobs, problems = find_jobs(options.request)
    for problem in problems:
        console.error(problem)
    status = console.FAILED if problems else console.DONE
    if not jobs:
        return status
    clicks = _clicks(options.clicks, jobs)
    segmenter = options.loading.load()

    from cascade.cli.cohort import do_jobs, threads_of_a_worker
    from cascade.cohorts.keep import Keep
    from cascade.cohorts.run import Task

    task = Task(segmenter, Keep(options.seg_type), options.scheme, options.numbering, threads_of_a_worker(options), clicks)
    return do_jobs(jobs, task, options) or status


def _clicks(path: Path | None, jobs: Sequence[Job]) -> tuple[Click, ...]:
    """The clicks for the only scan."""
    if path is None:
        return ()
    from cascade.postproc.clicks.click import read_clicks

    if len(jobs) > 1:
        raise InputError(f"{path}: expected clicks for one scan; found {len(jobs)} scans; run them one by one")
    clicks = read_clicks(path)
    if not clicks:
        console.warn(path, Notice("click-without-effect", None, "there is no click in the file"))
    return clicks


def _demo(folder: Path, loading: Loading) -> int:
    from cascade.demo import NINE, run_demo

    console.say("rendering a synthetic scan and segmenting it ...")
    dice = run_demo(folder, loading.load())
    print("structure  Dice")
    for name in NINE:
        print(f"{name:9}  {dice[name]:.3f}")
    print(f"mean       {sum(dice.values()) / len(dice):.3f}")
    print(f"written to {folder}: demo_image.nii.gz demo_reference.nii.gz demo_levels.nii.gz demo.json demo.png")
    return console.DONE


if __name__ == "__main__":
    sys.exit(main())
