"""The front end to a cohort: what is asked for, the scans that are found, and a job for each."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cascade.cohorts.job import MANIFEST, Job
from cascade.errors import CascadeError, InputError, OutputError
from cascade.io.extras import extra
from cascade.io.formats import DICOM, NIFTI, OUTPUT_SUFFIXES, TITLES, ZIP, find_scans, find_suffix, format_of, stem
from cascade.io.recognise import is_there

if TYPE_CHECKING:
    from cascade.io.dicom_series import Series

T = TypeVar("T")

#: What can be written beside the labels, and the suffix of its files where there are several; none for a folder of its own.
BESIDE: Mapping[str, str] = {"json": ".json", "picture": ".png", "table": ".tsv", "report": ".html", "sr": ".dcm", "mesh": ""}
#: In a folder of tables, the one of all scans.
ALL_TABLES = "levels.tsv"


@dataclass(frozen=True)
class Request:
    """Scans, and where their results go.

    Parameters
    ----------
    inputs : tuple of Path
        Scan files, DICOM series, or folders that are searched; with `is_bids` one data set.
    output : Path
        A file for one scan, a folder for several.
    suffix : str, optional
        Of the label files in a folder; by default that of the scan if it is NIfTI, else ``.nii.gz``.
    series : str, optional
        DICOM series number or SeriesInstanceUID; by default the only series of a study, or its sagittal T2.
    beside : mapping of str to Path
        What else is written (a key of `BESIDE`) and where: a file for one scan, a folder for several.
    is_bids : bool
        The output is the folder of the data set's derivatives.
    participants : tuple of str
        Labels, with or without ``sub-``; of a BIDS data set these only. By default all.
    """

    inputs: tuple[Path, ...]
    output: Path
    suffix: str | None = None
    series: str | None = None
    beside: Mapping[str, Path] = field(default_factory=dict)
    is_bids: bool = False
    participants: tuple[str, ...] = ()

    @property
    def is_single(self) -> bool:
        """Whether the output is one file."""
        return not self.is_bids and is_file_name(self.output)

    @property
    def manifest(self) -> Path | None:
        """The manifest of a folder. In BIDS derivatives it is hidden, since the standard has no place for it."""
        return None if self.is_single else self.output / (f".{MANIFEST}" if self.is_bids else MANIFEST)

    def job(self, scan: FoundScan) -> Job:
        """The job of one of several scans."""
        suffix = self.suffix or (scan.suffix if scan.suffix in NIFTI.outputs else NIFTI.outputs[0])
        beside = {what: folder / f"{scan.name}{BESIDE[what]}" for what, folder in self.beside.items()}
        return Job(
            scan.image, self.output / f"{scan.name}{suffix}", **beside, series=scan.series, series_number=scan.series_number, files=()
        )


@dataclass(frozen=True)
class FoundScan:
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


def find_jobs(request: Request) -> tuple[list[Job], list[CascadeError]]:
    """List what to do, and what cannot be done; a part that cannot be used does not stop the others.

    Raises
    ------
    InputError
        `request` asks for a BIDS data set, and there is none.
    OutputError
        Several scans are to go to one file.
    """
    if request.is_bids:
        return _bids_jobs(request), []
    if request.is_single and len(request.inputs) > 1:
        raise OutputError(f"{request.output}: expected a folder for several scans; found a file name; give -o a folder")
    search = _Search(request)
    found = {given: search.attempt(search.scans, given) for given in dict.fromkeys(request.inputs)}
    scans = [scan for given in found for scan in found[given]] if request.is_single else _named_apart(found)
    if request.is_single:
        return [_only_job(request, scans)] if scans else [], search.problems
    jobs, clashes = _one_each(request.job(scan) for scan in scans)
    return jobs, [*search.problems, *clashes]


def jobs_for(images: Iterable[Path], folder: Path, root: Path | None = None) -> list[Job]:
    """Jobs that write labels into `folder`, named after the scans (with their folders below `root`).

    Raises
    ------
    InputError
        Two scans would have one output.
    """
    request = Request((), folder, NIFTI.outputs[0])
    names = ((image, image.relative_to(root) if root else Path(image.name)) for image in images)
    jobs, clashes = _one_each(request.job(FoundScan(image, name.with_name(stem(name.name)))) for image, name in names)
    if clashes:
        raise clashes[0]
    return jobs


def _one_each(jobs: Iterable[Job]) -> tuple[list[Job], list[CascadeError]]:
    """The first job of each output, and an error about every other."""
    first: dict[Path, Job] = {}
    clashes: list[CascadeError] = []
    for job in jobs:
        other = first.setdefault(job.output, job)
        if other is not job:
            text = f"{job}: expected an output of its own; {job.output} is that of {other}; give another output, or the root of both"
            clashes.append(InputError(text))
    return list(first.values()), clashes


def _named_apart(found: Mapping[Path, list[FoundScan]]) -> list[FoundScan]:
    """The scans of all inputs; where two inputs have scans of one name, names begin with the inputs' folders, as far as these differ."""
    owners: dict[Path, set[Path]] = defaultdict(set)
    for given, scans in found.items():
        for scan in scans:
            owners[scan.name].add(given)
    if all(len(inputs) == 1 for inputs in owners.values()):
        return [scan for scans in found.values() for scan in scans]
    places = {given: Path(os.path.normpath((given if given.is_dir() else given.parent).absolute())) for given in found}
    common = Path(os.path.commonpath(places.values()))
    return [
        dataclasses.replace(scan, name=places[given].relative_to(common) / scan.name) for given, scans in found.items() for scan in scans
    ]


