"""The files of a review: the automatic result, what it has become, and what is kept of it.

In the output folder::

    review.tsv               scan, state, who, when, note
    automatic/NAME.nii.gz    what the networks said, with NAME.json; written once, never changed
    labels/NAME.nii.gz       what a person accepted or changed, in the run's format, with .tsv, .html, .json and .clicks.json
    corrected/NAME_*.nii.gz  scan and labels of corrected scans, as ``cascade-train`` takes them
    state/                   what the page needs to go on where it stopped
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cascade.errors import InputError
from cascade.io.extras import extra
from cascade.io.files import replacing, together
from cascade.io.formats import NIFTI, read_labels_file
from cascade.io.nifti import noted_scheme, write_labels
from cascade.io.scan import read_scan
from cascade.labels import CANAL, VERSE, LabelScheme, get_scheme, rank
from cascade.notices import Notice
from cascade.postproc.clicks.click import clicks_to_json
from cascade.report.page import save_report, thumbnail_of
from cascade.review.edits import Edit
from cascade.review.items import Item, write_json
from cascade.review.records import Record
from cascade.segmentation import Level, NumberingResult, Segmentation
from cascade.stage1_spine.locate import Spine
from cascade.volume import Grid, LabelMap, Volume, box_between, label_dtype

#: The page shows every structure, whatever the scheme that is kept.
SHOWN = VERSE
_THUMBNAIL = (150, 260)


@dataclass(frozen=True)
class Files:
    """Where the files of one scan are.

    Parameters
    ----------
    folder : Path
        The output folder of the review.
    item : Item
    """

    folder: Path
    item: Item

    @property
    def automatic(self) -> Path:
        """Labels that the networks gave here."""
        return self.folder / "automatic" / f"{self.item.name}.nii.gz"

    @property
    def facts(self) -> Path:
        """What is known about them."""
        return self.folder / "automatic" / f"{self.item.name}.json"

    @property
    def labels(self) -> Path:
        """What is kept."""
        return self.folder / "labels" / f"{self.item.name}{self.item.suffix}"

    @property
    def thumbnail(self) -> Path:
        """A small picture."""
        return self.folder / "state" / f"{self.item.name}.jpg"

    def beside(self, suffix: str) -> Path:
        """Another file of what is kept."""
        return self.folder / "labels" / f"{self.item.name}{suffix}"

    def case(self, part: str) -> Path:
        """The training case of a corrected scan."""
        return self.folder / "corrected" / f"{self.item.name}_{part}.nii.gz"

    # ------------------------------------------------------------------------------------------ the automatic result

    def has_automatic(self) -> bool:
        """Whether there is something to look at without the networks."""
        return self.item.earlier is not None or (self.automatic.is_file() and self.facts.is_file())

    def write_automatic(self, result: Segmentation, input_sha256: str | None) -> None:
        """Keep what the networks said, unless it is there already."""
        if self.automatic.is_file() and self.facts.is_file():
            return
        with together():
            write_labels(result.labels, self.automatic)
            write_json(plain(result) | {"input_sha256": input_sha256}, self.facts)

    def known(self) -> dict[str, Any]:
        """The facts of the automatic result, without its voxels; empty where there are none."""
        try:
            content = json.loads(self.facts.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def read_automatic(self) -> Segmentation:
        """The automatic result from its files, without networks.

        Raises
        ------
        InputError
            Scan or labels cannot be read, or do not go together.
        """
        scan, source, _ = read_scan(self.item.image, self.item.series)
        path = self.item.earlier or self.automatic
        labels = _read_labels(path, self.item.scheme if self.item.earlier else SHOWN)
        labels = _on_grid(labels, scan.grid, path).to_scheme(SHOWN, lost="drop")
        facts = self.known() if self.item.earlier is None else {}
        levels = tuple(_levels(labels, {level["name"]: level for level in facts.get("levels", ())}))
        numbering = facts.get("numbering", {})
        warnings = self.item.warnings or tuple(Notice(**notice) for notice in facts.get("warnings", ()))
        return Segmentation(
            labels=labels,
            scan=scan,
            spine=_spine(labels, levels),
            levels=levels,
            numbering=NumberingResult(
                numbering.get("confidence", math.nan), tuple(numbering.get("second_best", ())), numbering.get("margin") or math.inf
            ),
            warnings=warnings,
            provenance=facts.get("provenance") or {"grid": _grid(labels), "seconds": {}, **self.item.made_with},
            _source=source,
        )

    # ------------------------------------------------------------------------------------------ what is kept

    def keep(self, result: Segmentation, shown: Segmentation, record: Record) -> None:
        """Write what is kept of a scan, all of it or nothing; remove what is not kept any more.

        Parameters
        ----------
        result : Segmentation
            In the scheme that is kept.
        shown : Segmentation
            With every structure.
        record : Record
        """
        edit = record.history.now
        if not edit and record.state in ("new", "rejected"):
            self.forget()
            return
        with together():
            result.save(self.labels)
            result.save_table(self.beside(".tsv"))
            save_report(result, self.beside(".html"), Path(self.item.name).name)
            write_json(self._facts(result, record), self.beside(".json"))
            write_json(clicks_to_json(edit.clicks), self.beside(".clicks.json"))
            if record.state == "corrected":
                shown.save_case(self.case("image").parent, Path(self.item.name).name)
        if record.state != "corrected":
            self._forget_case()

    def forget(self) -> None:
        """Remove what is kept: nothing is accepted, and nothing is changed."""
        for path in (self.labels, *(self.beside(suffix) for suffix in (".tsv", ".html", ".json", ".clicks.json"))):
            path.unlink(missing_ok=True)
        self._forget_case()

    def _forget_case(self) -> None:
        for part in ("image", "labels"):
            self.case(part).unlink(missing_ok=True)

    def _facts(self, result: Segmentation, record: Record) -> dict[str, Any]:
        edit = record.history.now
        source = self.item.earlier or self.automatic
        review = {"state": record.state, "who": record.who, "when": record.when, "note": record.note}
        came = {"from": source.name, "clicks": clicks_to_json(edit.clicks), "options": options_of(edit)}
        return {"input": self.item.image.name, "review": review | {"corrected": came if edit else None}} | plain(result)

    # ------------------------------------------------------------------------------------------ the small picture

    def write_thumbnail(self, result: Segmentation) -> None:
        """Draw the scan along the column, with its levels, small."""
        with replacing(self.thumbnail, ".jpg") as temporary:
            thumbnail_of(result, _THUMBNAIL).save(temporary, format="JPEG", quality=82)


def options_of(edit: Edit) -> list[str]:
    """The options of ``cascade-segment`` that repeat the numbering.

    >>> from cascade.postproc.naming import Numbering
    >>> options_of(Edit(numbering=Numbering(lowest="L4", count=5)))
    ['--lowest', 'L4', '--count', '5']
    """
    known = {"--lowest": edit.numbering.lowest, "--highest": edit.numbering.highest, "--count": edit.numbering.count}
    return [text for option, value in known.items() if value is not None for text in (option, str(value))]


def plain(result: Segmentation) -> dict[str, Any]:
    """A result as JSON takes it: numbers that are none become null."""
    content: dict[str, Any] = without_nan(result.to_dict())
    return content


def without_nan(value: Any) -> Any:
    """The same, with null for every number that is none."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: without_nan(one) for key, one in value.items()}
    return [without_nan(one) for one in value] if isinstance(value, list | tuple) else value


