"""Burian et al. 2019 (MyoSegmenTUM spine): water-fat MR of 54 subjects, one mask a lumbar vertebral body."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cascade.datasets.base import DataSet, Options, RawCase
from cascade.datasets.masks import labels_from_masks
from cascade.datasets.patients import find_patients
from cascade.datasets.problems import Log, Problem
from cascade.volume import LabelMap, Volume


class MyoSegmenTUM(DataSet):
    """``NN/NN/vertebrae`` with WATER, FAT and other volumes and ``L1_NN`` ... ``L5_NN``; ``muscle`` beside it is left aside."""

    name = "myosegmentum"
    title = "Burian et al. 2019, BMC Musculoskelet Disord 20:152 (MyoSegmenTUM spine)"
    usual_sequence = "water"

    def find(self, source: Path, options: Options) -> Iterator[RawCase | Problem]:
        """List the subjects, each with its water volume and five masks."""
        wanted = options.sequence or self.usual_sequence
        yield from find_patients(source, options, dataset=self.name, sequence=wanted, expected=("L1", "L2", "L3", "L4", "L5"))

    def draft(self, raw: RawCase, image: Volume, options: Options, log: Log) -> LabelMap:
        """Unify the five masks."""
        return labels_from_masks(image, raw.masks, log)
