"""MRSpineSeg challenge (Pang et al. 2021): T2-weighted sagittal scans, 19 tags from the sacrum to T9."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from cascade.datasets.base import DataSet, Options, RawCase, unused
from cascade.datasets.masks import labels_from_tags
from cascade.datasets.problems import Log, Problem
from cascade.datasets.reading import folders_with_scans, list_scans
from cascade.errors import InputError, RefusedError
from cascade.labels import MRSPINESEG
from cascade.volume import LabelMap, Volume

_NAME = re.compile(r"(?P<mask>mask[_-]?)?case[_-]?(?P<number>\d+)(?P<suffix>[_-]?mask)?", re.IGNORECASE)


class MRSpineSeg(DataSet):
    """``CaseN`` and ``mask_caseN``: 1 = S, 2 = L5 and upward to 10 = T9, 11 = L5/S1 and upward to 19 = T9/T10."""

    name = "mrspineseg"
    title = "MRSpineSeg challenge; Pang et al. 2021, IEEE Trans Med Imaging 40(1):262-273"

    def find(self, source: Path, options: Options) -> Iterator[RawCase | Problem]:
        """Pair images and masks by their number."""
        scans = [scan for folder in folders_with_scans(source) for scan in list_scans(folder)]
        matches = [(scan, _NAME.fullmatch(scan.name)) for scan in scans]
        masks = {m["number"]: scan for scan, m in reversed(matches) if m and (m["mask"] or m["suffix"])}
        images = [(m["number"], scan) for scan, m in matches if m and not (m["mask"] or m["suffix"])]
        if not images:
            raise InputError(f"{source}: expected CaseN.nii.gz and mask_caseN.nii.gz; found none; is this another data set?")
        for number, image in images:
            if number in masks:
                yield RawCase(f"Case{number}", f"{self.name}-{number}", "T2", image, masks[number])
            else:
                yield Problem(f"Case{number}", "no-labels", f"{image.path}: expected mask_case{number}; there is none")
        yield from unused((scan for scan, m in matches if not m), "expected CaseN or mask_caseN")

    def draft(self, raw: RawCase, image: Volume, options: Options, log: Log) -> LabelMap:
        """Map the tags."""
        if raw.labels is None:
            raise RefusedError("no-labels", "expected a label file")
        tags = {number: name for name, number in MRSPINESEG.ids.items()}
        return labels_from_tags(image, raw.labels, tags, log)
