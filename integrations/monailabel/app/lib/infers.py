"""Infer tasks: the whole cascade, stage 1 alone, and the cascade with clicks."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import HTTPException
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from cascade import CascadeError, Click, LabelMap, LabelScheme, Segmentation
from cascade.io.formats import write_labels_file
from cascade.postproc.clicks.click import WORDS, parse_clicks
from cascade.stage1_spine.locate import COLUMN_PROBABILITY, largest_column
from cascade.volume import Grid

from lib.service import Service

SPINE = LabelScheme("spine", {"spine": 1}, "stage 1 of the cascade: bodies and discs as one")


class CascadeInfer(InferTask):
    """The whole cascade: every vertebra and disc by its name; what ``cascade-segment`` writes, voxel for voxel."""

    def __init__(self, service: Service) -> None:
        super().__init__(
            type=InferType.SEGMENTATION,
            labels=service.labels,
            dimension=3,
            description="Vertebral bodies and discs of the lumbar spine by name",
            config={"label_colors": service.colours},
        )
        self._service = service

    def is_valid(self) -> bool:
        """Weights come with the package."""
        return True

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Segment ``request["image"]``; return a label file and what is to be known about it."""
        with _told():
            result = self._service.segment(Path(request["image"]))
            path = _output(request)
            result.save(path)
        return str(path), _answer(result)


class EditInfer(CascadeInfer):
    """The cascade with clicks, as DeepEdit's tools send them, or as ``clicks`` in the form of ``--clicks``."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.type = InferType.DEEPEDIT
        self.labels = {"background": 0, **service.labels}
        self.description = "Correct the cascade by clicks: a level for its name, background for what is none"

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """As the automatic task, with the clicks of `clicks_of`."""
        with _told():
            image = Path(request["image"])
            clicks = clicks_of(request, self._service.perceive(image).scan.grid, (*self.labels, *WORDS))
            result = self._service.segment(image, clicks)
            path = _output(request)
            result.save(path)
        return str(path), _answer(result)


class SpineInfer(InferTask):
    """Stage 1 alone: where the column of bodies and discs is."""

    def __init__(self, service: Service) -> None:
        super().__init__(InferType.SEGMENTATION, dict(SPINE.ids), 3, "The column of vertebral bodies and discs as one (stage 1)")
        self._service = service

    def is_valid(self) -> bool:
        """Weights come with the package."""
        return True

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Mark the column on the scan's grid."""
        with _told():
            seen = self._service.perceive(Path(request["image"]))
            column = largest_column(seen.spine.probability.resampled(seen.scan.grid).data)
            path = _output({**request, "result_extension": ".nii.gz"})
            write_labels_file(LabelMap(column.astype(np.uint8), seen.scan.grid, SPINE), path, seen.source)
        return str(path), {"label_names": dict(SPINE.ids), "confidence": seen.spine.confidence, "threshold": COLUMN_PROBABILITY}


def clicks_of(request: Mapping[str, Any], grid: Grid, names: tuple[str, ...]) -> tuple[Click, ...]:
    """The clicks of a request.

    Parameters
    ----------
    request : mapping
        ``clicks`` as `cascade.postproc.clicks.click.parse_clicks` takes them (RAS+ mm, or 3D Slicer's markups), and under any of
        `names` a list of voxels of the image, as the MONAI Label plug-in of 3D Slicer sends its points.
    grid : Grid
        Of the image.
    names : tuple of str
    """
    given = request.get("clicks") or []
    clicks = list(parse_clicks(json.loads(given) if isinstance(given, str) else given))
    for name in names:
        for voxel in request.get(name) or ():
            x, y, z = (float(v) for v in grid.to_world(voxel))
            clicks.append(Click((x, y, z), name))
    return tuple(clicks)


def _output(request: Mapping[str, Any]) -> Path:
    suffix = str(request.get("result_extension") or ".nii.gz")
    with tempfile.NamedTemporaryFile(suffix=suffix, delete=False) as file:
        return Path(file.name)


def _answer(result: Segmentation) -> dict[str, Any]:
    """Levels, warnings and provenance; ``label_names`` holds the labels that are there, as 3D Slicer's plug-in wants them."""
    labels = result.labels
    return {"label_names": dict(zip(labels.structures, labels.values, strict=True)), **json.loads(json.dumps(result.to_dict()))}


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Give the client the message of an error that is not a bug."""
    try:
        yield
    except CascadeError as error:
        raise HTTPException(status_code=422, detail=str(error)) from error
