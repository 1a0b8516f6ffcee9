"""Labelled cases, to train on or to measure against: a table, or a folder of ``<case>_image`` / ``<case>_labels`` pairs."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from cascade.errors import InputError
from cascade.io.folders import walk
from cascade.io.formats import NIFTI
from cascade.io.nifti import read_image, read_label_array, write_labels, write_volume
from cascade.labels import CASCADE_EXTENDED, LabelScheme, get_scheme
from cascade.volume import LabelMap, Volume, label_dtype

#: Voxel centres of an image and its labels, or of two label maps, may lie this far apart (rounding of stored affines).
GRID_TOLERANCE_MM = 0.01
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Case:
    """One labelled scan.

    Parameters
    ----------
    dataset, name, patient, split : str
    image, labels : Path
        There may be no labels where there are points.
    scheme : LabelScheme
    points : Path, optional
        Named points, as an image or a table (see `cascade.points`).
    """

    dataset: str
    name: str
    patient: str
    split: str
    image: Path
    labels: Path
    scheme: LabelScheme
    points: Path | None = None

    @property
    def has_labels(self) -> bool:
        """Whether voxels are labelled; else only points are known."""
        return self.points is None or self.labels.is_file()

    def load(self) -> tuple[Volume, LabelMap]:
        """Read the scan and its labels; none are all background where only points are known.

        Raises
        ------
        InputError
            A file cannot be used, or the two are not on the same grid.
        """
        volume, _ = read_image(self.image)
        if not self.has_labels:
            return volume, LabelMap(np.zeros(volume.grid.shape, label_dtype(self.scheme)), volume.grid, self.scheme)
        labels = self.load_labels()
        if not labels.grid.matches(volume.grid, tol_mm=GRID_TOLERANCE_MM):
            raise InputError(f"{self.labels}: expected the grid of {self.image.name}; shape or affine differ")
        return volume, labels

    def load_labels(self) -> LabelMap:
        """Read the labels alone; values that the scheme does not know count as unlabelled."""
        return read_known_labels(self.labels, self.scheme)[0]


def write_case(scan: Volume, labels: LabelMap, folder: Path, name: str) -> Case:
    """Keep a corrected scan as a training case: ``<name>_image.nii.gz`` and ``<name>_labels.nii.gz``, as `list_cases` finds them.

    Labels are written in the scheme ``cascade-extended``, which ``cascade-prepare folder`` expects and ``cascade-train`` is told with
    ``--scheme``; structures that it has no number for are left out.

    Raises
    ------
    InputError
        Scan and labels are not on the same grid.
    OutputError
        `folder` cannot be written.
    """
    if not labels.grid.matches(scan.grid, tol_mm=GRID_TOLERANCE_MM):
        raise InputError(f"{name}: expected labels on the grid of their scan; shape or affine differ")
    kept = labels.to_scheme(CASCADE_EXTENDED, lost="drop")
    image_path, labels_path = folder / f"{name}_image.nii.gz", folder / f"{name}_labels.nii.gz"
    write_volume(scan, image_path)
    write_labels(LabelMap(kept.data, scan.grid, kept.scheme), labels_path)
    return Case(folder.name, name, name, "", image_path, labels_path, kept.scheme)


def read_known_labels(path: Path, scheme: LabelScheme) -> tuple[LabelMap, tuple[int, ...]]:
    """Read a label file; values that `scheme` does not know become background.

    Returns
    -------
    labels : LabelMap
    unknown : tuple of int
        The values that were left out.

    Raises
    ------
    InputError
        The file cannot be read as labels.
    """
    values, grid = read_label_array(path)
    present = np.flatnonzero(np.bincount(values.ravel()))
    unknown = np.setdiff1d(present, [0, *scheme.ids.values()])
    data = np.where(np.isin(values, unknown), 0, values).astype(label_dtype(scheme))
    return LabelMap(data, grid, scheme), tuple(int(value) for value in unknown)


def read_cases(source: Path, split: str | None = None, scheme: str = "verse") -> list[Case]:
    """List cases as `list_cases` does, and make sure that every file is there.

    Raises
    ------
    InputError
        As for `list_cases`, or a file that the table names is missing.
    """
    cases = list_cases(source, split, scheme)
    for case in cases:
        for path in (case.image, case.labels) if case.has_labels else (case.image,):
            if not path.is_file():
                raise InputError(f"{path}: expected this file for case {case.name!r} of {source}; there is none")
    return cases


def list_cases(source: Path, split: str | None = None, scheme: str = "verse") -> list[Case]:
    """List the cases of a table (``cases.tsv`` or the folder that holds it), or of a plain folder of pairs.

    Parameters
    ----------
    source : Path
        A table with the column ``case`` and, if present, ``dataset`` (else the folder's name), ``patient``, ``split`` and ``scheme``;
        the files are ``<dataset>/<case>_image.nii.gz`` and ``_labels.nii.gz`` beside it, or the same without the data set's folder.
        ``<case>_points.nii.gz`` or ``.tsv`` holds named points, beside labels or instead of them. A row that has neither, of a
        table in which others have points, is left out.
    split : str, optional
        Keep only this split. A case without a split belongs to every one.
    scheme : str
        Label scheme of tables and folders that do not name one.

    Raises
    ------
    InputError
        There is no table and no pair, or no case of this split.
    """
    table = source / "cases.tsv" if source.is_dir() else source
    if table.is_file():
        cases = [_case_of_row(row, table, scheme) for row in _rows(table)]
    else:
        cases = [_case_of_image(image, scheme) for image in walk(source) if fnmatch(image.name, "*_image.nii*")]
    if any(case.points for case in cases):
        cases = [case for case in cases if case.points or case.labels.is_file()]
    cases = [case for case in cases if split in (None, case.split) or not case.split]
    if not cases:
        wanted = f" of split {split!r}" if split else ""
        raise InputError(f"{source}: expected cases.tsv or pairs <case>_image.nii.gz + <case>_labels.nii.gz{wanted}; found none")
    return cases


def _rows(table: Path) -> list[dict[str, str]]:
    try:
        with table.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream, delimiter="\t", restval=""))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table}: expected tab-separated text in UTF-8; it cannot be read ({error}); save it again") from error
    if rows and "case" not in rows[0]:
        raise InputError(f"{table}: expected tab-separated columns 'case' and perhaps 'dataset'; found {', '.join(map(str, rows[0]))}")
    for number, row in enumerate(rows, start=1):
        row.setdefault("dataset", table.resolve().parent.name)
        if not row["case"] or not (_is_below(row["case"]) and _is_below(row["dataset"])):
            raise InputError(f"{table}: expected names of a data set and a case below the table's folder in row {number}; found others")
    return rows


def _is_below(name: str) -> bool:
    """Tell whether a name, put behind a folder, stays in it, and can be a file's."""
    path = PurePosixPath(name.replace("\\", "/"))
    return not (
        path.is_absolute() or PureWindowsPath(name).drive or ".." in path.parts or "\0" in name or len(name.encode()) > _LONGEST_NAME
    )


def _case_of_row(row: dict[str, str], table: Path, scheme: str) -> Case:
    dataset, name = row["dataset"], row["case"]
    folder = table.parent / dataset if (table.parent / dataset).is_dir() else table.parent
    return Case(
        dataset,
        name,
        row.get("patient") or f"{dataset}-{name}",
        row.get("split") or "",
        _existing(folder, f"{name}_image"),
        _existing(folder, f"{name}_labels"),
        get_scheme(row.get("scheme") or scheme),
        _points(folder, name),
    )


def _case_of_image(image: Path, scheme: str) -> Case:
    name = image.name.split("_image.nii")[0]
    labels = _existing(image.parent, f"{name}_labels")
    return Case(image.parent.name, name, name, "", image, labels, get_scheme(scheme), _points(image.parent, name))


def _points(folder: Path, name: str) -> Path | None:
    candidates = [folder / f"{name}_points{suffix}" for suffix in (*NIFTI.suffixes, ".tsv")]
    return next((path for path in candidates if path.is_file()), None)


def _existing(folder: Path, stem: str) -> Path:
    candidates = [folder / f"{stem}{suffix}" for suffix in NIFTI.suffixes]
    return next((path for path in candidates if path.is_file()), candidates[0])
