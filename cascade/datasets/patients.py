"""Data sets with a folder a patient and a mask a structure: which folder is a patient, which file the image, which a mask of what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cascade.datasets.base import Options, RawCase, case_name
from cascade.datasets.masks import MaskFile
from cascade.datasets.names import IGNORE, IMAGE, NameParts, matches_sequence, parse_name
from cascade.datasets.problems import Problem
from cascade.datasets.reading import ScanFile, folders_with_scans, list_scans

#: Folders of these names (or of a sequence's or structure's name) are parts of a patient.
_PARTS = {"vertebrae", "muscle", "discs", "image", "images", "scan", "scans", "nifti", "nii", "dicom", "dcm", "mr", "mri", "data", "raw"}
_SKIPPED_FOLDERS = {"muscle"}


@dataclass(frozen=True)
class _File:
    scan: ScanFile
    parts: NameParts
    structure: str | None

    @property
    def is_mask(self) -> bool:
        return self.structure not in (None, IMAGE) or (self.parts.is_mask and self.structure != IMAGE)


def find_patients(source: Path, options: Options, *, dataset: str, sequence: str, expected: tuple[str, ...]) -> Iterator[RawCase | Problem]:
    """List one case a patient, with the image of the wanted sequence and the masks that go with it.

    Parameters
    ----------
    source : Path
    options : Options
        Its mapping may say what a file is.
    dataset : str
        Put before patient names.
    sequence : str
        Wanted; ``"all"`` gives a case for each image that has masks of its own sequence or of none.
    expected : tuple of str
        Structures whose masks must be there; a missing one is a problem.
    """
    groups: dict[str, list[_File]] = {}
    for folder in folders_with_scans(source):
        for scan in list_scans(folder):
            owner = _owner(scan, source)
            if owner is None:
                yield Problem(scan.path.name, "unused-file", f"{scan.path}: its folder holds other organs")
                continue
            described = _describe(scan, source, options)
            if described.structure != IGNORE:
                groups.setdefault(owner, []).append(described)
    for owner, files in groups.items():
        yield from _cases(owner, files, dataset=dataset, sequence=sequence, expected=expected)


def _cases(owner: str, files: list[_File], *, dataset: str, sequence: str, expected: tuple[str, ...]) -> Iterator[RawCase | Problem]:
    masks = [f for f in files if f.is_mask and f.structure]
    images = [f for f in files if not f.is_mask]
    yield from (
        Problem(owner, "unused-file", f"{f.scan.path}: no structure known by this name") for f in files if f.is_mask and not f.structure
    )
    chosen, problems = _images(owner, images, sequence)
    if not chosen:
        found = ", ".join(f.scan.name for f in images) or "no image"
        yield Problem(owner, "no-image", f"expected an image of sequence {sequence!r}; found {found}; choose another --sequence")
        return
    if not masks:
        yield Problem(
            owner, "no-labels", f"{chosen[0].scan.folder}: expected masks of single structures; found none; name them in a --mapping file"
        )
        return
    for image in chosen:
        several = len(chosen) > 1
        name = case_name(f"{owner}_{'_'.join(image.parts.sequences)}" if several and image.parts.sequences else owner)
        selected = _masks_for(image, masks)
        missing = [s for s in expected if s not in {m.structure for m in selected}]
        notes = [Problem(name, "mask-missing", f"no mask of {s}") for s in missing]
        patient = f"{dataset}-{case_name(owner)}"
        own = " ".join(image.parts.sequences)
        yield RawCase(name, patient, own, image.scan, None, tuple(selected), (*(_renamed(p, name) for p in problems), *notes))


def _images(owner: str, images: list[_File], sequence: str) -> tuple[list[_File], list[Problem]]:
    """The images to prepare: all, or the best of the wanted sequence."""
    if sequence == "all":
        return images, []
    fit = sorted((f for f in images if matches_sequence(f.parts, sequence)), key=_plainness)
    if len(fit) > 1:
        others = ", ".join(f.scan.name for f in fit[1:])
        return fit[:1], [Problem(owner, "several-images", f"{fit[0].scan.name} was taken, not {others}")]
    if not fit and len(images) == 1 and not images[0].parts.sequences:
        return images, [Problem(owner, "sequence-assumed", f"{images[0].scan.name}: taken for {sequence}")]
    return fit, []


def _plainness(file: _File) -> tuple[bool, int, ScanFile]:
    """Sagittal ones first, then those with the fewest words about their sequence, then by name."""
    return "sag" not in file.scan.name.lower(), len(file.parts.sequences), file.scan


def _masks_for(image: _File, masks: Iterable[_File]) -> list[MaskFile]:
    """Of every structure the mask nearest to the image: of the same sequence or of none, in the same folder rather than another."""
    best: dict[str, tuple[tuple[bool, bool, ScanFile], _File]] = {}
    for mask in masks:
        words = set(mask.parts.sequences) or set(parse_name(mask.scan.folder.name).sequences)
        if words and image.parts.sequences and not words & set(image.parts.sequences):
            continue
        key = (mask.scan.folder != image.scan.folder, not words, mask.scan)
        structure = mask.structure or ""
        if structure not in best or key < best[structure][0]:
            best[structure] = (key, mask)
    return [MaskFile(mask.scan, structure) for structure, (_, mask) in sorted(best.items())]


def _describe(scan: ScanFile, source: Path, options: Options) -> _File:
    """What a file's name says, its folders' names where it says nothing, the mapping before both."""
    parts = parse_name(scan.name)
    folder = parse_name(scan.folder.name) if scan.folder != source else NameParts("", None, (), False)
    told = options.mapping.structure_of(scan.path.relative_to(source), scan.name)
    structure = told or parts.structure or (folder.structure if parts.sequences == () else None)
    sequences = parts.sequences or (folder.sequences if scan.folder != source else ())
    inside_masks = folder.is_mask and folder.structure is None and not parts.sequences and _all_masks(scan.folder)
    return _File(scan, NameParts(parts.owner, parts.structure, sequences, parts.is_mask or inside_masks), structure)


def _all_masks(folder: Path) -> bool:
    """A folder called masks holds nothing else."""
    return "image" not in folder.name.lower()


def _owner(scan: ScanFile, source: Path) -> str | None:
    """The patient: the nearest folder that is not a part of one, else what the file's name starts with; None for other organs."""
    folders = scan.folder.relative_to(source).parts
    if any(folder.lower() in _SKIPPED_FOLDERS for folder in folders):
        return None
    for folder in reversed(folders):
        parts = parse_name(folder)
        if folder.lower() not in _PARTS and not (parts.owner == "" and (parts.sequences or parts.is_mask)):
            return folder
    return parse_name(scan.name).owner or case_name(source.resolve().name)


def _renamed(problem: Problem, case: str) -> Problem:
    return Problem(case, problem.code, problem.text)
