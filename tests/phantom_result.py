"""A `Segmentation` without networks: the phantom with its own labels."""

from __future__ import annotations

from functools import cache

import numpy as np

from cascade.labels import rank
from cascade.notices import Notice
from cascade.phantom import PhantomSpec, render
from cascade.segmentation import Level, NumberingResult, Segmentation
from cascade.stage1_spine.locate import Spine
from cascade.volume import LabelMap, Volume

#: Large enough to be measured, small enough to be drawn in a second.
SMALL = PhantomSpec(shape=(11, 110, 140), spacing_mm=(5.0, 2.0, 2.0), thoracic=1)


@cache
def phantom_result(spec: PhantomSpec = SMALL, *, confidence: float = 0.97, warnings: tuple[Notice, ...] = ()) -> Segmentation:
    """The same object for all tests that ask for the same, so that it is rendered and measured once; nobody can write to its arrays."""
    scan, labels = render(spec)
    for array in (scan.data, labels.data):
        array.flags.writeable = False
    levels = tuple(_levels(labels, confidence))
    return Segmentation(
        labels=labels,
        scan=scan,
        spine=_spine(scan, labels, levels),
        levels=levels,
        numbering=NumberingResult(confidence, (), float("inf")),
        warnings=warnings,
        provenance={
            "version": "0.0.test",
            "checkpoint_sha256": {"stage1_spine": "0" * 64, "stage2_levels": "1" * 64},
            "grid": {"shape": scan.grid.shape, "spacing_mm": scan.grid.spacing_mm, "axcodes": scan.grid.axcodes},
            "device": "cpu",
            "seconds": {"read": 0.1, "stage1_spine": 1.2, "stage2_levels": 3.4, "postproc": 0.5},
        },
    )


def _levels(labels: LabelMap, confidence: float) -> list[Level]:
    names = sorted((name for name in labels.structures if name != "canal"), key=rank)
    result = []
    for i, name in enumerate(names):
        voxels = np.argwhere(labels[name])
        x, y, z = labels.grid.to_world(voxels.mean(axis=0))
        border = bool(voxels[:, 2].max() == labels.grid.shape[2] - 1 or voxels[:, 2].min() == 0)
        volume_ml = len(voxels) * labels.grid.voxel_mm3 / 1000
        result.append(Level(name, (x, y, z), volume_ml, border, round(confidence * (1 - 0.02 * (i % 4)), 4)))
    return result


def _spine(scan: Volume, labels: LabelMap, levels: tuple[Level, ...]) -> Spine:
    column = np.asarray((labels.data > 0) & ~labels["canal"])
    centreline = np.array([level.centroid_mm for level in levels])
    return Spine(Volume(column.astype(np.float32), scan.grid), column, centreline, 0.98)
