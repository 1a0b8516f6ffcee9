"""The result for one scan, and the ways to keep it."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cascade.errors import MissingExtraError, OutputError
from cascade.io.cases import write_case
from cascade.io.extras import extra
from cascade.io.files import place_of, replacing
from cascade.io.formats import SegType, Source, write_labels_file
from cascade.labels import BODIES, LabelScheme
from cascade.measure import Fitted, Measurement, as_dict, measure, numbers, save_table, with_spread
from cascade.notices import Notice, rounded_down
from cascade.postproc.clicks.click import Clicks
from cascade.postproc.identify import Evidence, Identified
from cascade.postproc.naming import Numbering
from cascade.postproc.paint import Parts, draw_parts, name_parts, parts_of
from cascade.stage1_spine.locate import Spine
from cascade.volume import LabelMap, Volume, boxes_of

if TYPE_CHECKING:
    from pandas import DataFrame
    from PIL.Image import Image

    from cascade.report.notebook import View

#: Drawings of one scan that are at hand: the last for a page, which shows every structure, and the last for a file.
_DRAWN = 2


class Wishes(TypedDict, total=False):
    """What may be said with a scan: the keywords of `cascade.segment`, which explains them."""

    affine: ArrayLike | None
    scheme: str | LabelScheme
    numbering: Numbering | None
    series: str | None
    clicks: Clicks
    repeat: int


@dataclass(frozen=True)
class Level:
    """One named structure, on the scan's grid.

    Parameters
    ----------
    name : str
    centroid_mm : (3,) tuple of float
        RAS+.
    volume_ml : float
    touches_border : bool
        Cut by the upper or lower end of the field of view.
    confidence : float
        Mean probability of its class inside it, times the confidence of the numbering; rounded down to four decimals.

    Examples
    --------
    >>> level = Level("L5", (1.0, -20.0, -85.0), 31.4, touches_border=False, confidence=0.958)
    >>> f"{level.name}: {level.volume_ml} ml"
    'L5: 31.4 ml'
    """

    name: str
    centroid_mm: tuple[float, float, float]
    volume_ml: float
    touches_border: bool
    confidence: float


@dataclass(frozen=True)
class NumberingResult:
    """How sure the names are.

    Parameters
    ----------
    confidence : float
        Posterior probability of the names among all numberings with as many lumbar vertebrae: five, unless another count is told or
        overwhelming. Whether another count is possible is told by ``possible-lstv`` alone.
    second_best : tuple of (str or None)
        Bodies from the top down in the next best of the same numberings.
    margin : float
        How much worse it is: e^margin times less likely; infinite if there is none.
    """

    confidence: float
    second_best: tuple[str | None, ...]
    margin: float


@dataclass(frozen=True, eq=False)
class Perception:
    """What the networks see in one scan: all that does not depend on what a person knows.

    Parameters
    ----------
    scan : Volume
    spine : Spine
    evidence : Evidence
        What stage 2 says around the spine, and what the names need besides.
    notices : tuple of Notice
        About the file.
    seconds : mapping of str to float
        By part.
    source : Source or None
        What the file's format has to repeat.
    backend : str
        What ran the networks.
    drawn : mapping of Parts to array of uint8
        What was drawn of it last, on the scan's grid.
    """

    scan: Volume
    spine: Spine
    evidence: Evidence
    notices: tuple[Notice, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    source: Source | None = field(default=None, repr=False)
    backend: str = ""
    drawn: dict[Parts, NDArray[np.uint8]] = field(default_factory=dict, init=False, repr=False)

    def painted(self, found: Identified, evidence: Evidence, scheme: LabelScheme) -> LabelMap:
        """The labels of what was found, on the scan's grid with axes along those of the evidence.

        What is drawn already is drawn no more if nothing but names has changed. The last `_DRAWN` drawings are at hand.

        Parameters
        ----------
        found : Identified
        evidence : Evidence
            That it was found in: its own, or what clicks have made of it.
        scheme : LabelScheme
        """
        names = {value: name for value, name in found.names.items() if name in scheme}
        parts, grid = parts_of(names, scheme), evidence.scan_grid
        drawn = self.drawn if found.instances is self.evidence.automatic else {}
        at_hand = drawn.pop(parts, None)
        if at_hand is None:
            at_hand = draw_parts(evidence.probabilities, evidence.classes, evidence.grid, found.instances, parts, grid)
        drawn[parts] = at_hand
        for other in list(drawn)[:-_DRAWN]:
            drawn.pop(other, None)
        return name_parts(at_hand, names, grid, scheme)


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The result for one scan.

    Parameters
    ----------
    labels : LabelMap
        On the input's grid.
    scan : Volume
        The input, with NaN and infinities made background.
    spine : Spine
    levels : tuple of Level
        Cranial to caudal.
    numbering : NumberingResult
    warnings : tuple of Notice
        Notes, warnings and alarms.
    provenance : mapping
        Version, sha256 of both checkpoints, input grid, device, seconds by part.
    also_found : tuple of str
        Structures that were found and that the labels' scheme has no number for.
    again : tuple of tuple of Measurement, optional
        What was measured on each view of the scan (`cascade.networks.views`), if it was seen again.

    Examples
    --------
    >>> from cascade import segment
    >>> from cascade.phantom import render
    >>> result = segment(render()[0], device="cpu")
    >>> result.labels["L4"].shape == result.scan.data.shape, result.levels[0].name
    (True, 'L1')
    """

    labels: LabelMap
    scan: Volume
    spine: Spine
    levels: tuple[Level, ...]
    numbering: NumberingResult
    warnings: tuple[Notice, ...]
    provenance: dict[str, Any]
    _source: Source | None = dataclasses.field(default=None, repr=False)
    also_found: tuple[str, ...] = ()
    again: tuple[tuple[Measurement, ...], ...] | None = None

    def __repr__(self) -> str:
        names = " ".join(level.name for level in self.levels)
        warned = ", ".join(sorted({notice.code for notice in self.warnings if notice.is_for_looking})) or "none"
        x, y, z = self.scan.grid.shape
        return f"Segmentation of {x} x {y} x {z} voxels, scheme {self.labels.scheme.name}: {names}\nwarnings: {warned}"

    def _repr_html_(self) -> str:
        """For notebooks: the picture, and a row for each level."""
        from cascade.report.picture import as_html

        cells = [(level.name, f"{level.volume_ml:.1f}", f"{level.confidence:.2f}") for level in self.levels]
        return as_html(self.plot(), ("level", "volume in ml", "confidence"), cells, [str(notice.text) for notice in self.warnings])

    def plot(self) -> Image:
        """Draw the scan, cut along the middle of the column, with the levels coloured and named: an image of Pillow."""
        from cascade.report.picture import draw

        return draw(self.scan, self.labels, self.spine.centreline_mm)

    def to_dataframe(self) -> DataFrame:
        """Return `measurements` as a table of pandas, one row a structure.

        Raises
        ------
        MissingExtraError
            pandas is not installed.
        """
        try:
            import pandas
        except ModuleNotFoundError as error:
            raise MissingExtraError("a table of pandas: expected the package pandas; it is not installed; pip install pandas") from error
        return pandas.DataFrame([as_dict(row) for row in self.measurements])

    def save_report(self, path: str | os.PathLike[str], title: str = "scan") -> None:
        """Write one HTML page with pictures, measurements and warnings; `title` is what it calls the scan."""
        from cascade.report import save_report

        save_report(self, Path(path), title)

    @cached_property
    def fitted(self) -> Fitted:
        """Shapes fitted to the labels, on which measurements and drawings rest; fitted when first asked for."""
        return Fitted.to(self.labels, [level.name for level in self.levels if level.touches_border])

    @cached_property
    def measurements(self) -> tuple[Measurement, ...]:
        """Volumes, heights, angles and signal, one row a structure; measured when first asked for."""
        rows = measure(self.labels, self.scan, fitted=self.fitted)
        return rows if self.again is None else with_spread(rows, self.again)

    def anchoring(self, numbering: Numbering) -> Numbering:
        """What a person knows, and where the body is that was found most surely: so that what is seen again has the same names."""
        bodies = [level for level in self.levels if level.name in BODIES and not level.touches_border]
        surest = max(bodies, key=lambda level: level.confidence, default=None)
        return dataclasses.replace(numbering, anchors={surest.name: surest.centroid_mm, **numbering.anchors}) if surest else numbering

    def save(self, path: str | os.PathLike[str], *, seg_type: SegType = "binary") -> None:
        """Write the labels on exactly the input's grid, in the format that the suffix asks for.

        Parameters
        ----------
        path : path
            ``.nii``, ``.nii.gz``, ``.seg.nrrd`` (3D Slicer), ``.nrrd``, ``.mha``, or ``.dcm`` (DICOM SEG, for scans read
            from DICOM).
        seg_type : {"binary", "labelmap"}
            Kind of DICOM SEG.

        Raises
        ------
        OutputError
            `path` cannot be written, its suffix is unknown, or a DICOM SEG is asked for a scan that is not DICOM.
        MissingExtraError
            The format needs an extra that is not installed.
        """
        write_labels_file(self.labels, Path(path), self._source, seg_type)

    def save_case(self, folder: str | os.PathLike[str], name: str) -> None:
        """Write scan and labels as the training case `name`, as ``cascade-train`` and ``cascade-prepare folder`` take it.

        Give `segment` a scheme that holds every structure (``"cascade-extended"``): what is not labelled is not learnt.
        """
        write_case(self.scan, self.labels, Path(folder), name)

    def save_picture(self, path: str | os.PathLike[str]) -> None:
        """Write a PNG: the scan cut along the middle of the column, with the levels outlined and named."""
        from cascade.report.picture import save_picture

        save_picture(self.scan, self.labels, self.spine.centreline_mm, Path(path))

    def view(self, title: str = "scan", *, height: int = 900) -> View:
        """Show the result in a notebook: slices with outlines and names, measurements, warnings. Nothing is written or fetched.

        Parameters
        ----------
        title : str
        height : int
            Of the cell's frame, in pixels.
        """
        from cascade.report.notebook import view

        return view(self, title, height)

    def save_table(self, path: str | os.PathLike[str]) -> None:
        """Write `measurements` as tab-separated text, one row a structure."""
        save_table(self.measurements, Path(path))

    def save_meshes(self, folder: str | os.PathLike[str]) -> None:
        """Write a surface (STL, in RAS+ mm) for each structure into a folder: ``L1.stl``, ``L1-L2.stl`` and so on.

        Raises
        ------
        OutputError
            The folder cannot be written.
        """
        from cascade.io.meshes import write_meshes

        write_meshes(self.labels, Path(folder))

    def save_sr(self, path: str | os.PathLike[str], seg: str | os.PathLike[str]) -> None:
        """Write `measurements` as a DICOM SR (TID 1500) that refers to the DICOM SEG `seg`, which `save` wrote before.

        Raises
        ------
        OutputError
            The scan is not DICOM, there is nothing to tell, or the path cannot be written.
        MissingExtraError
            The extra ``dicom`` is not installed.
        """
        with extra("dicom", str(path)):
            from cascade.io.dicom import DicomSource
            from cascade.io.dicom_sr import SrRow, write_dicom_sr
        if not isinstance(self._source, DicomSource):
            raise OutputError(f"{path}: expected a scan read from DICOM, which an SR has to refer to; found another format; write a table")
        rows = [SrRow(row.structure, row.kind, numbers(row), row.signal_reference) for row in self.measurements]
        write_dicom_sr(rows, Path(path), place_of(Path(seg)), self._source)

    def to_dict(self) -> dict[str, Any]:
        """Return levels, measurements, numbering, warnings and provenance as plain types, ready for JSON."""
        numbering = dataclasses.asdict(self.numbering)
        if not np.isfinite(self.numbering.margin):
            numbering["margin"] = None
        return {
            "levels": [dataclasses.asdict(level) for level in self.levels],
            "also_found": list(self.also_found),
            "measurements": [as_dict(row) for row in self.measurements],
            "numbering": numbering,
            "warnings": [dataclasses.asdict(notice) for notice in self.warnings],
            "provenance": self.provenance,
        }

    def save_json(self, path: str | os.PathLike[str], **extra: str) -> None:
        """Write `to_dict` as JSON, with `extra` entries (input, output) first."""
        with replacing(Path(path)) as temporary:
            temporary.write_text(json.dumps(extra | self.to_dict(), indent=2) + "\n", encoding="utf-8")


def levels_of(labels: LabelMap, found: Identified) -> Iterator[Level]:
    """What was named and is labelled, from head to foot."""
    boxes = boxes_of(labels.data)
    for name, instance in found.structures.items():
        if name not in labels.scheme or (box := boxes.get(labels.scheme[name])) is None:
            continue
        voxels = np.argwhere(labels.data[box] == labels.scheme[name]) + [s.start for s in box]
        x, y, z = labels.grid.to_world(voxels.mean(axis=0))
        volume_ml = len(voxels) * labels.grid.voxel_mm3 / 1000
        confidence = float(rounded_down(instance.confidence * found.naming.confidence, 4))
        yield Level(name, (float(x), float(y), float(z)), volume_ml, instance.touches_border, confidence)