def _only_job(request: Request, scans: list[FoundScan]) -> Job:
    if len(scans) > 1:
        found = "; ".join(f"{scan.image} {scan.what}".strip() for scan in scans)
        raise OutputError(f"{request.output}: expected one scan for one file; found {found}; choose with --series or give -o a folder")
    (scan,) = scans
    return Job(scan.image, request.output, **request.beside, series=scan.series, series_number=scan.series_number, files=())


def _bids_jobs(request: Request) -> list[Job]:
    from cascade.io.bids import derivative_path, find_bids_scans, write_dataset_description

    (root,) = request.inputs
    scans = [FoundScan(scan, derivative_path(scan, root), ".nii.gz") for scan in find_bids_scans(root, request.participants)]
    write_dataset_description(request.output, root)
    return [dataclasses.replace(request.job(scan), dataset=root) for scan in scans]


class _Search:
    """Finds scans, and keeps what went wrong."""

    def __init__(self, request: Request) -> None:
        self.output, self.single, self.series = request.output.resolve(), request.is_single, request.series
        self.problems: list[CascadeError] = []

    def attempt(self, part: Callable[..., list[T]], *arguments: object) -> list[T]:
        """Call `part`; keep what went wrong."""
        try:
            return part(*arguments)
        except CascadeError as problem:
            self.problems.append(problem)
            return []

    def scans(self, given: Path) -> list[FoundScan]:
        """Scans of one input."""
        if is_there(given) and given.is_dir():
            return self._scans_in(given)
        if format_of(given) is ZIP and not self.single:
            return self._series_in(given, given.parent)
        return [FoundScan(given, Path(stem(given.name)), find_suffix(given.name), self.series)]

    def _scans_in(self, given: Path) -> list[FoundScan]:
        if self.output == given.resolve():
            raise OutputError(f"{self.output}: expected an output folder other than that of the scans; give -o a folder in it or elsewhere")
        kinds = dict(find_scans(given, self.output, self._unreadable))
        if not kinds:
            raise InputError(f"{given}: expected scans ({', '.join(TITLES)}) in this folder; found none")
        scans = [
            FoundScan(file, file.relative_to(given).with_name(stem(file.name)), find_suffix(file.name))
            for file, kind in kinds.items()
            if not kind.is_dicom
        ]
        for archive in (file for file, kind in kinds.items() if kind is ZIP):
            scans += self.attempt(self._series_in, archive, given)
        if DICOM in kinds.values():
            scans += self.attempt(self._series_in, given, given)
        return scans

    def _unreadable(self, error: OSError) -> None:
        self.problems.append(InputError(f"{error.filename}: expected a folder that can be read; {error.strerror}; change its permissions"))

    def _series_in(self, path: Path, root: Path) -> list[FoundScan]:
        """The DICOM series to segment in every study of a folder or zip."""
        with extra("dicom", str(path)):
            from cascade.io.dicom_series import choose, find_studies

        found = find_studies(path)
        self.problems += found.problems
        chosen = [series for study in found.studies for series in self.attempt(choose, study, self.series, str(study[0].origin))]
        numbers = Counter((series.origin, series.number) for series in chosen)
        return [_series_scan(series, root, numbers[series.origin, series.number] > 1) for series in chosen]


def _series_scan(series: Series, root: Path, ambiguous: bool) -> FoundScan:
    name = "series" if series.number is None else f"series-{series.number}"
    if ambiguous:
        name += f"-{series.uid_end}"
    folder = series.origin.relative_to(root)
    relative = folder.with_name(stem(folder.name)) / name if folder.name else Path(name)
    return FoundScan(series.origin, relative, "", series.uid, series.number, str(series))
