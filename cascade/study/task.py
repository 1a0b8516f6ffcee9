"""Many studies, none lost: each is a job of a cohort, so that `--jobs`, `--resume` and the manifest are those of scans."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cascade.cohorts.job import Job
from cascade.cohorts.manifest import Outcome, State, digest_of
from cascade.errors import CascadeError, InputError, NumberingError, OutputError
from cascade.io.files import together
from cascade.io.formats import SegType
from cascade.labels import get_scheme
from cascade.networks.threads import set_threads
from cascade.pipeline import Segmenter
from cascade.postproc.clicks.click import Click, clicks_to_json
from cascade.postproc.naming import Numbering
from cascade.study.find import StudyFiles, find_studies, limited, told_apart
from cascade.study.segment import segment_study

#: What the manifest knows a study by.
STUDY_FILE = "study.json"


def find_study_jobs(inputs: tuple[Path, ...], output: Path) -> tuple[list[Job], list[CascadeError]]:
    """A job for each study, and what cannot be done. The results of a single study go to `output` itself.

    Parameters
    ----------
    inputs : tuple of Path
        Studies, or folders that hold several.
    output : Path
    """
    studies: list[StudyFiles] = []
    problems: list[CascadeError] = []
    for given in dict.fromkeys(inputs):
        try:
            if output.resolve() == given.resolve():
                raise OutputError(f"{output}: expected an output folder other than that of the study; give -o a folder in it or elsewhere")
            found, said = find_studies(given, output)
        except CascadeError as problem:
            problems.append(problem)
            continue
        studies += found
        problems += said
    names = [""] if len(studies) == 1 else told_apart(study.name.as_posix() for study in studies)
    jobs: dict[tuple[str, frozenset[Path]], Job] = {}
    for study, name in zip(studies, names, strict=True):
        job = Job(study.origin, output / name / STUDY_FILE, series=study.key, files=study.files)
        jobs.setdefault((study.key, frozenset(file.resolve() for file in study.files)), job)
    return list(jobs.values()), problems


@dataclass(frozen=True)
class StudyTask:
    """What is done with each study.

    Parameters
    ----------
    segmenter : Segmenter
    output : Path
        Folder of all results: nothing in it is a scan.
    scheme : str
    numbering : Numbering
    suffix : str
        Of label files.
    seg_type : {"binary", "labelmap"}
    series : tuple of str
        Those that count; all where there is none.
    threads : int, optional
        CPU threads of each worker.
    clicks : mapping of str to clicks
        By the name of the series.
    """

    segmenter: Segmenter
    output: Path
    scheme: str = "cascade"
    numbering: Numbering = dataclasses.field(default_factory=Numbering)
    suffix: str = ".nii.gz"
    seg_type: SegType = "binary"
    series: tuple[str, ...] = ()
    threads: int | None = None
    clicks: Mapping[str, Sequence[Click]] = dataclasses.field(default_factory=dict)

    def made_with(self) -> dict[str, Any]:
        """What decides the results beside the scans, for the manifest."""
        from cascade._version import __version__

        options: dict[str, Any] = {"scheme": get_scheme(self.scheme).name, "numbering": dataclasses.asdict(self.numbering)}
        options |= {"study": True, "suffix": self.suffix, "seg_type": self.seg_type, "series": list(self.series)}
        options |= {"clicks": {name: clicks_to_json(each) for name, each in self.clicks.items()}} if self.clicks else {}
        return {
            "version": __version__,
            "checkpoint_sha256": self.segmenter.checkpoint_sha256,
            "backend": self.segmenter.backend,
            "options": options,
        }

    def __call__(self, job: Job) -> Outcome:
        """Read, segment and write one study; an error that is no bug becomes its outcome."""
        if self.threads:
            set_threads(self.threads)
        started, digest = time.perf_counter(), digest_of(job.image, job.files)
        try:
            files = _writable(limited(_study_of(job, self.output), self.series), self.suffix)
            study = segment_study(files, scheme=self.scheme, numbering=self.numbering, clicks=self.clicks, segmenter=self.segmenter)
            with together():
                study.save(job.output.parent, suffix=self.suffix, seg_type=self.seg_type)
        except CascadeError as problem:
            hopeless = isinstance(problem, (InputError, NumberingError)) and not isinstance(problem.__cause__, MemoryError)
            state: State = "refused" if hopeless else "failed"
            return Outcome(state, error=str(problem), seconds=round(time.perf_counter() - started, 3), input_sha256=digest)
        seconds = round(time.perf_counter() - started, 3)
        return Outcome("done", levels=study.levels, warnings=study.warnings, seconds=seconds, input_sha256=digest)


def _study_of(job: Job, output: Path) -> StudyFiles:
    studies, problems = find_studies(job.image, output)
    found = [study for study in studies if study.key == job.series]
    if len(found) != 1:
        raise InputError(f"{job.image}: expected the study that was found here before; it has changed meanwhile; start again")
    return dataclasses.replace(found[0], problems=tuple(problems)) if len(studies) == 1 else found[0]


def _writable(study: StudyFiles, suffix: str) -> StudyFiles:
    """A study without the series to which labels with this suffix cannot refer; these are told among its problems."""
    parts, problems = [], []
    for part in study.parts:
        try:
            parts.append(part.checked(suffix))
        except InputError as problem:
            problems.append(problem)
    if not parts:
        raise problems[0]
    return dataclasses.replace(study, parts=tuple(parts), problems=(*study.problems, *problems))
