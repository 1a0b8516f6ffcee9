"""What a study consists of: the series of one patient, from DICOM or from a folder of other files."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from cascade.errors import InputError, OutputError
from cascade.io.extras import extra
from cascade.io.formats import DICOM, NOT_DICOM, TITLES, ZIP, Source, find_scans, format_of, output_format, read_scan_file, stem
from cascade.io.recognise import is_there
from cascade.notices import Notice
from cascade.report.page import shown
from cascade.volume import FloatArray, Grid, Volume

if TYPE_CHECKING:
    from cascade.io.dicom_series import Series

Plane = Literal["sagittal", "coronal", "axial", "any"]
#: Slices are along the axis whose spacing is larger than the others by this; a scan with no such axis has no plane.
_THICKER = 1.5


@dataclass(frozen=True, eq=False)
class Stack:
    """Parallel slices.

    Parameters
    ----------
    scan : Volume
    source : Source or None
        What labels in its format repeat.
    instances : tuple of str
        SOPInstanceUID of each slice along the third axis, where known.
    """

    scan: Volume
    source: Source | None = field(default=None, repr=False)
    instances: tuple[str, ...] = ()

    @property
    def plane(self) -> Plane:
        """The anatomical plane of its slices; ``"any"`` where the voxels are as long in all directions."""
        return plane_of(self.scan.grid)


@dataclass(frozen=True, eq=False)
class Part:
    """One series of a study, not read yet.

    Parameters
    ----------
    name : str
        Of the folder for its results.
    title : str
        What it is, for people: never free text of a header.
    origin : Path
        For messages.
    series : Series or None
        Of DICOM; any other scan is the file `origin`.
    notices : tuple of Notice
        What is known about it before it is read.
    """

    name: str
    title: str
    origin: Path
    series: Series | None = field(default=None, repr=False)
    notices: tuple[Notice, ...] = ()

    @property
    def frame(self) -> str:
        """What tells whether two series share their coordinates; files of one folder are taken to."""
        return self.series.frame if self.series else ""

    def read(self) -> list[Stack]:
        """Read its stacks, from the head down.

        Raises
        ------
        InputError
            It cannot be used.
        """
        if self.series is None:
            scan, source = read_scan_file(self.origin)
            return [Stack(*_slices_last(scan), source)] if plane_of(scan.grid) == "axial" else [Stack(scan, source)]
        from cascade.io.dicom import read_series, read_stacks

        where = f"{self.origin} ({self.name})"
        if self.series.plane in ("sagittal", "coronal") and not self.series.localiser:
            return [Stack(*read_series(self.series, where))]
        return [Stack(scan, source, _instances(source)) for scan, source in read_stacks(self.series, where)]

    @property
    def files(self) -> tuple[Path, ...]:
        """Where its content stands: files, or the zip that holds them."""
        if self.series is None:
            return (self.origin,)
        return tuple(dict.fromkeys(file.content if isinstance(file.content, Path) else file.origin for file in self.series.files))

    def checked(self, suffix: str) -> Part:
        """The same, with what has to be put right if labels with this suffix are to be written.

        Raises
        ------
        OutputError
            A DICOM SEG is asked for a scan that is not DICOM.
        InputError
            A DICOM SEG cannot refer to this series.
        """
        path = Path(f"{self.name}{suffix}")
        if not output_format(path).is_dicom:
            return self
        if self.series is None:
            raise OutputError(NOT_DICOM.format(path=path))
        from cascade.io.dicom import check_series_referable

        found = check_series_referable(self.series, f"{self.origin} ({self.name})")
        named = (dataclasses.replace(notice, text=f"{self.name}: {notice.text}") for notice in found)
        return dataclasses.replace(self, notices=(*self.notices, *named))


@dataclass(frozen=True, eq=False)
class StudyFiles:
    """One study: the series of one patient.

    Parameters
    ----------
    name : Path
        Of the folder for its results where there are several studies.
    origin : Path
        The folder, zip or file that holds all of it.
    key : str
        Tells it from other studies of the same place.
    parts : tuple of Part
    problems : tuple of InputError
        What could not be used.
    """

    name: Path
    origin: Path
    key: str
    parts: tuple[Part, ...]
    problems: tuple[InputError, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it consists of."""
        return tuple(dict.fromkeys(file for part in self.parts for file in part.files))


def find_studies(path: Path, leave_out: Path | None = None) -> tuple[list[StudyFiles], list[InputError]]:
    """Find the studies of a folder, zip or file: each DICOM study is one, all other scans of a folder together are one.

    Parameters
    ----------
    path : Path
    leave_out : Path, optional
        Folder that results go to.

    Returns
    -------
    studies : list of StudyFiles
    problems : list of InputError
        What could not be used.

    Raises
    ------
    InputError
        There is no scan.
    """
    if not is_there(path):
        raise InputError(f"{path}: expected the folder of a study; there is none of this name; correct the path")
    kinds = dict(find_scans(path, leave_out or path)) if path.is_dir() else {path: format_of(path)}
    files = [file for file, kind in kinds.items() if kind is not None and not kind.is_dicom and is_there(file)]
    studies: list[StudyFiles] = []
    problems = [InputError(f"{file}: expected a file; the link leads nowhere; remove or mend it") for file in kinds if not is_there(file)]
    for place in [file for file, kind in kinds.items() if kind is ZIP] + [path] * (DICOM in kinds.values()):
        try:
            found, said = _dicom_studies(place, path)
        except InputError as problem:
            found, said = [], [problem]
        studies += found
        problems += said
    if files:
        studies.append(_study_of_files(path, files))
    if not studies and not problems:
        raise InputError(f"{path}: expected the scans of a study ({', '.join(TITLES)}); found none")
    return studies, problems


