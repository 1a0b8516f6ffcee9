"""The stages as inferers: an item of the data set and a network in, labels on the scan's own grid out."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from cascade.errors import InputError
from cascade.io.files import replacing
from cascade.io.formats import Source, write_labels_file
from cascade.io.scan import read_scan
from cascade.labels import LabelScheme
from cascade.networks.checkpoint import Checkpoint
from cascade.networks.spec import StageSpec
from cascade.notices import Notice
from cascade.pipeline import Segmenter
from cascade.segmentation import Segmentation
from cascade.stage1_spine.locate import largest_column, locate
from cascade.stage2_levels.follow import classify_whole
from cascade.volume import FloatArray, LabelMap, label_dtype, resample_array

#: Ending of what stage 1 writes, by which stage 2 finds it.
SPINE_POSTFIX = "_spine_seg"


def class_scheme(spec: StageSpec) -> LabelScheme:
    """Number the classes of a network as its output channels are; background is 0."""
    ids = {name: channel for channel, name in enumerate(spec.classes) if channel}
    return LabelScheme(spec.stage, ids, f"the output channels of {spec.stage}")


@dataclass(frozen=True, eq=False)
class StageResult:
    """What one stage says of a scan.

    Parameters
    ----------
    labels : LabelMap
        The classes of the network, on the scan's grid.
    record : mapping
        What goes to the JSON file.
    warnings : tuple of Notice
    """

    labels: LabelMap
    record: Mapping[str, Any]
    warnings: tuple[Notice, ...]
    _source: Source | None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the labels."""
        write_labels_file(self.labels, Path(path), self._source)

    def save_json(self, path: str | os.PathLike[str], **extra: str) -> None:
        """Write the record, with `extra` entries first."""
        content = extra | {**self.record, "warnings": [asdict(notice) for notice in self.warnings]}
        with replacing(Path(path)) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class LocateSpine:
    """Stage 1: the column (1), and its centreline from head to foot in RAS+ mm in the JSON file."""

    spec: StageSpec

    def __call__(self, inputs: Mapping[str, Any], network: nn.Module) -> StageResult:
        """Locate the spine in ``inputs["image"]``.

        Raises
        ------
        InputError
            The scan cannot be used, or there is no spine in it.
        """
        scan, source, notices = read_scan(inputs["image"])
        spine = locate(scan, Checkpoint(self.spec, network))
        column = largest_column(resample_array(spine.probability.data, spine.probability.grid, scan.grid, order=1))
        labels = LabelMap(column.astype(np.uint8), scan.grid, class_scheme(self.spec))
        record = {"centreline_mm": spine.centreline_mm.tolist(), "confidence": spine.confidence}
        return StageResult(labels, record, (*notices, *spine.notices()), source)


@dataclass(frozen=True)
class ClassifyTissues:
    """Stage 2: body (1), disc (2), sacrum (3) along the centreline that stage 1 left in `spine_dir`."""

    spec: StageSpec
    spine_dir: str | Path

    def __call__(self, inputs: Mapping[str, Any], network: nn.Module) -> StageResult:
        """Classify the surroundings of the spine in ``inputs["image"]``.

        Raises
        ------
        InputError
            The scan or its centreline cannot be used.
        """
        path = Path(self.spine_dir) / f"{inputs['name']}{SPINE_POSTFIX}.json"
        line = read_centreline(path)
        scan, source, notices = read_scan(inputs["image"])
        if sum(scan.grid.voxel_at(point_mm) is None for point_mm in line) > len(line) / 2:
            raise InputError(f"{path}: expected the centreline of {inputs['image']}; it lies outside that scan; is it of another one?")
        tissues, _ = classify_whole(scan, line, Checkpoint(self.spec, network))
        on_scan = [resample_array(p, tissues.grid, scan.grid, order=1) for p in tissues.probabilities]
        scheme = class_scheme(self.spec)
        labels = LabelMap(np.argmax(on_scan, axis=0).astype(label_dtype(scheme)), scan.grid, scheme)
        return StageResult(labels, {"classes": dict(scheme.ids)}, notices, source)


@dataclass(frozen=True)
class SegmentLevels:
    """The whole cascade, as `cascade-segment` runs it: named levels.

    Parameters
    ----------
    spec : StageSpec
        Of stage 2, whose network the inferer is called with.
    spine_spec : StageSpec
    spine_network : nn.Module
        Stage 1.
    scheme : str
        Label scheme of the result.
    """

    spec: StageSpec
    spine_spec: StageSpec
    spine_network: nn.Module
    scheme: str = "cascade"

    def __call__(self, inputs: Mapping[str, Any], network: nn.Module) -> Segmentation:
        """Segment ``inputs["image"]``; raises as `cascade.Segmenter.segment`."""
        device = str(next(network.parameters()).device)
        segmenter = Segmenter(Checkpoint(self.spine_spec, self.spine_network), Checkpoint(self.spec, network), device)
        return segmenter.segment(inputs["image"], scheme=self.scheme)


def read_centreline(path: Path) -> FloatArray:
    """Read the centreline, (n, 3) in RAS+ mm, that the spine's bundle wrote.

    Raises
    ------
    InputError
        There is none.
    """
    try:
        line = np.asarray(json.loads(path.read_text(encoding="utf-8"))["centreline_mm"], dtype=float)
        if line.ndim != 2 or line.shape[1] != 3 or not len(line):
            raise ValueError(f"its shape is {line.shape}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: expected the centreline of the spine ({error}); run the bundle cascade_spine_localization first, and name its "
            "output with --spine_dir"
        ) from error
    return line
