"""Running an inferer over a data set, and keeping what it finds."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from cascade.errors import CascadeError, InputError
from cascade.notices import Notice

Item = Mapping[str, Any]
_log = logging.getLogger(__name__)


class Result(Protocol):
    """What an inferer returns: a `cascade.segmentation.Segmentation`, or a `cascade.bundle.stages.StageResult`."""

    @property
    def warnings(self) -> tuple[Notice, ...]:
        """What the user should know."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the labels on the scan's grid."""

    def save_json(self, path: str | os.PathLike[str], **extra: str) -> None:
        """Write everything else."""


class Evaluator:
    """The engine of a bundle: every item through the inferer and the post-processing; one bad scan does not stop the rest.

    Parameters
    ----------
    dataset : sequence of dict
    network : nn.Module
    inferer : callable
        Item and network to a result.
    postprocessing : callable
        Takes the item with the result under ``pred``.
    """

    def __init__(
        self,
        dataset: Sequence[Item],
        network: nn.Module,
        inferer: Callable[[Item, nn.Module], Result],
        postprocessing: Callable[[dict[str, Any]], object],
    ) -> None:
        self.dataset, self.network, self.inferer, self.postprocessing = dataset, network, inferer, postprocessing
        self.failed: list[Path] = []

    def run(self) -> None:
        """Work through the data set; what goes wrong with a scan is logged, and remembered for `check`."""
        self.failed = []
        for number in range(len(self.dataset)):
            item = self.dataset[number]
            try:
                result = self.inferer(item, self.network)
            except CascadeError as problem:
                _log.error("%s", problem)
                self.failed.append(item["image"])
                continue
            for notice in result.warnings:
                _log.warning("%s: %s: %s", item["image"], notice.code, notice.text)
            self.postprocessing({**item, "pred": result})
            _log.info("%d of %d: %s", number + 1, len(self.dataset), item["image"])

    def check(self) -> None:
        """Raise if a scan could not be used.

        Raises
        ------
        InputError
            The message names the scans; the others are done.
        """
        if self.failed:
            names = ", ".join(map(str, self.failed))
            raise InputError(f"{names}: expected scans that can be used; {len(self.failed)} of {len(self.dataset)} cannot; see the log")


class SaveResult:
    """Write ``<name><output_postfix><output_ext>`` and a JSON file of the same name for every item.

    Parameters
    ----------
    output_dir : path
    output_postfix : str
    output_ext : str
        ``.nii.gz``, ``.nii``, ``.nrrd`` or ``.mha``.
    """

    def __init__(self, output_dir: str | Path, output_postfix: str = "", output_ext: str = ".nii.gz") -> None:
        self.output_dir, self.ending, self.output_ext = Path(output_dir), output_postfix, output_ext

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        """Write ``data["pred"]``; return `data` with the path of the labels under ``saved``."""
        path = self.output_dir / f"{data['name']}{self.ending}{self.output_ext}"
        data["pred"].save(path)
        names = {"input": str(data["image"]), "output": str(path)}
        data["pred"].save_json(self.output_dir / f"{data['name']}{self.ending}.json", **names)
        return {**data, "saved": path}
