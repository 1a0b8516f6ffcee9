"""SPIDER (van der Graaf et al. 2024): lumbar MR of 218 patients, whole vertebrae, discs and canal, counted from the bottom."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from cascade.datasets.base import DataSet, Options, RawCase, unused
from cascade.datasets.masks import name_tags, read_tags
from cascade.datasets.names import matches_sequence, parse_name
from cascade.datasets.problems import Log, Problem
from cascade.datasets.reading import ScanFile, folders_with_scans, list_scans
from cascade.errors import InputError, RefusedError
from cascade.io.schemes import known_numbers
from cascade.labels import PARTLY, SPIDER
from cascade.measure.whole import cut_bodies
from cascade.volume import LabelMap, Volume

_NAME = re.compile(r"(?P<patient>\d+)_(?P<sequence>t\w+)", re.IGNORECASE)
_HIGHEST = 25
#: What each tag means, the lowest vertebra being L5; those above T1 have no place in the schemes and are left out.
TAGS = known_numbers(SPIDER)


class Spider(DataSet):
    """``images/N_SEQ.mha`` and ``masks/N_SEQ.mha``; 1 to 25 vertebrae, 100 canal, 101 to 125 partly visible, 201 to 225 discs."""

    name = "spider"
    title = "SPIDER; van der Graaf et al. 2024, Sci Data 11:264; Zenodo 10159290"

    def find(self, source: Path, options: Options) -> Iterator[RawCase | Problem]:
        """Pair images and masks of the wanted sequence; all sequences of a patient share the patient."""
        images, masks = _scans(source, "images"), _scans(source, "masks")
        if not images:
            raise InputError(
                f"{source}: expected folders images and masks with files such as 1_t2.mha; found none; is this another data set?"
            )
        wanted = options.sequence or self.usual_sequence
        counts = _counts(source)
        for name, image in images.items():
            match = _NAME.fullmatch(name)
            if match is None:
                yield from unused([image], "expected a name such as 1_t2")
            elif not matches_sequence(parse_name(match["sequence"]), wanted):
                continue
            elif name not in masks:
                yield Problem(name, "no-labels", f"{image.path}: expected masks/{image.path.name}; there is none")
            else:
                sequence, patient = match["sequence"].replace("_", " "), f"spider-{match['patient']}"
                yield RawCase(name, patient, sequence, image, masks[name], bodies=counts.get(name))

    def draft(self, raw: RawCase, image: Volume, options: Options, log: Log) -> LabelMap:
        """Map the tags, the lowest vertebra being L5."""
        if raw.labels is None:
            raise RefusedError("no-labels", "expected a label file")
        values = read_tags(image, raw.labels, TAGS, log)
        partly = [PARTLY + n for n in range(1, _HIGHEST + 1) if (values == PARTLY + n).any()]
        if partly:
            log.add("partly-visible", f"tags {' '.join(map(str, partly))}")
        return name_tags(values, image.grid, TAGS)

    def finish(self, labels: LabelMap, options: Options, log: Log) -> LabelMap:
        """Cut whole vertebrae to bodies if asked to."""
        if not options.bodies:
            log.add("whole-vertebrae", "bodies, arches and processes share their level's label")
            return labels
        cut = cut_bodies(labels)
        if cut is None:
            log.add("whole-vertebrae", "expected a labelled canal to cut along; there is none; vertebrae stay whole")
            return labels
        bodies, vertebrae_ml, bodies_ml = cut
        log.add("bodies-cut", f"{vertebrae_ml:.1f} ml of vertebrae, {bodies_ml:.1f} ml of bodies")
        return bodies


def _scans(source: Path, kind: str) -> dict[str, ScanFile]:
    """The volumes below folders of this name; unpacking may have put one inside another."""
    folders = [folder for folder in folders_with_scans(source) if kind in map(str.lower, folder.relative_to(source).parts)]
    return {scan.name: scan for folder in folders for scan in list_scans(folder)}


def _counts(source: Path) -> dict[str, int]:
    """Vertebrae that ``overview.csv`` announces for each image, where it is there and says so.

    Its columns are ``new_file_name`` (``1_t2``), ``num_vertebrae``, ``num_discs``, then what the DICOM headers said.
    """
    table = next(iter(sorted(source.rglob("overview.csv"))), None)
    if table is None:
        return {}
    with table.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
        first = stream.readline()
        stream.seek(0)
        rows = list(csv.DictReader(stream, delimiter=";" if first.count(";") > first.count(",") else ","))
    return dict(found for row in rows if (found := _announced(row)) is not None)


def _announced(row: Mapping[str | None, str | None]) -> tuple[str, int] | None:
    """Image name and number of vertebrae in a row of the table (a spreadsheet may have made it ``7.0``)."""
    cells = {key.strip().lower(): value.strip() for key, value in row.items() if isinstance(key, str) and isinstance(value, str)}
    count = re.fullmatch(r"(\d+)(?:[.,]0*)?", cells.get("num_vertebrae", ""))
    name = cells.get("new_file_name", "").removesuffix(".mha")
    return (name, int(count[1])) if name and count else None
