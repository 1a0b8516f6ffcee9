"""Chu et al. 2015: 23 T2-weighted scans of the lower spine, one binary tag for the seven bodies T11 to L5."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cascade.centreline import SpineLine, row_centres
from cascade.datasets.axes import centres_mm
from cascade.datasets.base import DataSet, Options, RawCase, unused
from cascade.datasets.masks import DRAFT_SCHEME, read_mask
from cascade.datasets.problems import Log, Problem
from cascade.datasets.reading import folders_with_scans, list_scans
from cascade.errors import InputError, RefusedError
from cascade.labels import BODIES
from cascade.postproc.instances import InstanceMap, find_instances
from cascade.volume import LabelMap, Volume, label_dtype

_NAME = re.compile(r"img[_-]?(\d+)(?P<labels>[_-]labels?)?", re.IGNORECASE)
EXPECTED_BODIES = 7
#: Pieces of the mask up to this far from a body belong to it.
NEAR_MM = 5.0
_LINE_SMOOTHING_MM = 15.0
_NAMES_UPWARD = tuple(body for body in reversed(BODIES) if body not in ("L6", "T13"))


class Chu(DataSet):
    """``Img_NN`` and ``Img_NN_Labels``; the header's second axis is reversed."""

    name = "chu"
    title = "Chu et al. 2015, PLoS ONE 10(11):e0143327; Zenodo 22304"
    named = False

    def find(self, source: Path, options: Options) -> Iterator[RawCase | Problem]:
        """Pair images and labels by their number."""
        scans = [scan for folder in folders_with_scans(source) for scan in list_scans(folder)]
        matches = [(scan, _NAME.fullmatch(scan.name)) for scan in scans]
        images = [(m[1], scan) for scan, m in matches if m and not m["labels"]]
        labels = {m[1]: scan for scan, m in reversed(matches) if m and m["labels"]}
        if not images:
            raise InputError(f"{source}: expected Img_NN.nii and Img_NN_Labels.nii; found none; is this another data set?")
        for number, image in images:
            if number in labels:
                yield RawCase(number, f"chu-{number}", "T2 TSE", image, labels[number], bodies=EXPECTED_BODIES)
            else:
                yield Problem(number, "no-labels", f"{image.path}: expected Img_{number}_Labels beside it; there is none")
        yield from unused((scan for scan, m in matches if not m), "expected Img_NN or Img_NN_Labels")

    def draft(self, raw: RawCase, image: Volume, options: Options, log: Log) -> LabelMap:
        """Split the one tag into bodies and name them from the lowest up, L5 first."""
        if raw.labels is None:
            raise RefusedError("no-labels", "expected a label file")
        mask = read_mask(image, raw.labels, log)
        if mask is None or not mask.any():
            raise RefusedError("no-labels", f"{raw.labels.path.name}: expected a mask of the bodies; it is empty or grey throughout")
        return split_bodies(LabelMap(mask.astype(np.uint8) * np.uint8(DRAFT_SCHEME["L5"]), image.grid, DRAFT_SCHEME), log)

    def finish(self, labels: LabelMap, options: Options, log: Log) -> LabelMap:
        """Name again: head and foot may have changed places."""
        return name_upwards(labels)


def split_bodies(mask: LabelMap, log: Log) -> LabelMap:
    """Split a mask of all bodies into single ones, named from the lowest up by the grid's idea of head and foot.

    Bodies that touch are cut where the mask is thinnest along the spine. Pieces that are no body join one within `NEAR_MM`.

    Raises
    ------
    RefusedError
        Fewer than two bodies can be told apart.
    """
    oriented = mask.reoriented("RAS")
    box = ndimage.find_objects((oriented.data > 0).astype(np.uint8))[0]
    part = LabelMap(oriented.data[box], oriented.grid.cropped(box), DRAFT_SCHEME)
    inside = part.data > 0
    found = _instances(inside, part)
    if len(found.instances) < 2:
        raise RefusedError("bodies-not-separable", f"expected bodies that can be told apart; found {len(found.instances)}")
    values = _with_pieces(inside, found.values, part, log)
    table = np.zeros(int(found.values.max()) + 1, dtype=label_dtype(DRAFT_SCHEME))
    by_height = sorted(found.instances, key=lambda i: i.position_mm, reverse=True)
    if len(by_height) > len(_NAMES_UPWARD):
        raise RefusedError("bodies-not-separable", f"expected at most {len(_NAMES_UPWARD)} bodies; the mask falls into {len(by_height)}")
    for instance, name in zip(by_height, _NAMES_UPWARD, strict=False):
        table[instance.value] = DRAFT_SCHEME[name]
    data = np.zeros_like(oriented.data)
    data[box] = table[values]
    return LabelMap(data, oriented.grid, DRAFT_SCHEME).reoriented(mask.grid.axcodes)


def name_upwards(labels: LabelMap) -> LabelMap:
    """Rename bodies by their height: the lowest is L5."""
    heights = {labels.scheme[name]: float(centre[2]) for name, centre in centres_mm(labels).items()}
    table = np.zeros(max(labels.values) + 1, dtype=labels.data.dtype)
    for value, name in zip(sorted(heights, key=lambda v: heights[v]), _NAMES_UPWARD, strict=False):
        table[value] = labels.scheme[name]
    return LabelMap(table[labels.data], labels.grid, labels.scheme)


def _instances(inside: NDArray[np.bool_], oriented: LabelMap) -> InstanceMap:
    body = inside.astype(np.float32)
    stack = np.stack([1 - body, body, np.zeros_like(body)])
    rows = oriented.grid.shape[2]
    line = SpineLine(row_centres(inside, oriented.grid, _LINE_SMOOTHING_MM))
    return find_instances(stack, ("background", "body", "disc"), oriented.grid, line, (0.0, rows - 1.0))


def _with_pieces(inside: NDArray[np.bool_], values: NDArray[np.int32], oriented: LabelMap, log: Log) -> NDArray[np.int32]:
    """Give the voxels of the mask that belong to no body to the nearest one, if it is near."""
    loose = inside & (values == 0)
    if not loose.any():
        return values
    distance, nearest = ndimage.distance_transform_edt(values == 0, sampling=oriented.grid.spacing_mm, return_indices=True)
    near = loose & (distance <= NEAR_MM)
    result = values.copy()
    result[near] = values[tuple(nearest[:, near])]
    ml = oriented.grid.voxel_mm3 / 1000
    log.add(
        "fragments", f"{near.sum() * ml:.2f} ml joined the nearest body, {(loose & ~near).sum() * ml:.2f} ml lie apart and are left out"
    )
    return result
