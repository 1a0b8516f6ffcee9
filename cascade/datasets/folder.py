"""Any other data: pairs ``<case>_image`` + ``<case>_labels``, or a folder a case with one mask a structure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from cascade.datasets.base import DataSet, Options, RawCase, case_name
from cascade.datasets.masks import labels_from_masks, labels_from_tags
from cascade.datasets.names import IGNORE, matches_sequence, parse_name
from cascade.datasets.patients import find_patients
from cascade.datasets.problems import Log, Problem
from cascade.datasets.reading import ScanFile, folders_with_scans, list_scans
from cascade.datasets.schemes import common_scheme, labels_in_scheme
from cascade.errors import InputError, RefusedError
from cascade.volume import LabelMap, Volume

_IMAGE, _LABELS = "_image", "_labels"


class Folder(DataSet):
    """The general way; tags may start anywhere. A mapping file or a scheme says what they mean, else their scheme is recognised."""

    name = "folder"
    title = "a folder of image and label pairs, or of cases with one mask a structure"
    usual_sequence = "all"

    def find(self, source: Path, options: Options) -> Iterator[RawCase | Problem]:
        """List the pairs, or the folders with masks where there is no pair."""
        scans = [scan for folder in folders_with_scans(source) for scan in list_scans(folder)]
        pairs = [scan for scan in scans if scan.name.lower().endswith(_IMAGE)]
        wanted = options.sequence or self.usual_sequence
        if not scans:
            raise InputError(f"{source}: expected volumes (.nii.gz, .mha, .nrrd, DICOM ...); found none; check the path")
        if not pairs:
            yield from find_patients(source, options, dataset=self.name, sequence=wanted, expected=())
            return
        labels = {scan.folder / scan.name.lower(): scan for scan in scans if scan.name.lower().endswith(_LABELS)}
        found = [item for image in pairs for item in self._pair(image, labels, wanted)]
        cases = [item for item in found if isinstance(item, RawCase)]
        scheme = None if options.mapping.tags else common_scheme([case.labels for case in cases if case.labels], options)
        yield from (dataclasses.replace(item, scheme=scheme) if isinstance(item, RawCase) else item for item in found)

    def _pair(self, image: ScanFile, labels: dict[Path, ScanFile], wanted: str) -> Iterator[RawCase | Problem]:
        text = image.name[: -len(_IMAGE)]
        parts = parse_name(text)
        if wanted != "all" and parts.sequences and not matches_sequence(parts, wanted):
            return
        name = case_name(text)
        label_file = labels.get(image.folder / f"{text.lower()}{_LABELS}")
        if label_file is None:
            yield Problem(name, "no-labels", f"{image.path}: expected {text}{_LABELS} beside it; there is none")
            return
        patient = case_name(parts.owner) if parts.sequences and parts.owner else name
        yield RawCase(name, f"{self.name}-{patient}", " ".join(parts.sequences), image, label_file)

    def draft(self, raw: RawCase, image: Volume, options: Options, log: Log) -> LabelMap:
        """Map tags by the mapping, or by the scheme that was said or recognised; or unify masks."""
        if raw.labels is None and not raw.masks:
            raise RefusedError("no-labels", "expected labels")
        if raw.labels is None:
            return labels_from_masks(image, raw.masks, log)
        if options.mapping.tags:
            tags = {tag: None if structure == IGNORE else structure for tag, structure in options.mapping.tags.items()}
            return labels_from_tags(image, raw.labels, tags, log)
        return labels_in_scheme(image, raw.labels, raw.scheme, options, log)
