"""The result for a study, and how it is kept."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cascade.io.files import place_of, replacing
from cascade.io.formats import SegType, Source, write_labels_file
from cascade.labels import rank
from cascade.measure import combine_tables
from cascade.notices import Notice
from cascade.segmentation import NumberingResult, Segmentation
from cascade.study.page import notes_of
from cascade.study.slices import Slice
from cascade.volume import LabelMap

_COLUMNS = tuple(each.name for each in dataclasses.fields(Slice))


@dataclass(frozen=True, eq=False)
class AxialStack:
    """Parallel axial slices.

    Parameters
    ----------
    number : int
        From 1, from the head down.
    labels : LabelMap
        Of the sagittal result, on the grid of this stack.
    source : Source or None
    slices : tuple of Slice
        Along the third axis of the grid.
    told_by : str
        The sagittal series.
    """

    number: int
    labels: LabelMap
    source: Source | None = field(repr=False)
    slices: tuple[Slice, ...]
    told_by: str


@dataclass(frozen=True, eq=False)
class StudySeries:
    """One series of a study.

    Parameters
    ----------
    name : str
    title : str
    result : Segmentation or None
        Of a sagittal series.
    axial : tuple of AxialStack
        Of an axial series.
    warnings : tuple of Notice
        About the series as a part of its study; those about the scan are in `result`.
    """

    name: str
    title: str
    result: Segmentation | None
    axial: tuple[AxialStack, ...] = ()
    warnings: tuple[Notice, ...] = ()


@dataclass(frozen=True, eq=False)
class Study:
    """The result for a study.

    Parameters
    ----------
    series : tuple of StudySeries
        By name.
    numbering : NumberingResult or None
        Of the series that were named together; None where none is sagittal.
    notices : tuple of Notice
        About the names that all share, and about files.

    Examples
    --------
    `cascade.segment_study` makes one. Here is a study of one series, of which nothing could be told:

    >>> why = Notice("series-not-segmented", None, "series-2: its slices are neither sagittal nor axial")
    >>> study = Study((StudySeries("series-2", "series 2: coronal T2", None, warnings=(why,)),), numbering=None)
    >>> study["series-2"].result is None, study.levels, [notice.code for notice in study.warnings]
    (True, (), ['series-not-segmented'])
    """

    series: tuple[StudySeries, ...]
    numbering: NumberingResult | None
    notices: tuple[Notice, ...] = ()

    def __getitem__(self, name: str) -> StudySeries:
        """A series by its name."""
        try:
            return next(each for each in self.series if each.name == name)
        except StopIteration:
            raise KeyError(name) from None

    @property
    def warnings(self) -> tuple[Notice, ...]:
        """What to know about the study and each series, which the text then names."""
        return (*self.notices, *(notice for each in self.series for notice in (*each.warnings, *self._own(each))))

    def _own(self, each: StudySeries) -> Iterator[Notice]:
        """What is about the scan of one series."""
        shared = (*self.notices, *each.warnings)
        for notice in each.result.warnings if each.result else ():
            if notice not in shared:
                yield dataclasses.replace(notice, text=f"{each.name}: {notice.text}")

    @property
    def slices(self) -> tuple[Slice, ...]:
        """What each axial slice shows."""
        return tuple(row for each in self.series for stack in each.axial for row in stack.slices)

    @property
    def levels(self) -> tuple[str, ...]:
        """The structures that any series shows, from head to foot."""
        return tuple(sorted({level.name for each in self.series if each.result for level in each.result.levels}, key=rank))

    def to_dict(self) -> dict[str, Any]:
        """Return all but the voxels as plain types, ready for JSON."""
        numbering = dataclasses.asdict(self.numbering) if self.numbering else None
        if numbering and not np.isfinite(numbering["margin"]):
            numbering["margin"] = None
        return {
            "numbering": numbering,
            "levels": list(self.levels),
            "warnings": [dataclasses.asdict(notice) for notice in self.warnings],
            "series": [_described(each) for each in self.series],
            "slices": [dataclasses.asdict(row) for row in self.slices],
        }

    def save(self, folder: str | os.PathLike[str], *, suffix: str = ".nii.gz", seg_type: SegType = "binary") -> None:
        """Write everything: a folder for each series, and beside them ``study.json``, ``study.tsv``, ``slices.tsv`` and ``study.html``.

        Parameters
        ----------
        folder : path
        suffix : str
            Of the label files: ``.nii.gz``, ``.nii``, ``.seg.nrrd``, ``.nrrd``, ``.mha``, or ``.dcm`` for series of DICOM.
        seg_type : {"binary", "labelmap"}
            Kind of DICOM SEG.

        Raises
        ------
        OutputError
            A file cannot be written, or a DICOM SEG is asked for a series that is not DICOM.
        """
        top, tables = Path(folder), {}
        for each in self.series:
            place = top / each.name
            if each.result:
                each.result.save(place / f"levels{suffix}", seg_type=seg_type)
                each.result.save_json(place / "levels.json", series=each.name)
                each.result.save_table(place / "levels.tsv")
                each.result.save_picture(place / "levels.png")
                each.result.save_report(place / "levels.html", each.name)
                tables[each.name] = place / "levels.tsv"
            for stack in (stack for stack in each.axial if stack.labels.values):
                # a part of a multi-frame image is nothing that a DICOM SEG can refer to
                ending = ".nii.gz" if suffix == ".dcm" and _is_part_of_an_image(stack.source) else suffix
                write_labels_file(stack.labels, place / f"stack-{stack.number}{ending}", stack.source, seg_type)
        if tables:
            combine_tables({name: place_of(table) for name, table in tables.items()}, top / "study.tsv")
        if self.slices:
            _write(top / "slices.tsv", _slice_table(self.slices))
        self._save_page(top)
        _write(top / "study.json", json.dumps(self.to_dict(), indent=2) + "\n")

    def _save_page(self, folder: Path) -> None:
        """Write ``study.html``, which leads to the pages of the series."""
        from cascade.report import ReportIndex

        index = ReportIndex(folder)
        for each in self.series:
            if each.result:
                index.add(folder / each.name / "levels.html")
        index.save("study.html", notes_of(self.warnings, self.slices))


def _is_part_of_an_image(source: Source | None) -> bool:
    datasets: Sequence[Any] = getattr(source, "datasets", ())
    slices: Sequence[int] = getattr(source, "slices", ())
    return len(datasets) == 1 and int(datasets[0].get("NumberOfFrames", 1)) != len(slices)


def _described(each: StudySeries) -> dict[str, Any]:
    levels = [level.name for level in each.result.levels] if each.result else []
    own = [dataclasses.asdict(notice) for notice in each.result.warnings] if each.result else []
    stacks = [{"stack": stack.number, "slices": len(stack.slices), "told_by": stack.told_by} for stack in each.axial]
    return {"name": each.name, "title": each.title, "levels": levels, "warnings": own, "axial": stacks}


def _slice_table(rows: tuple[Slice, ...]) -> str:
    lines = ["\t".join(_COLUMNS)]
    lines += ["\t".join("n/a" if value in (None, "") else str(value) for value in dataclasses.astuple(row)) for row in rows]
    return "\n".join(lines) + "\n"


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
