"""Khalil et al.: lumbar bodies and discs of 39 patients, several scanners and sequences, nine masks a patient."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cascade.datasets.base import DataSet, Options, RawCase
from cascade.datasets.masks import labels_from_masks
from cascade.datasets.patients import find_patients
from cascade.datasets.problems import Log, Problem
from cascade.labels import CASCADE
from cascade.volume import LabelMap, Volume


class AlKhalil(DataSet):
    """A folder a patient, T1, T2 and Dixon volumes, masks of L1 to L5 and the four discs between them."""

    name = "alkhalil"
    title = "Khalil et al. 2022, multi-scanner and multi-modal lumbar vertebral body and intervertebral disc database"

    def find(self, source: Path, options: Options) -> Iterator[RawCase | Problem]:
        """List the patients, each with the image of the wanted sequence and its masks."""
        wanted = options.sequence or self.usual_sequence
        yield from find_patients(source, options, dataset=self.name, sequence=wanted, expected=tuple(CASCADE.ids))

    def draft(self, raw: RawCase, image: Volume, options: Options, log: Log) -> LabelMap:
        """Unify the nine masks."""
        return labels_from_masks(image, raw.masks, log)
