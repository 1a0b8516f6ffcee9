"""How ``cascade-segment`` gets its jobs done: by whom, what it tells meanwhile, and how it stops."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from cascade.cli import console
from cascade.cli.options import SegmentOptions
from cascade.cli.telling import Telling
from cascade.cohorts.cluster import dask_workers
from cascade.cohorts.find import ALL_TABLES
from cascade.cohorts.job import Job
from cascade.cohorts.manifest import Outcome
from cascade.cohorts.run import Work, run_cohort
from cascade.cohorts.workers import WorkerProcesses, Workers, ended
from cascade.errors import InputError
from cascade.networks.threads import usable_cores

if TYPE_CHECKING:
    from cascade.report import ReportIndex


def threads_of_a_worker(options: SegmentOptions) -> int | None:
    """CPU threads of each of several workers: the cores shared out, unless the user says so."""
    return options.loading.threads or (max(1, usable_cores() // options.jobs) if options.jobs > 1 else None)


def do_jobs(jobs: list[Job], task: Work, options: SegmentOptions) -> int:
    """Do the jobs, print a line about each, and return the exit status."""
    said, failed, index, tables = Telling(options, len(jobs)), False, _index(options, jobs), dict[str, Path]()
    manifest = options.request.manifest
    # A cohort finishes the scans in work when it is to stop; a single file stops at once.
    with _workers(options, len(jobs)) as workers, console.Stop(patient=manifest is not None) as stop, _bar(jobs, options) as bar:
        for job, outcome in run_cohort(jobs, task, workers, manifest=manifest, resume=options.resume, stop=stop):
            with bar.external_write_mode(file=sys.stderr):
                said.about(job, outcome)
            bar.update()
            failed |= outcome.state != "done" or _offends(outcome, options.strict)
            folder = options.request.beside.get("table")
            if outcome.state == "done" and folder and job.table and job.table != folder:
                tables[job.table.relative_to(folder).with_suffix("").as_posix()] = job.table
            if index and job.report:
                failed |= not _enter(index, job, job.report, outcome)
    if index:
        index.save()
    if tables:
        _combine(tables, options.request.beside["table"] / ALL_TABLES)
    said.at_last(index.folder / "index.html" if index else manifest)
    if stop.signal:
        console.say("cascade: stopped; --resume goes on")
        return 128 + stop.signal
    return console.FAILED if failed else console.DONE


@contextlib.contextmanager
def _workers(options: SegmentOptions, count: int) -> Iterator[Workers | None]:
    """Machines, processes, or two threads of which one reads and writes while the other has the networks."""
    if options.scheduler:
        with dask_workers(options.scheduler) as workers:
            yield workers
    elif count == 1:
        yield None
    else:
        executor = WorkerProcesses(min(options.jobs, count)) if options.jobs > 1 else ThreadPoolExecutor(2)
        with ended(executor):
            yield Workers(executor, lambda: 2 * options.jobs)


def _bar(jobs: list[Job], options: SegmentOptions) -> Any:
    """A progress bar with rate and time left, where somebody looks."""
    seen = sys.stderr is not None and sys.stderr.isatty() and options.loudness >= 0
    return tqdm(total=len(jobs), unit="scan", file=sys.stderr, dynamic_ncols=True, disable=len(jobs) < 2 or not seen)


def _offends(outcome: Outcome, strict: frozenset[str] | None) -> bool:
    return strict is not None and any(notice.code in strict if strict else notice.is_for_looking for notice in outcome.warnings)


def _index(options: SegmentOptions, jobs: list[Job]) -> ReportIndex | None:
    """The page that leads to the reports, where they go to a folder."""
    folder = options.request.beside.get("report")
    if not folder or any(job.report == folder for job in jobs):
        return None
    from cascade.report import ReportIndex

    return ReportIndex(folder)


def _combine(tables: dict[str, Path], path: Path) -> None:
    """Write one table with the rows of all scans, by their names; not over a scan's own."""
    from cascade.measure import combine_tables

    if path not in tables.values():
        combine_tables({name: tables[name] for name in sorted(tables) if tables[name].is_file()}, path)


def _enter(index: ReportIndex, job: Job, report: Path, outcome: Outcome) -> bool:
    """Take up a scan in the index; tell whether its report could be read."""
    if outcome.state != "done":
        index.add_failed(report, job.title, job.without_folders(outcome.error or "").removeprefix(f"{job.title}: "))
        return True
    try:
        index.add(report)
    except InputError as problem:
        console.error(problem)
        return False
    return True