def find_study(path: Path) -> StudyFiles:
    """Find the only study of a folder, zip or file, with what of it could not be used; see `find_studies`.

    Raises
    ------
    InputError
        There is not exactly one.
    """
    studies, problems = find_studies(path)
    if len(studies) != 1:
        if problems:
            raise problems[0]
        names = "; ".join(str(study.name) for study in studies)
        raise InputError(f"{path}: expected one study; found {len(studies)} ({names}); give the folder of one patient")
    return dataclasses.replace(studies[0], problems=tuple(problems))


def limited(study: StudyFiles, series: Sequence[str]) -> StudyFiles:
    """A study with those series alone that are named, by name, number or SeriesInstanceUID; all where none is."""
    if not series:
        return study
    kept: dict[str, Part] = {}
    for wanted in series:
        matching = [part for part in study.parts if wanted in _names_of(part)]
        if not matching:
            names = ", ".join(part.name for part in study.parts)
            raise InputError(f"{study.origin}: expected a series {wanted}; found {names}; correct --series")
        kept |= {part.name: part for part in matching}
    return dataclasses.replace(study, parts=tuple(kept.values()))


def plane_of(grid: Grid) -> Plane:
    """The anatomical plane of the slices of a grid."""
    axis = int(np.argmax(grid.spacing_mm))
    others = [spacing for i, spacing in enumerate(grid.spacing_mm) if i != axis]
    if grid.spacing_mm[axis] < _THICKER * max(others) and grid.shape[axis] > 1:
        return "any"
    plane: Plane = {"L": "sagittal", "R": "sagittal", "A": "coronal", "P": "coronal"}.get(grid.axcodes[axis], "axial")  # type: ignore[assignment]
    return plane


def across_slices(grid: Grid) -> FloatArray:
    """Unit vector across the slices of a grid, RAS+."""
    axis = int(np.argmax(grid.spacing_mm))
    one, other = (grid.vox2world[:3, i] for i in range(3) if i != axis)
    normal = np.cross(one, other)
    return np.asarray(normal / np.linalg.norm(normal))


def _names_of(part: Part) -> set[str]:
    return {part.name, *((str(part.series.number), part.series.uid) if part.series else ())}


def _slices_last(scan: Volume) -> tuple[Volume]:
    """The scan as it is stored, as long as its slices are along its third axis."""
    axis = int(np.argmax(scan.grid.spacing_mm))
    codes = scan.grid.axcodes
    return (scan if axis == 2 else scan.reoriented(codes.replace(codes[axis], "") + codes[axis]),)


def _instances(source: Source) -> tuple[str, ...]:
    """The UID of the image of each slice."""
    datasets, slices = getattr(source, "datasets", ()), getattr(source, "slices", ())
    if len(datasets) != len(slices):
        return ()
    by_slice = {index: str(dataset.get("SOPInstanceUID", "")) for dataset, index in zip(datasets, slices, strict=True)}
    return tuple(by_slice.get(index, "") for index in range(max(by_slice) + 1))


def _dicom_studies(place: Path, root: Path) -> tuple[list[StudyFiles], list[InputError]]:
    with extra("dicom", str(place)):
        from cascade.io.dicom_series import find_series

    found, problems = find_series(place), list[InputError]()
    groups: dict[tuple[str, str], list[Series]] = {}
    for series in found.series:
        if min(series.size) > 0:
            groups.setdefault((series.patient, series.study_uid or str(series.origin)), []).append(series)
        else:
            names = ", ".join(file.name for file in series.files)
            problems.append(InputError(f"{names}: expected an image; the header ends before its size; export it again"))
    return [_dicom_study(series, root) for series in groups.values()], [*found.problems, *problems]


def _dicom_study(found: Sequence[Series], root: Path) -> StudyFiles:
    from cascade.io.dicom_series import end_of_uid

    origin = Path(*_common([series.origin.parts for series in found]))
    uid = found[0].study_uid
    name = Path(f"study-{end_of_uid(uid)}" if uid else "study") if uid or origin == root else origin.relative_to(root)
    key = hashlib.sha256("\n".join((found[0].patient, uid)).encode()).hexdigest()
    return StudyFiles(name, origin, key, tuple(_named(found, origin)))


def _named(found: Sequence[Series], origin: Path) -> Iterator[Part]:
    numbers = Counter(series.number for series in found)
    names = ["series" if series.number is None else f"series-{series.number}" for series in found]
    for place, series in enumerate(found):
        if numbers[series.number] > 1:
            names[place] += f"-{series.uid_end}" if series.uid else f"-{series.origin.name}"
    for name, series in zip(told_apart(names), found, strict=True):
        yield Part(name, str(series), origin, series)


def told_apart(names: Iterable[str]) -> list[str]:
    """Names of folders, with a number behind all but the first of those that are the same.

    >>> told_apart(["t2", "t1", "t2", "t2-2"])
    ['t2', 't1', 't2-2', 't2-2-2']
    """
    apart: list[str] = []
    for name in names:
        tries = (name if n == 1 else f"{name}-{n}" for n in itertools.count(1))
        apart.append(next(each for each in tries if each not in apart))
    return apart


def _common(paths: Sequence[Sequence[str]]) -> list[str]:
    """The parts that all paths begin with."""
    shared = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return shared


def _study_of_files(root: Path, files: Sequence[Path]) -> StudyFiles:
    titles = [Path(shown(str(file.relative_to(root).with_name(stem(file.name)) if file != root else stem(file.name)))) for file in files]
    names = told_apart("-".join(title.parts) for title in titles)
    parts = tuple(Part(name, title.as_posix(), file) for name, title, file in zip(names, titles, files, strict=True))
    return StudyFiles(Path(stem(root.absolute().name)), root, "files", parts)
