"""Which prediction belongs to which reference."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np

from cascade.errors import InputError
from cascade.io.cases import Case, list_cases, read_known_labels
from cascade.io.folders import walk
from cascade.io.formats import NIFTI, find_suffix
from cascade.io.nifti import noted_scheme
from cascade.labels import CASCADE, VERSE, LabelScheme, get_scheme
from cascade.volume import LabelMap, label_dtype

#: Endings that tell labels from the scan they belong to; they do not count when names are compared.
_OF_LABELS = ("_labels", "_levels", "_dseg", "_seg", "_mask")
_OF_SCANS = ("_image",)


@dataclass(frozen=True)
class Pair:
    """A reference and its prediction.

    Parameters
    ----------
    case : Case
        The reference; its image need not exist.
    prediction : Path or None
        None if there is none.
    scheme : LabelScheme
        Of the prediction.
    problem : str
        Why there is no prediction.
    """

    case: Case
    prediction: Path | None
    scheme: LabelScheme
    problem: str = ""

    @property
    def name(self) -> str:
        """Data set and case."""
        return f"{self.case.dataset}/{self.case.name}"

    def load_prediction(self) -> tuple[LabelMap, tuple[int, ...]]:
        """Read the prediction; the second value are the label values that its scheme does not know and that were left out.

        Raises
        ------
        InputError
            There is no prediction, or the file cannot be used.
        """
        if self.prediction is None:
            raise InputError(self.problem)
        return read_known_labels(self.prediction, self.scheme)

    @property
    def file(self) -> Path:
        """The prediction; the reference where there is none."""
        return self.prediction or self.case.labels

    def empty_prediction(self, reference: LabelMap) -> LabelMap:
        """Return what a prediction that cannot be used counts as: nothing, on the grid of the reference."""
        return LabelMap(np.zeros(reference.grid.shape, dtype=label_dtype(self.scheme)), reference.grid, self.scheme)


def pair_up(
    predictions: Path,
    references: Path,
    *,
    prediction_scheme: str | None = None,
    reference_scheme: str | None = None,
    split: str | None = None,
) -> list[Pair]:
    """Pair two files, two folders, or a folder with a table of cases.

    In folders a prediction belongs to the reference with the same relative path; else to the one whose ``<dataset>_<case>`` is its
    name; else to the one with the same file name, if no other reference has it. Endings such as ``_labels``, ``_levels`` and
    ``_image`` do not count.

    Parameters
    ----------
    predictions : Path
        Label file or folder, searched recursively.
    references : Path
        Label file, folder, table of cases or the folder that holds ``cases.tsv`` (`cascade.io.cases.list_cases`).
    prediction_scheme, reference_scheme : str, optional
        Names of label schemes. By default what `cascade` noted in the file; else, for a prediction, what it noted in the others,
        or ``"cascade"``, and for a reference what the table says, or ``"verse"``.
    split : str, optional
        Use only the cases of this split, and those without one.

    Returns
    -------
    list of Pair
        One for each reference, in their order; without a prediction where none fits, or more than one.

    Raises
    ------
    InputError
        A path does not exist, a file is to be paired with a folder, or nothing fits.
    SchemeError
        There is no scheme of this name.
    """
    for path in (predictions, references):
        if not path.exists():
            raise InputError(f"{path}: expected label files; there is no such file or folder")
    if predictions.is_file() != _is_nifti(references):
        raise InputError(f"{predictions} and {references}: expected two label files, or a folder and a folder or table; found one of each")
    if predictions.is_file():
        cases = [_case_of_file(references, Path(references.name), reference_scheme)]
        found = {cases[0]: [predictions]}
    else:
        cases = _reference_cases(references, split, reference_scheme)
        found = _matches(predictions, {case: _relative(case.labels, references) for case in cases})
    scheme = _scheme_of([path for paths in found.values() for path in paths], prediction_scheme, CASCADE)
    return [_pair(_with_scheme(case, reference_scheme), found[case], prediction_scheme, scheme) for case in cases]


def stem(path: PurePath) -> str:
    """File name without ``.nii.gz`` and without the endings that tell labels from their scan.

    >>> stem(PurePath("a/02_image.nii.gz")), stem(PurePath("spider_118_levels.nii"))
    ('02', 'spider_118')
    """
    name = _bare(path)
    while role := next((role for role in _OF_LABELS + _OF_SCANS if name.lower().endswith(role) and len(name) > len(role)), ""):
        name = name[: -len(role)]
    return name


def _bare(path: PurePath) -> str:
    return path.name[: len(path.name) - len(find_suffix(path.name, NIFTI.suffixes))]


def _is_nifti(path: Path) -> bool:
    return path.is_file() and bool(find_suffix(path.name, NIFTI.suffixes))


def _relative(labels: Path, references: Path) -> Path:
    return labels.relative_to(references if references.is_dir() else references.parent)


def _reference_cases(references: Path, split: str | None, scheme: str | None) -> list[Case]:
    if references.is_file() or (references / "cases.tsv").is_file():
        return list_cases(references, split, scheme or VERSE.name)
    files = [path for path in _label_files(references) if not _bare(path).lower().endswith(_OF_SCANS)]
    if not files:
        raise InputError(f"{references}: expected label files; found only scans (names that end in _image)")
    return [_case_of_file(path, path.relative_to(references), scheme) for path in files]


def _case_of_file(labels: Path, relative: Path, scheme: str | None) -> Case:
    """The case of a label file without a table: its folder is the data set, and it is a patient of its own."""
    name = stem(labels)
    beside = [labels.with_name(f"{name}{role}{suffix}") for role in (*_OF_SCANS, "") for suffix in NIFTI.suffixes]
    image = next((path for path in beside if path != labels and path.is_file()), beside[0])
    patient = relative.with_name(name).as_posix()
    return Case(labels.resolve().parent.name, name, patient, "", image, labels, get_scheme(scheme or VERSE))


def _label_files(folder: Path) -> list[Path]:
    """Label files of a folder. Of those that differ only in their endings, the ones that are not called labels are scans."""
    groups: dict[Path, list[Path]] = defaultdict(list)
    for path in walk(folder):
        if _is_nifti(path) and not path.name.startswith("."):
            groups[path.with_name(stem(path))].append(path)
    if not groups:
        raise InputError(f"{folder}: expected label files (.nii, .nii.gz) in this folder; found none")
    return [path for group in groups.values() for path in [p for p in group if _bare(p).lower().endswith(_OF_LABELS)] or group]


def _matches(predictions: Path, references: Mapping[Case, Path]) -> dict[Case, list[Path]]:
    """The predictions that fit each case best."""
    by_path, by_name = defaultdict(list), defaultdict(list)
    for path in _label_files(predictions):
        by_path[path.relative_to(predictions).with_name(stem(path))].append(path)
        by_name[stem(path)].append(path)
    names = [stem(path) for path in references.values()]
    matches = {}
    for case, relative in references.items():
        name = stem(relative)
        lone = by_name[name] if names.count(name) == 1 else []
        matches[case] = by_path[relative.with_name(name)] or by_name[f"{case.dataset}_{case.name}"] or lone
    if not any(matches.values()):
        case = next(iter(references))
        raise InputError(
            f"{predictions}: expected predictions named as their references, for example {case.dataset}/{case.name}.nii.gz or "
            f"{case.dataset}_{case.name}.nii.gz; found none that fits; rename them"
        )
    return matches


def _scheme_of(paths: Sequence[Path], wanted: str | None, default: LabelScheme) -> LabelScheme:
    """The scheme asked for; else the first that is noted in a file; else the default."""
    if wanted is not None:
        return get_scheme(wanted)
    for path in paths:
        try:
            noted = noted_scheme(path)
        except InputError:  # reported when the labels are read
            continue
        if noted is not None:
            return noted
    return default


def _with_scheme(case: Case, wanted: str | None) -> Case:
    return case if wanted is not None else dataclasses.replace(case, scheme=_scheme_of([case.labels], None, case.scheme))


def _pair(case: Case, found: Sequence[Path], wanted: str | None, usual: LabelScheme) -> Pair:
    if len(found) == 1:
        return Pair(case, found[0], _scheme_of(found, wanted, usual))
    several = f"{', '.join(str(path) for path in found)}; keep one" if found else "none; it is scored as empty"
    return Pair(case, None, usual, f"{case.labels}: expected one prediction; found {several}")
