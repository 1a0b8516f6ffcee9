"""A whole data set: find the cases, prepare each, and write table, problems and report."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from cascade.datasets.base import DataSet, Options, RawCase, natural_key
from cascade.datasets.case import PreparedCase, prepare_case
from cascade.datasets.overview import PICTURES, PROBLEMS, REPORT, TABLE, centreline, problems_of, write_overview
from cascade.datasets.problems import Problem
from cascade.datasets.records import FOLDER, Record, all_records, fingerprint, forget_others, load_record
from cascade.errors import InputError, OutputError, RefusedError
from cascade.io.nifti import write_labels, write_volume
from cascade.labels import get_scheme
from cascade.report.picture import save_picture

#: Called when a case is done, with its record.
Progress = Callable[[Record], None]


@dataclasses.dataclass(frozen=True)
class Job:
    """One case to do."""

    dataset: DataSet
    raw: RawCase
    options: Options
    out: Path
    overwrite: bool


def prepare(
    dataset: DataSet,
    source: Path,
    out: Path,
    *,
    options: Options | None = None,
    jobs: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> tuple[Problem, ...]:
    """Turn a downloaded data set into training cases.

    Writes ``<case>_image.nii.gz`` and ``<case>_labels.nii.gz``, ``cases.tsv``, ``problems.json``, ``report.html`` and ``pictures/``
    to `out`. What an interrupted run did is kept; a case that fails does not stop the others. Several data sets may share `out`.

    Parameters
    ----------
    dataset : DataSet
    source : Path
        The folder as it was downloaded and unpacked.
    out : Path
    options : Options, optional
    jobs : int
        Cases at a time.
    overwrite : bool
        Replace outputs that are not of a run with the same source and options.
    progress : callable, optional

    Returns
    -------
    tuple of Problem
        As in ``problems.json``.

    Raises
    ------
    InputError
        `source` does not look like the data set.
    OutputError
        `out` holds files that are not of this command, or cannot be written.
    """
    options = options or Options()
    if not source.is_dir():
        raise InputError(f"{source}: expected the folder of the data set; {'it is a file' if source.exists() else 'there is none'}")
    _check_output(source, out, overwrite)
    raws, general = _list_cases(dataset, source, options)
    forget_others(out, dataset.name, (raw.name for raw in raws))
    for record in _run([Job(dataset, raw, options, out, overwrite) for raw in raws], jobs):
        if progress:
            progress(record)
    for record in general:
        record.save(out)
        if progress:
            progress(record)
    records = list(all_records(out))
    write_overview(out, records, options)
    return problems_of(records)


def _check_output(source: Path, out: Path, overwrite: bool) -> None:
    if source.resolve() == out.resolve():
        raise OutputError(f"{out}: expected an output folder other than the source; choose another -o")
    foreign = [name for name in (TABLE, PROBLEMS, REPORT) if (out / name).exists()]
    if foreign and not (out / FOLDER).is_dir() and not overwrite:
        raise OutputError(f"{out / foreign[0]}: expected a folder of cascade-prepare or an empty one; choose another -o or say --overwrite")


def _list_cases(dataset: DataSet, source: Path, options: Options) -> tuple[list[RawCase], list[Record]]:
    """The cases by name, and one record with the problems of each thing that is no case."""
    raws: dict[str, RawCase] = {}
    others: dict[str, list[Problem]] = {}
    for found in dataset.find(source, options):
        if isinstance(found, Problem):
            others.setdefault(found.case, []).append(found)
        elif found.name in raws:
            text = f"{found.image.path}: {raws[found.name].image.path} already has this name"
            others.setdefault(found.name, []).append(Problem(found.name, "duplicate-case", text))
        else:
            raws[found.name] = found
    if not raws and not others:
        raise InputError(
            f"{source}: expected cases of {dataset.name} with sequence {options.sequence or dataset.usual_sequence!r}; found none"
        )
    general = [p for problems in others.values() for p in problems]
    records = [Record(dataset.name, "_source", "failed", "", problems=tuple(general))] if general else []
    return sorted(raws.values(), key=lambda raw: natural_key(raw.name)), records


def _run(todo: list[Job], jobs: int) -> Iterator[Record]:
    if jobs <= 1 or len(todo) < 2:
        yield from map(run_job, todo)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(run_job, todo)


def run_job(job: Job) -> Record:
    """Do one case, or find that it is done; returns its record, which is also written."""
    raw = job.raw
    start = Record(job.dataset.name, raw.name, "started", "")
    try:
        start = dataclasses.replace(start, fingerprint=fingerprint(job.dataset, raw, job.options))
        earlier = load_record(job.out, job.dataset.name, raw.name)
        if earlier and earlier.state == "done" and _files_there(job) and earlier.fingerprint == start.fingerprint:
            return earlier
        _refuse_to_overwrite(job, earlier)
        start.save(job.out)
        record = _prepare_and_write(job, start)
    except OutputError as error:
        return _kept(job, Problem(raw.name, "output-exists", str(error)))
    except InputError as error:
        code = error.code if isinstance(error, RefusedError) else "unreadable"
        record = dataclasses.replace(start, state="failed", problems=(*raw.problems, Problem(raw.name, code, str(error))))
    record.save(job.out)
    return record


def _kept(job: Job, problem: Problem) -> Record:
    """The record of a case whose files stay as they are; a finished one keeps its row."""
    earlier = load_record(job.out, job.dataset.name, job.raw.name)
    base = earlier or Record(job.dataset.name, job.raw.name, "failed", "")
    others = tuple(p for p in base.problems if p.code != problem.code)
    record = dataclasses.replace(base, problems=(*others, problem))
    record.save(job.out)
    return record


def _refuse_to_overwrite(job: Job, earlier: Record | None) -> None:
    if job.overwrite or (earlier and earlier.state == "started"):
        return
    there = [path for path in _outputs(job) if path.exists()]
    if there:
        whose = "of another source or with other options" if earlier and earlier.state == "done" else "of another origin"
        raise OutputError(f"{there[0]}: expected no such file; it is {whose}; choose another -o or say --overwrite")


def _prepare_and_write(job: Job, start: Record) -> Record:
    case = prepare_case(job.dataset, job.raw, job.options)
    image_file, labels_file, picture = _outputs(job)
    write_volume(case.image, image_file)
    write_labels(case.labels, labels_file)
    save_picture(case.image, case.labels, centreline(case.labels), picture)
    sha256 = hashlib.sha256(case.image.data.tobytes()).hexdigest()
    return dataclasses.replace(start, state="done", row=_row(job, case), image_sha256=sha256, problems=case.problems)


def _row(job: Job, case: PreparedCase) -> dict[str, str]:
    grid, labels = case.image.grid, case.labels
    ml = {name: float(labels[name].sum()) * grid.voxel_mm3 / 1000 for name in labels.structures}
    return {
        "dataset": job.dataset.name,
        "case": job.raw.name,
        "patient": job.raw.patient,
        "sequence": job.raw.sequence,
        "shape": "x".join(map(str, grid.shape)),
        "spacing_mm": "x".join(f"{s:.4g}" for s in grid.spacing_mm),
        "scheme": get_scheme(job.options.scheme).name,
        "label_ids": " ".join(map(str, labels.values)),
        "unlabelled": ", ".join(case.unlabelled),
        "volumes_ml": " ".join(f"{name}={volume:.2f}" for name, volume in ml.items()),
        "notes": " ".join(dict.fromkeys(problem.code for problem in case.problems)),
    }


def _outputs(job: Job) -> tuple[Path, Path, Path]:
    name = job.raw.name
    return job.out / f"{name}_image.nii.gz", job.out / f"{name}_labels.nii.gz", job.out / PICTURES / f"{name}.png"


def _files_there(job: Job) -> bool:
    return all(path.is_file() for path in _outputs(job))
