"""DICOM series: which ones a folder or zip holds, and which one is meant.

Nothing here repeats what a file says about a patient: series are described by number, plane, weighting and size, never by
free text, and errors quote keywords, not values.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from cascade.errors import InputError
from cascade.io.dicom_files import DAMAGED, DicomFile, attribute, files_in, functional_group, whole
from cascade.notices import count_of

#: MR Image Storage, Enhanced MR Image Storage, Legacy Converted Enhanced MR Image Storage.
MR_CLASSES = ("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4")
#: Fewer slices than this are no scan.
MIN_SLICES = 3
#: A spin-echo image with at least this echo time is T2-weighted (lumbar protocols use 80 to 130 ms, T1 and PD under 40 ms).
T2_ECHO_MS = 60.0
_MIXED_DEG = 5.0
_TAGS = [
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "ProtocolName"),
    *("PatientID", "PatientName", "ImageType", "EchoTime", "InversionTime", "ScanningSequence", "ImageOrientationPatient"),
    *("Modality", "ImagePositionPatient", "PixelSpacing", "FrameOfReferenceUID"),
    *("Rows", "Columns", "NumberOfFrames", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
]


@dataclass(frozen=True)
class Series:
    """One series, as far as its headers tell.

    Parameters
    ----------
    uid, study_uid : str
    number : int or None
    patient : str
        Tells patients apart; never shown.
    plane : {"sagittal", "coronal", "axial", "mixed", "unknown"}
    weighting : {"T2", "other"}
    slices : int
    size : (2,) tuple of int
        Columns, rows.
    localiser : bool
    files : tuple of DicomFile
    assumed : tuple of str
        What was assumed of its headers, in words.
    frame : str
        FrameOfReferenceUID: series of one share their coordinates. Empty where it is missing.
    """

    uid: str
    study_uid: str
    number: int | None
    patient: str = field(repr=False)
    plane: str
    weighting: str
    slices: int
    size: tuple[int, int]
    localiser: bool
    files: tuple[DicomFile, ...] = field(repr=False)
    assumed: tuple[str, ...] = ()
    frame: str = field(default="", repr=False)

    @property
    def obstacle(self) -> str | None:
        """Why this series cannot be segmented, as far as its headers tell."""
        if self.localiser:
            return "localiser"
        if self.plane == "mixed":
            return "slices of several orientations"
        return f"fewer than {MIN_SLICES} slices" if self.slices < MIN_SLICES else None

    @property
    def origin(self) -> Path:
        """The zip, or the narrowest folder, that holds all its files."""
        return Path(os.path.commonpath([file.origin for file in self.files]))

    @property
    def uid_end(self) -> str:
        """What its folder is told apart by; see `end_of_uid`."""
        return end_of_uid(self.uid)

    def __str__(self) -> str:
        what = f"{self.plane}{' T2' if self.weighting == 'T2' else ''}, {count_of(self.slices, 'slice')} of {self.size[0]} x {self.size[1]}"
        return f"series {'?' if self.number is None else self.number}: {what}{f' ({self.obstacle})' if self.obstacle else ''}"


@dataclass(frozen=True)
class Found:
    """What a folder, zip or file holds.

    Parameters
    ----------
    series : tuple of Series
        By study and number.
    problems : tuple of InputError
        What could not be used: damaged files, and series that mix patients. No series of a folder that holds a damaged file is
        listed, since nobody can tell to which it belongs.
    """

    series: tuple[Series, ...]
    problems: tuple[InputError, ...] = ()

    @property
    def studies(self) -> list[list[Series]]:
        """The series, study by study; those without a study's UID by folder."""
        return [list(study) for _, study in itertools.groupby(self.series, key=_study_of)]


def find_series(path: Path) -> Found:
    """Find the MR series of a folder (recursively), zip or file.

    Raises
    ------
    InputError
        There is no MR image, or the zip cannot be read.
    """
    found = group_series(files_in(path), mr_only=True)
    if not found.series and not found.problems:
        raise InputError(f"{path}: expected DICOM MR images; found none")
    return found