def _read_labels(path: Path, scheme: LabelScheme) -> LabelMap:
    if path.suffix == ".dcm":
        return _read_seg(path, scheme)
    values, grid = read_labels_file(path)
    if path.name.endswith(NIFTI.outputs):
        scheme = noted_scheme(path) or get_scheme(scheme)
    return LabelMap(values.astype(label_dtype(scheme)), grid, scheme)


def _read_seg(path: Path, scheme: LabelScheme) -> LabelMap:
    """A DICOM SEG, whose segments have numbers of their own: their labels say which structures they are."""
    with extra("dicom", str(path)):
        from cascade.io.dicom_seg import read_dicom_seg
    values, grid, names = read_dicom_seg(path)
    unknown = [name for name in names.values() if name not in scheme]
    if unknown:
        raise InputError(f"{path}: expected segments of the scheme {scheme.name}; found {unknown[0]!r}; segment the scan again")
    table = np.zeros(max(names, default=0) + 1, dtype=label_dtype(scheme))
    table[list(names)] = [scheme[name] for name in names.values()]
    return LabelMap(table[values], grid, scheme)


def _on_grid(labels: LabelMap, grid: Grid, path: Path) -> LabelMap:
    """The labels on the grid of their scan; a DICOM SEG holds only the slices with labels, and its axes run the other way."""
    part = labels.reoriented(grid.axcodes)
    first = np.rint(grid.to_voxels(part.grid.to_world((0, 0, 0)))).astype(int)
    box = box_between(first, first + part.grid.shape)
    inside = bool((first >= 0).all() and (first + part.grid.shape <= grid.shape).all())
    if not inside or not part.grid.matches(grid.cropped(box), tol_mm=0.01):
        raise InputError(f"{path}: expected the grid of its scan; shape or affine differ; segment the scan again")
    whole = np.zeros(grid.shape, dtype=labels.data.dtype)
    whole[box] = part.data
    return LabelMap(whole, grid, labels.scheme)


def _levels(labels: LabelMap, known: dict[str, Any]) -> list[Level]:
    result = []
    for name in sorted((name for name in labels.structures if name != CANAL), key=rank):
        voxels = np.argwhere(labels[name])
        x, y, z = (float(v) for v in labels.grid.to_world(voxels.mean(axis=0)))
        fact = known.get(name, {})
        confidence = fact.get("confidence")
        confidence = math.nan if confidence is None else float(confidence)
        result.append(Level(name, (x, y, z), len(voxels) * labels.grid.voxel_mm3 / 1000, bool(fact.get("touches_border")), confidence))
    return result


def _spine(labels: LabelMap, levels: tuple[Level, ...]) -> Spine:
    """A column from the labels alone."""
    if len(levels) < 2:
        raise InputError("expected labels of at least two structures; found fewer; segment the scan again")
    coarse = labels.resampled(labels.grid.with_spacing([max(4.0, spacing) for spacing in labels.grid.spacing_mm]))
    column = np.asarray(coarse.data > 0)
    line = np.array([level.centroid_mm for level in levels])
    return Spine(Volume(column.astype(np.float32), coarse.grid), column, line, 1.0)


def _grid(labels: LabelMap) -> dict[str, Any]:
    return {"shape": labels.grid.shape, "spacing_mm": labels.grid.spacing_mm, "axcodes": labels.grid.axcodes}
