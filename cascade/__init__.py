"""Lumbar-spine MR, segmented by a cascade of two networks: a scan in, named vertebrae and discs out.

Importing this package imports neither torch nor monai; the public names are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cascade._version import __version__

if TYPE_CHECKING:
    from cascade.bundle.transform import CascadeSegmentd
    from cascade.cohorts.manifest import Outcome
    from cascade.errors import (
        CascadeError,
        CheckpointError,
        InputError,
        MissingExtraError,
        NoSpineError,
        NumberingError,
        OutputError,
        SchemeError,
        WorkersError,
    )
    from cascade.labels import (
        CASCADE,
        CASCADE_EXTENDED,
        MRSPINESEG,
        SPIDER,
        TOTALSEGMENTATOR_MR,
        TOTALSPINESEG,
        VERSE,
        LabelScheme,
    )
    from cascade.measure import Measurement
    from cascade.pipeline import Segmenter, segment
    from cascade.postproc.clicks.click import Click
    from cascade.postproc.naming import Numbering
    from cascade.segmentation import Level, Segmentation
    from cascade.study.result import Study
    from cascade.study.segment import segment_study
    from cascade.volume import Grid, LabelMap, Volume

_HOMES = {
    "cascade.bundle.transform": "CascadeSegmentd",
    "cascade.postproc.clicks.click": "Click",
    "cascade.errors": (
        "CascadeError CheckpointError InputError MissingExtraError NoSpineError NumberingError OutputError SchemeError WorkersError"
    ),
    "cascade.labels": "CASCADE CASCADE_EXTENDED MRSPINESEG SPIDER TOTALSEGMENTATOR_MR TOTALSPINESEG VERSE LabelScheme",
    "cascade.cohorts.manifest": "Outcome",
    "cascade.measure": "Measurement",
    "cascade.pipeline": "Segmenter segment",
    "cascade.segmentation": "Level Segmentation",
    "cascade.postproc.naming": "Numbering",
    "cascade.study.result": "Study",
    "cascade.study.segment": "segment_study",
    "cascade.volume": "Grid LabelMap Volume",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [
    "CASCADE",
    "CASCADE_EXTENDED",
    "MRSPINESEG",
    "SPIDER",
    "TOTALSEGMENTATOR_MR",
    "TOTALSPINESEG",
    "VERSE",
    "CascadeError",
    "CascadeSegmentd",
    "CheckpointError",
    "Click",
    "Grid",
    "InputError",
    "LabelMap",
    "LabelScheme",
    "Level",
    "Measurement",
    "MissingExtraError",
    "NoSpineError",
    "Numbering",
    "NumberingError",
    "Outcome",
    "OutputError",
    "SchemeError",
    "Segmentation",
    "Segmenter",
    "Study",
    "Volume",
    "WorkersError",
    "__version__",
    "segment",
    "segment_study",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'cascade' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