def group_series(files: Iterable[DicomFile], *, mr_only: bool = False) -> Found:
    """Group files into series, by study and number."""
    groups: dict[tuple[str, ...], list[tuple[DicomFile, Dataset]]] = {}
    problems: list[InputError] = []
    damaged: set[Path] = set()
    for file in files:
        try:
            header = file.read(stop_before_pixels=True, specific_tags=_TAGS)
        except InputError as problem:
            problems.append(problem)
            damaged.add(file.origin)
            continue
        if not mr_only or _is_mr(header):
            groups.setdefault(_group_of(file, header), []).append((file, header))
    found = []
    for members in groups.values():
        try:
            found.append(_describe(members, damaged))
        except InputError as problem:
            problems.append(problem)
    return Found(tuple(sorted(found, key=_place_in_list)), tuple(problems))


def find_studies(path: Path) -> Found:
    """Find the series of a folder or zip of studies: as `find_series`, but a folder of several patients is a problem.

    Raises
    ------
    InputError
        As for `find_series`.
    """
    found = find_series(path)
    patients: dict[Path, set[str]] = {}
    for series in found.series:
        for file in series.files:
            patients.setdefault(file.origin, set()).add(series.patient)
    mixed = {folder: len(known) for folder, known in patients.items() if len(known) > 1}
    problems = [InputError(f"{folder}: expected one patient; found {n}; give each patient a folder") for folder, n in mixed.items()]
    sound = tuple(series for series in found.series if not any(file.origin in mixed for file in series.files))
    return Found(sound, (*found.problems, *problems))


def choose(found: Sequence[Series], wanted: str | None, name: str) -> list[Series]:
    """Pick what to segment: the wanted series, the only usable one, or every sagittal T2.

    Parameters
    ----------
    found : sequence of Series
    wanted : str or None
        Series number or SeriesInstanceUID.
    name : str
        File or folder, for messages.

    Raises
    ------
    InputError
        Nothing qualifies; the message lists the series.
    """
    if wanted is not None:
        matching = [series for series in found if wanted in (str(series.number), series.uid)]
        if not matching:
            raise InputError(f"{name}: expected a series {wanted}; found {listing(found)}")
        return matching
    usable = [series for series in found if series.obstacle is None]
    if not usable:
        raise InputError(f"{name}: expected a series of parallel MR slices; found {listing(found)}")
    sagittal_t2 = [series for series in usable if series.plane == "sagittal" and series.weighting == "T2"]
    if len(usable) > 1 and not sagittal_t2:
        raise InputError(f"{name}: expected one series or a sagittal T2; found {listing(found)}; {_how_to_choose(found)}")
    return usable if len(usable) == 1 else sagittal_t2


def choose_one(path: Path, wanted: str | None) -> Series:
    """Pick the one series of a folder, zip or file that is to be segmented.

    Raises
    ------
    InputError
        As for `find_series` and `choose`, or a part cannot be used, or there are several patients or series.
    """
    found = find_series(path)
    if found.problems and (wanted is None or not any(wanted in (str(series.number), series.uid) for series in found.series)):
        raise found.problems[0]
    patients = len({series.patient for series in found.series})
    if patients > 1 and wanted is None:
        raise InputError(f"{path}: expected one patient; found {patients}; give one patient's folder")
    chosen = choose(found.series, wanted, str(path))
    if len(chosen) > 1:
        raise InputError(f"{path}: expected one series; found {listing(chosen)}; {_how_to_choose(chosen)}")
    return chosen[0]


def listing(found: Sequence[Series]) -> str:
    """Describe series in one line, with their UIDs where numbers do not tell them apart."""
    return "; ".join(f"{series}, UID {series.uid}" if _needs_uid(series, found) else str(series) for series in found) or "none"


def _needs_uid(series: Series, found: Sequence[Series]) -> bool:
    return bool(series.uid) and (series.number is None or [other.number for other in found].count(series.number) > 1)


def _how_to_choose(found: Sequence[Series]) -> str:
    if any(not series.uid for series in found):
        return "give the folder of one series"
    return f"choose with --series {'UID' if any(_needs_uid(series, found) for series in found) else 'NUMBER'}"


def end_of_uid(uid: str) -> str:
    """The end of a UID as a part of a file name: what is in a header need not be a UID.

    >>> end_of_uid("1.2.840.113619.2"), end_of_uid("1.2/../../x")
    ('113619.2', '_.._.._x')
    """
    return re.sub(r"[^0-9A-Za-z.]", "_", uid[-8:])


def _number_of(header: Dataset) -> int | None:
    number = whole(header, "SeriesNumber", -1)
    return None if number < 0 else number


