"""The scans of a folder as MONAI's list of dictionaries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cascade.errors import InputError
from cascade.io.cases import read_cases
from cascade.io.formats import find_scans, stem


def list_scans(dataset_dir: str | Path, output_dir: str | Path) -> list[dict[str, Any]]:
    """List the scan files of a folder, searched recursively; labels and what is in `output_dir` are skipped.

    Returns
    -------
    list of dict
        ``image`` (Path) and ``name`` (str: relative path without suffix, after which outputs are named).

    Raises
    ------
    InputError
        There is none, or two would have the same output.
    """
    folder = Path(dataset_dir)
    items: dict[str, dict[str, Any]] = {}
    for image, kind in find_scans(folder, Path(output_dir)):
        if kind.is_dicom:
            continue
        item = _item(image, folder)
        other = items.setdefault(item["name"], item)
        if other is not item:
            raise InputError(f"{image}: expected a name of its own; found {other['image'].name} beside it; rename one")
    if not items:
        raise InputError(f"{folder}: expected scan files (NIfTI, NRRD, MetaImage); found none; for DICOM use cascade-segment")
    return list(items.values())


def list_labelled(dataset_dir: str | Path, split: str | None = None, scheme: str = "verse") -> list[dict[str, Any]]:
    """List the labelled cases of a folder or of its ``cases.tsv`` (`cascade.io.cases.read_cases`), with ``case`` in each item."""
    folder = Path(dataset_dir)
    return [_item(case.image, folder) | {"case": case} for case in read_cases(folder, split, scheme)]


def _item(image: Path, folder: Path) -> dict[str, Any]:
    relative = image.relative_to(folder)
    return {"image": image, "name": relative.with_name(stem(relative.name)).as_posix()}
