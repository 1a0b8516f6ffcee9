"""The scans of a review: where each lies, what was made of it before, and under which name."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cascade.cohorts.job import MANIFEST, Job
from cascade.cohorts.manifest import digest_of
from cascade.errors import InputError
from cascade.io.files import replacing
from cascade.io.formats import find_suffix, output_format
from cascade.labels import CASCADE, LabelScheme, get_scheme
from cascade.notices import Notice


@dataclass(frozen=True)
class Item:
    """One scan.

    Parameters
    ----------
    id : str
        In addresses; says nothing about the scan.
    name : str
        Path below the output folder, without suffix.
    image : Path
        File, or folder of a DICOM series.
    series : str or None
    suffix : str
        Format of the labels.
    scheme : LabelScheme
        Of the labels that are kept.
    earlier : Path or None
        Labels of an earlier run.
    input_sha256 : str or None
        What the scan was when they were made.
    warnings : tuple of Notice
        Of the earlier run.
    made_with : mapping
        Version, weights and options of the earlier run.
    """

    id: str
    name: str
    image: Path
    series: str | None
    suffix: str
    scheme: LabelScheme = CASCADE
    earlier: Path | None = None
    input_sha256: str | None = None
    warnings: tuple[Notice, ...] = ()
    made_with: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def title(self) -> str:
        """For people: the path without what is above the folder of scans."""
        return self.name

    def problem(self) -> str | None:
        """What has become of the scan of an earlier run, if it is not what it was."""
        if not self.image.exists():
            return "the scan is not where it was when it was segmented; put it back, or name its new place"
        if self.input_sha256 is not None and digest_of(self.image) != self.input_sha256:
            return "the scan has changed since it was segmented; its labels may not fit; run cascade-segment again"
        return None


def items_of_jobs(jobs: Iterable[Job], folder: Path, scheme: str | LabelScheme) -> list[Item]:
    """Scans to be segmented here; `folder` is what the outputs of the jobs are relative to."""
    items = []
    for number, job in enumerate(jobs, start=1):
        suffix = _suffix_of(job.output)
        name = job.output.relative_to(folder).as_posix()[: -len(suffix)]
        items.append(Item(f"s{number}", name, job.image, job.series, suffix, get_scheme(scheme)))
    return items


def _suffix_of(output: Path) -> str:
    return find_suffix(output.name, output_format(output).outputs)


def is_run(folder: Path) -> bool:
    """Tell whether a folder is the output of an earlier ``cascade-segment``."""
    return (folder / MANIFEST).is_file()


def items_of_run(folder: Path) -> list[Item]:
    """What an earlier ``cascade-segment`` has segmented.

    Raises
    ------
    InputError
        The manifest names no scan that was segmented.
    """
    last: dict[str, dict[str, Any]] = {}
    for text in (folder / MANIFEST).read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
            last[str(line["output"])] = line
        except (ValueError, KeyError, TypeError):
            continue  # a line that a kill has cut short
    done = [line for line in last.values() if line.get("state") == "done" and _below(folder, str(line["output"]))]
    if not done:
        raise InputError(f"{folder / MANIFEST}: expected scans that were segmented; found none; run cascade-segment again")
    return [_item_of_line(number, line, folder) for number, line in enumerate(done, start=1)]


def _item_of_line(number: int, line: dict[str, Any], folder: Path) -> Item:
    try:
        suffix = _suffix_of(Path(line["output"]))
        image = Path(line["input"])
        return Item(
            id=f"s{number}",
            name=str(line["output"])[: -len(suffix)],
            image=image if image.is_absolute() else _found(image, folder),
            series=None if line.get("series") is None else str(line["series"]),
            suffix=suffix,
            scheme=get_scheme(line.get("options", {}).get("scheme", CASCADE.name)),
            earlier=folder / line["output"],
            input_sha256=line.get("input_sha256"),
            warnings=tuple(Notice(**notice) for notice in line.get("warnings", ())),
            made_with={name: line.get(name) for name in ("version", "checkpoint_sha256", "options")},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder / MANIFEST}: expected a manifest of this version ({error}); run cascade-segment again") from error


def _found(image: Path, folder: Path) -> Path:
    """A relative path as it was given to the run: from the working folder, or from one of those above the run's output."""
    candidates = [image, *(parent / image for parent in folder.resolve().parents)]
    return next((path for path in candidates if path.exists()), image)


def _below(folder: Path, output: str) -> bool:
    root = folder.resolve()
    return root in (root / output).resolve().parents


def write_json(content: Any, path: Path) -> None:
    """Write JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def unique(name: str, taken: Sequence[str]) -> str:
    """`name`, with a number behind it if it is taken.

    >>> unique("t2", ["t2", "t2-2"])
    't2-3'
    """
    number, result = 1, name
    while result in taken:
        number += 1
        result = f"{name}-{number}"
    return result