def _is_mr(header: Dataset) -> bool:
    """Tell MR images by their class; where an anonymiser took that away, by modality and the attributes that place an image."""
    known = _class_of(header)
    if known:
        return known in MR_CLASSES
    placed = all(attribute(header, keyword) for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"))
    return placed and str(attribute(header, "Modality", "MR")).strip() == "MR"


def _class_of(header: Dataset) -> str:
    meta = getattr(header, "file_meta", None) or Dataset()
    return str(attribute(header, "SOPClassUID") or attribute(meta, "MediaStorageSOPClassUID") or "")


def _group_of(file: DicomFile, header: Dataset) -> tuple[str, ...]:
    """What the files of one series share: its UID, or where that is missing folder and number."""
    uid = str(attribute(header, "SeriesInstanceUID", ""))
    return (uid,) if uid else ("", str(file.origin), str(attribute(header, "SeriesNumber", "")))


def _study_of(series: Series) -> tuple[str, ...]:
    return (series.study_uid,) if series.study_uid else ("", str(series.origin))


def _place_in_list(series: Series) -> tuple[object, ...]:
    return (*_study_of(series), series.number is None, series.number or 0, series.uid)


def _describe(members: Sequence[tuple[DicomFile, Dataset]], damaged: Collection[Path]) -> Series:
    headers = [header for _, header in members]
    first, name = headers[0], members[0][0].name
    if any(file.origin in damaged for file, _ in members):
        raise InputError(
            f"{members[0][0].origin}: expected whole files; one is damaged, and nobody can tell of which series; "
            "export it again, or take it out of the folder"
        )
    patients = {_patient(header) for header in headers}
    if len(patients) > 1:
        raise InputError(f"{name}: expected one patient in a series; found {len(patients)}; separate the files")
    return Series(
        uid=str(attribute(first, "SeriesInstanceUID", "")),
        study_uid=str(attribute(first, "StudyInstanceUID", "")),
        number=_number_of(first),
        patient=patients.pop(),
        plane=_plane(headers),
        weighting="T2" if _is_t2(first) else "other",
        slices=sum(whole(header, "NumberOfFrames", 1) for header in headers),
        size=(whole(first, "Columns", 0), whole(first, "Rows", 0)),
        localiser=any("LOCALIZER" in str(attribute(header, "ImageType", "")) for header in headers),
        files=tuple(file for file, _ in members),
        assumed=() if all(map(_class_of, headers)) else ("SOPClassUID is absent, and they are taken for MR images",),
        frame=str(attribute(first, "FrameOfReferenceUID", "")),
    )


def _patient(header: Dataset) -> str:
    return str(attribute(header, "PatientID") or attribute(header, "PatientName") or "").strip().casefold()


def _orientations(header: Dataset) -> Iterator[Any]:
    frames = attribute(header, "PerFrameFunctionalGroupsSequence")
    frames = frames if isinstance(frames, Sequence) else ()
    for frame in range(len(frames) or 1):
        group = functional_group(header, frame, "PlaneOrientationSequence") if frames else header
        value = attribute(group, "ImageOrientationPatient") if group is not None else None
        with contextlib.suppress(*DAMAGED):
            yield np.asarray(value, dtype=float).reshape(6)


def _plane(headers: Iterable[Dataset]) -> str:
    """The anatomical plane by the slices' normal."""
    try:
        normals = np.array([np.cross(o[:3], o[3:]) for header in headers for o in _orientations(header)])
    except DAMAGED:
        return "unknown"
    if not len(normals) or not np.isfinite(normals).all():
        return "unknown"
    if (np.abs(normals @ normals[0]) < np.cos(np.deg2rad(_MIXED_DEG))).any():
        return "mixed"
    return ("sagittal", "coronal", "axial")[int(np.abs(normals[0]).argmax())]


def _is_t2(header: Dataset) -> bool:
    """T2-weighted by echo time; by the series' own name only where no echo time is given."""
    if "IR" in str(attribute(header, "ScanningSequence", "")) or attribute(header, "InversionTime"):
        return False
    group = functional_group(header, 0, "MREchoSequence")
    echo = attribute(group, "EffectiveEchoTime") if group is not None else attribute(header, "EchoTime")
    with contextlib.suppress(*DAMAGED):
        return float(echo) >= T2_ECHO_MS
    return any("t2" in str(attribute(header, keyword, "")).lower() for keyword in ("SeriesDescription", "ProtocolName"))
