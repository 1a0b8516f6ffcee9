"""A cohort: many scans into one folder, with a manifest from which an interrupted run goes on."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Unpack

from cascade.cohorts.answers import Answer
from cascade.cohorts.job import Job
from cascade.cohorts.keep import Keep
from cascade.cohorts.manifest import Manifest, Outcome, State, digest_of
from cascade.cohorts.workers import TRIES, Workers, spread
from cascade.errors import CascadeError, InputError, NumberingError
from cascade.io.formats import check_output
from cascade.labels import CASCADE, LabelScheme, get_scheme
from cascade.networks.threads import set_threads
from cascade.postproc.clicks.click import Click, clicks_to_json
from cascade.postproc.naming import Numbering
from cascade.segmentation import Perception, Segmentation, Wishes

_LOG = logging.getLogger(__name__)


class Segments(Protocol):
    """What segments one scan: `cascade.pipeline.Segmenter`."""

    @property
    def checkpoint_sha256(self) -> dict[str, str]:
        """The identity of each stage's checkpoint."""

    @property
    def backend(self) -> str:
        """What runs the networks."""

    def segment(self, image: Any, **wishes: Unpack[Wishes]) -> Segmentation:
        """Segment one scan."""

    def see(self, image: Any, **wishes: Unpack[Wishes]) -> tuple[Perception, Segmentation]:
        """The same, and what the networks see."""


class Work(Protocol):
    """What is done with each scan: `Task`."""

    def made_with(self) -> Mapping[str, Any]:
        """What decides the results beside the scans."""

    def __call__(self, job: Job) -> Outcome:
        """Do it."""


@dataclass(frozen=True)
class Task:
    """What is done with each scan; sent to the workers with every job, so it pickles to little.

    Parameters
    ----------
    segmenter : Segments
    keep : Keep, optional
        Writes a job's result; by default the result itself comes back in the outcome.
    scheme : str or LabelScheme
    numbering : Numbering, optional
    threads : int, optional
        CPU threads of each worker.
    clicks : sequence of Click
    repeat : int
        So often each scan is seen again.
    """

    segmenter: Segments
    keep: Keep | None = None
    scheme: str | LabelScheme = CASCADE
    numbering: Numbering | None = None
    threads: int | None = None
    clicks: Sequence[Click] = ()
    repeat: int = 0

    def made_with(self) -> dict[str, Any]:
        """What decides the results beside the scans, for the manifest."""
        from cascade._version import __version__

        numbering = dataclasses.asdict(self.numbering or Numbering())
        kept = {} if self.keep is None else dataclasses.asdict(self.keep)
        more: dict[str, Any] = {"clicks": clicks_to_json(self.clicks)} if self.clicks else {}
        more |= {"repeat": self.repeat} if self.repeat else {}
        return {
            "version": __version__,
            "checkpoint_sha256": self.segmenter.checkpoint_sha256,
            "backend": self.segmenter.backend,
            "options": {"scheme": get_scheme(self.scheme).name, "numbering": numbering, **more, **kept},
        }

    def __call__(self, job: Job) -> Outcome:
        """Read, segment and write one scan; an error that is no bug becomes its outcome."""
        if self.threads:
            set_threads(self.threads)
        started = time.perf_counter()
        digest = digest_of(job.image, job.files)
        try:
            notices = check_output(job.output, job.image, *job.beside, series=job.series) if self.keep else ()
            seen, result = self._segmented(job)
            result = dataclasses.replace(result, warnings=(*result.warnings, *notices))
            if self.keep:
                self.keep(result, job, Answer(seen, digest, self.segmenter.checkpoint_sha256) if seen else None)
        except CascadeError as problem:
            hopeless = isinstance(problem, (InputError, NumberingError)) and not isinstance(problem.__cause__, MemoryError)
            state: State = "refused" if hopeless else "failed"
            return Outcome(state, error=str(problem), seconds=_since(started), input_sha256=digest)
        return Outcome(
            "done",
            levels=tuple(level.name for level in result.levels),
            also_found=result.also_found,
            warnings=result.warnings,
            seconds=_since(started),
            input_sha256=digest,
            result=None if self.keep else result,
        )

    def _segmented(self, job: Job) -> tuple[Perception | None, Segmentation]:
        """The result, and what the networks saw if that is kept."""
        wishes = Wishes(scheme=self.scheme, numbering=self.numbering, series=job.series, clicks=self.clicks, repeat=self.repeat)
        if self.keep and self.keep.probabilities:
            return self.segmenter.see(job.image, **wishes)
        return None, self.segmenter.segment(job.image, **wishes)


def run_cohort(
    jobs: Iterable[Job],
    task: Work,
    workers: Workers | None = None,
    *,
    manifest: Path | None = None,
    resume: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Job, Outcome]]:
    """Do the jobs; yield each with its outcome as soon as it is in the manifest.

    Parameters
    ----------
    jobs : iterable of Job
    task : Work
    workers : Workers, optional
        By default one scan after the other, in this process.
    manifest : Path, optional
        Of the folder of outputs.
    resume : bool
        Leave out what the manifest says is done or refused (it is yielded first, marked as `earlier`).
    stop : callable
        Once it returns True, the scans in work are finished and no other is begun.

    Raises
    ------
    WorkersError
        The workers are lost.
    OutputError
        The manifest cannot be written.
    """
    jobs, todo = list(jobs), []
    if manifest is None:
        yield from _done(jobs, task, workers, stop, ordered=True)
        return
    with Manifest(manifest, task.made_with()) as book:
        book.begin(jobs)
        for job in jobs:
            if resume and (known := book.known(job)):
                yield job, known
            else:
                todo.append(job)
        for why, count in book.again.items():
            _LOG.warning("cascade: %d of %d scans are done again: %s", count, len(jobs), why)
        for job, outcome in _done(todo, task, workers, stop, ordered=False):
            book.add(job, outcome)
            yield job, outcome


def _done(
    jobs: list[Job], task: Work, workers: Workers | None, stop: Callable[[], bool], *, ordered: bool
) -> Iterator[tuple[Job, Outcome]]:
    if workers:
        for job, future in spread(jobs, task, workers, ordered=ordered, stop=stop):
            yield job, _outcome(job, future)
        return
    for job in jobs:
        if stop():
            return
        yield job, task(job)


def _outcome(job: Job, future: Future[Outcome] | None) -> Outcome:
    """What a worker answered; a bug that one scan brings to light does not stop the others."""
    if future is None:
        return _set_aside(job)
    problem = future.exception()
    if problem is None:
        return future.result()
    if isinstance(problem, CascadeError) or not isinstance(problem, Exception):
        raise problem
    _LOG.error("%s", job, exc_info=problem)
    error = f"{job}: expected no {type(problem).__name__} ({problem}); too little memory, or a bug; try it by itself"
    return Outcome("failed", error=error, input_sha256=digest_of(job.image, job.files))


def _set_aside(job: Job) -> Outcome:
    error = f"{job}: expected a scan that can be segmented; {TRIES} workers died at it; try it by itself, without --jobs or --scheduler"
    return Outcome("set-aside", error=error, input_sha256=digest_of(job.image, job.files))


def _since(started: float) -> float:
    return round(time.perf_counter() - started, 3)
