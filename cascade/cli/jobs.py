"""What ``cascade-segment`` has to do: scans found in its inputs, and where their results go."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cascade.cli import console
from cascade.cohorts.job import Job
from cascade.errors import CascadeError, InputError, OutputError
from cascade.io.extras import extra
from cascade.io.formats import DICOM, NIFTI, OUTPUT_SUFFIXES, TITLES, ZIP, SegType, find_scans, find_suffix, format_of, stem

if TYPE_CHECKING:
    from cascade.io.dicom_series import Series
    from cascade.segmentation import Segmentation

T = TypeVar("T")

#: What can be written beside the labels, by its option.
_BESIDE = {"json": ".json", "picture": ".png", "table": ".tsv", "report": ".html"}


@dataclass(frozen=True)
class Keep:
    """Writes everything that a job asks for.

    Parameters
    ----------
    seg_type : {"binary", "labelmap"}
        Kind of DICOM SEG.
    """

    seg_type: SegType

    def __call__(self, result: Segmentation, job: Job) -> None:
        """Write the labels, and what goes beside them, all or nothing."""
        from cascade.io.files import together

        with together():
            result.save(job.output, seg_type=self.seg_type)
            if job.dataset:
                from cascade.io.bids import write_sidecars

                write_sidecars(job.output, job.image, job.dataset, result.labels.scheme, result.to_dict())
            if job.json:
                result.save_json(job.json, **job.names)
            if job.picture:
                result.save_picture(job.picture)
            if job.table:
                result.save_table(job.table)
            if job.report:
                from cascade.report import save_report

                save_report(result, job.report, job.title)


@dataclass(frozen=True)
class _Scan:
    """A scan of an input, and its path relative to it, without suffix."""

    image: Path
    name: Path
    suffix: str = ""
    series: str | None = None
    series_number: int | None = None
    what: str = ""


def is_file_name(output: Path) -> bool:
    """Tell whether an output names one file rather than a folder."""
    return bool(find_suffix(output.name, OUTPUT_SUFFIXES)) and not output.is_dir()


def list_jobs(options: argparse.Namespace) -> tuple[list[Job], bool]:
    """List what to do; the second value tells that an input could not be used, which has been reported.

    Raises
    ------
    OutputError
        Several scans are to go to one file.
    """
    if options.bids:
        return _bids_jobs(options), False
    single = is_file_name(options.output)
    if single and len(options.inputs) > 1:
        raise OutputError(f"{options.output}: expected a folder for several scans; found a file name; give -o a folder")
    search = _Search(options.output, single, options.series)
    scans = [scan for given in options.inputs for scan in search.attempt(search.scans, given)]
    if single and len(scans) > 1:
        found = "; ".join(f"{scan.image} {scan.what}".strip() for scan in scans)
        raise OutputError(f"{options.output}: expected one scan for one file; found {found}; choose with --series or give -o a folder")
    if single:
        beside = {kind: getattr(options, kind) for kind in _BESIDE}
        return [Job(s.image, options.output, **beside, series=s.series, series_number=s.series_number) for s in scans], search.failed
    jobs: dict[Path, Job] = {}
    for job in (_job(scan, options) for scan in scans):
        other = jobs.setdefault(job.output, job)
        if other is not job:
            console.error(f"{job}: expected an output of its own; {job.output} is that of {other}; give another -o")
            search.failed = True
    return list(jobs.values()), search.failed


class _Search:
    """Finds scans; a part that cannot be used is reported and does not stop the others."""

    def __init__(self, output: Path, single: bool, series: str | None) -> None:
        self.output, self.single, self.series = output.resolve(), single, series
        self.failed = False

    def attempt(self, part: Callable[..., list[T]], *arguments: object) -> list[T]:
        """Call `part`; report what went wrong."""
        try:
            return part(*arguments)
        except CascadeError as problem:
            console.error(problem)
            self.failed = True
            return []

    def scans(self, given: Path) -> list[_Scan]:
        """Scans of one input."""
        if given.is_dir():
            return self._scans_in(given)
        if format_of(given) is ZIP and not self.single:
            return self._series_in(given, given.parent)
        return [_Scan(given, Path(stem(given.name)), find_suffix(given.name), self.series)]

    def _scans_in(self, given: Path) -> list[_Scan]:
        kinds = dict(find_scans(given, self.output))
        if not kinds:
            raise InputError(f"{given}: expected scans ({', '.join(TITLES)}) in this folder; found none")
        scans = [
            _Scan(file, file.relative_to(given).with_name(stem(file.name)), find_suffix(file.name))
            for file, kind in kinds.items()
            if not kind.is_dicom
        ]
        for archive in (file for file, kind in kinds.items() if kind is ZIP):
            scans += self.attempt(self._series_in, archive, given)
        if DICOM in kinds.values():
            scans += self.attempt(self._series_in, given, given)
        return scans

    def _series_in(self, path: Path, root: Path) -> list[_Scan]:
        """The DICOM series to segment in every study of a folder or zip."""
        with extra("dicom", str(path)):
            from cascade.io.dicom_series import choose, find_studies

        found = find_studies(path)
        for problem in found.problems:
            console.error(problem)
            self.failed = True
        chosen = [series for study in found.studies for series in self.attempt(choose, study, self.series, str(study[0].origin))]
        numbers = Counter((series.origin, series.number) for series in chosen)
        return [_series_scan(series, root, numbers[series.origin, series.number] > 1) for series in chosen]


def _series_scan(series: Series, root: Path, ambiguous: bool) -> _Scan:
    name = "series" if series.number is None else f"series-{series.number}"
    if ambiguous:
        name += f"-{series.uid[-8:]}"
    folder = series.origin.relative_to(root)
    relative = folder.with_name(stem(folder.name)) / name if folder.name else Path(name)
    return _Scan(series.origin, relative, "", series.uid, series.number, str(series))


def _job(scan: _Scan, options: argparse.Namespace) -> Job:
    suffix = f".{options.format}" if options.format else scan.suffix if scan.suffix in NIFTI.outputs else NIFTI.outputs[0]
    return Job(
        scan.image,
        options.output / f"{scan.name}{suffix}",
        **_beside(options, scan.name),
        series=scan.series,
        series_number=scan.series_number,
    )


def _beside(options: argparse.Namespace, name: Path) -> dict[str, Any]:
    """What else is written for one of several scans, each in the folder that its option names."""
    return {kind: folder / f"{name}{suffix}" for kind, suffix in _BESIDE.items() if (folder := getattr(options, kind))}


def _bids_jobs(options: argparse.Namespace) -> list[Job]:
    from cascade.io.bids import derivative_path, find_bids_scans, write_dataset_description

    root = options.inputs[0]
    derivatives = options.output or root / "derivatives" / "cascade"
    names = {scan: derivative_path(scan, root) for scan in find_bids_scans(root)}
    write_dataset_description(derivatives, root)
    return [
        Job(
            scan,
            derivatives / f"{name}.nii.gz",
            **_beside(options, Path(name)),
            dataset=root,
        )
        for scan, name in names.items()
    ]
