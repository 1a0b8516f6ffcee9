"""Scoring what a bundle has written against labels."""

from __future__ import annotations

import csv
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.bundle.stages import class_scheme
from cascade.bundle.training import stage_of
from cascade.evaluation.classes import dice_where_known
from cascade.evaluation.figures import HEADINGS
from cascade.evaluation.page import write_page
from cascade.evaluation.pairs import pair_up
from cascade.evaluation.results import write_table
from cascade.evaluation.summary import evaluate_all, write_summary
from cascade.io.files import replacing
from cascade.io.formats import read_labels_file
from cascade.networks.spec import StageSpec
from cascade.volume import LabelMap, label_dtype

_log = logging.getLogger(__name__)


class ScoreLevels:
    """Named levels against labels, as ``cascade-evaluate`` does it.

    Parameters
    ----------
    predictions : path
        Folder.
    references : path
        Folder, with or without ``cases.tsv``.
    output_dir : path
        Gets ``results.csv``, ``summary.json`` and ``report.html``.
    split : str, optional
        Only the cases of this split, and those without one.
    """

    def __init__(self, predictions: str | Path, references: str | Path, output_dir: str | Path, split: str | None = None) -> None:
        self.predictions, self.references, self.output_dir, self.split = Path(predictions), Path(references), Path(output_dir), split

    def run(self) -> None:
        """Score all cases; raises as `cascade.evaluation.pairs.pair_up`."""
        evaluation = evaluate_all(pair_up(self.predictions, self.references, split=self.split))
        write_table(evaluation.results, self.output_dir / "results.csv")
        write_summary(evaluation, self.output_dir / "summary.json")
        write_page(evaluation, self.output_dir / "report.html")
        for group in evaluation.groups:
            dice = HEADINGS["dice"].show(group.figures["dice"].mean)
            _log.info("%s, %s: %d cases, Dice %s", group.dataset, group.kind, group.cases, dice)


class ScoreClasses:
    """The classes of one network against labels, where these tell the class: Dice by case and class in ``results.csv``.

    Parameters
    ----------
    dataset : sequence of dict
        With ``case``.
    spec : StageSpec
    predictions : path
        Folder that `cascade.bundle.SaveResult` wrote to; a prediction that is missing counts as empty.
    output_postfix, output_ext : str
        As given to it.
    """

    def __init__(
        self, dataset: Sequence[Mapping[str, Any]], spec: StageSpec, predictions: str | Path, output_postfix: str, output_ext: str
    ) -> None:
        self.dataset, self.spec, self.predictions = dataset, spec, Path(predictions)
        self.ending = f"{output_postfix}{output_ext}"

    def run(self) -> None:
        """Score all cases.

        Raises
        ------
        InputError
            A label file cannot be used.
        """
        rows, by_class = [], defaultdict(list)
        for number in range(len(self.dataset)):
            item = self.dataset[number]
            for name, value in self._score(item).items():
                rows.append([item["case"].dataset, item["case"].name, name, f"{value:.4f}"])
                by_class[name].append(value)
        with replacing(self.predictions / "results.csv") as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows([["dataset", "case", "class", "dice"], *rows])
        for name, values in by_class.items():
            _log.info("%s: %d cases, mean Dice %.3f", name, len(values), float(np.mean(values)))

    def _score(self, item: Mapping[str, Any]) -> dict[str, float]:
        reference = item["case"].load_labels().reoriented(self.spec.axcodes)
        prediction = self._prediction(item).reoriented(self.spec.axcodes)
        return dice_where_known(prediction.data, stage_of(self.spec).target(reference), self.spec.classes)

    def _prediction(self, item: Mapping[str, Any]) -> LabelMap:
        path, scheme = self.predictions / f"{item['name']}{self.ending}", class_scheme(self.spec)
        if path.is_file():
            data: NDArray[Any]
            data, grid = read_labels_file(path)
            return LabelMap(data.astype(label_dtype(scheme)), grid, scheme)
        grid = item["case"].load_labels().grid
        return LabelMap(np.zeros(grid.shape, dtype=label_dtype(scheme)), grid, scheme)
