"""From named instances to labels on the scan's own grid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cascade.labels import CANAL, KINDS, LabelScheme
from cascade.postproc.canal import canal_tube
from cascade.postproc.instances import InstanceMap
from cascade.volume import (
    Box,
    Grid,
    LabelMap,
    box_around_all,
    box_between,
    boxes_of,
    grown_box,
    keep_largest_components,
    label_dtype,
    resample_array,
)

#: Voxels by which labels grow, so that the nearest voxel of an interpolated edge has one.
_GROWTH = 2
#: What is less probable cannot be canal.
_FAINT = 0.1

#: Instance values of each structure, from head to foot, and whether the canal is drawn.
Parts = tuple[tuple[tuple[int, ...], ...], bool]


def paint(
    probabilities: NDArray[np.float32],
    classes: tuple[str, ...],
    source: Grid,
    instances: InstanceMap,
    names: Mapping[int, str],
    *,
    target: Grid,
    scheme: LabelScheme,
) -> LabelMap:
    """Label a scan.

    Class probabilities are interpolated to the target grid and the most probable class wins; which instance of that class a
    voxel belongs to is taken from the nearest voxel. Of every structure only the largest component stays. If the network knows the
    canal and the scheme has a number for it, it is labelled where nothing else is (see `canal_tube`).

    Parameters
    ----------
    probabilities : array of float32, (classes, x, y, z)
    classes : tuple of str
    source : Grid
        Of the probabilities; same axes as `target`.
    instances : InstanceMap
        On `source`.
    names : mapping of int to str
        Structure of each instance value; values without a name are left out.
    target : Grid
        Grid of the result.
    scheme : LabelScheme
        Must hold every name.
    """
    drawn = draw_parts(probabilities, classes, source, instances, parts_of(names, scheme), target)
    return name_parts(drawn, names, target, scheme)


def parts_of(names: Mapping[int, str], scheme: LabelScheme) -> Parts:
    """Which instance values make up each structure, in the order of `names`, and whether the canal is asked for.

    >>> from cascade.labels import CASCADE
    >>> parts_of({3: "L4", 7: "L5", 8: "L4"}, CASCADE)
    (((3, 8), (7,)), False)
    """
    by_name: dict[str, list[int]] = {}
    for value, name in names.items():
        by_name.setdefault(name, []).append(value)
    return tuple(tuple(sorted(values)) for values in by_name.values()), CANAL in scheme


def draw_parts(
    probabilities: NDArray[np.float32],
    classes: tuple[str, ...],
    source: Grid,
    instances: InstanceMap,
    parts: Parts,
    target: Grid,
) -> NDArray[np.uint8]:
    """All of `paint` that does not depend on what structures are called: the number of the part in `parts`, from 1; then the canal's."""
    structures, with_canal = parts
    drawn: NDArray[np.uint8] = np.zeros(target.shape, dtype=np.uint8)
    boxes = [instances.boxes[value] for values in structures for value in values]
    named_box = box_around_all(boxes) if boxes else box_between((0, 0, 0), instances.values.shape)
    # Labels grow, and are interpolated from one voxel beyond.
    around = grown_box(named_box, _GROWTH + 1, source.shape)
    values, near = instances.values[around], source.cropped(around)
    box = _covered(near, target)
    part = target.cropped(box)
    winner = _winner(probabilities[(slice(None), *around)], near, part)
    view = drawn[box]
    kind_of = {instance.value: instance.kind for instance in instances.instances}
    for kind in (k for k in KINDS if k in classes):
        table = np.zeros(int(instances.values.max()) + 1, dtype=drawn.dtype)
        for number, members in enumerate(structures, start=1):
            table[[value for value in members if kind_of[value] == kind]] = number
        nearest = resample_array(_grown(np.take(table, values)), near, part, order=0)
        np.copyto(view, nearest, where=(winner == classes.index(kind)) & (nearest > 0))
    keep_largest_components(view)
    if CANAL in classes and with_canal:
        _paint_canal(drawn, len(structures) + 1, probabilities, classes.index(CANAL), (source, target))
    return drawn


def name_parts(drawn: NDArray[np.uint8], names: Mapping[int, str], target: Grid, scheme: LabelScheme) -> LabelMap:
    """Number what `draw_parts` has drawn, in a scheme."""
    known = [name for name in (*dict.fromkeys(names.values()), CANAL) if name in scheme]
    table = np.array([0, *(scheme[name] for name in known)], dtype=label_dtype(scheme))
    labels: NDArray[np.unsignedinteger[Any]] = np.zeros(drawn.shape, dtype=label_dtype(scheme))
    if boxes := [*boxes_of(drawn).values()]:
        box = box_around_all(boxes)  # to look up a number takes eight bytes a voxel
        labels[box] = np.take(table, drawn[box])
    return LabelMap(labels, target, scheme)


def _paint_canal(
    labels: NDArray[np.uint8],
    number: int,
    probabilities: NDArray[np.float32],
    channel: int,
    grids: tuple[Grid, Grid],
) -> None:
    """Label the canal where nothing is labelled, in place; `grids` are those of the probabilities and of the labels."""
    around = _box_around(probabilities[channel] >= _FAINT)
    near, target = grids[0].cropped(around), grids[1]
    box = _covered(near, target)
    part, view = target.cropped(box), labels[box]
    winner = _winner(probabilities[(slice(None), *around)], near, part)
    tube = canal_tube(resample_array(probabilities[(channel, *around)], near, part, order=1), winner, channel, part)
    view[tube & (view == 0)] = number
    canal = view == number
    pieces, count = ndimage.label(canal, structure=np.ones((3, 3, 3)))
    if count > 1:
        view[canal & (pieces != 1 + np.bincount(pieces[canal])[1:].argmax())] = 0


def _box_around(mask: NDArray[np.bool_]) -> tuple[slice, slice, slice]:
    """The box of `mask` with the room that `_grown` labels need, and one voxel more to interpolate; everything where it is empty."""
    x, y, z = (np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    if not len(x):
        return slice(0, mask.shape[0]), slice(0, mask.shape[1]), slice(0, mask.shape[2])
    low = [max(int(rows[0]) - _GROWTH - 1, 0) for rows in (x, y, z)]
    high = [min(int(rows[-1]) + _GROWTH + 2, length) for rows, length in zip((x, y, z), mask.shape, strict=True)]
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])


def _covered(source: Grid, target: Grid) -> Box:
    """The part of `target` that `source` covers."""
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in source.shape])).reshape(3, -1).T
    voxels = target.to_voxels(source.to_world(corners))
    low = np.clip(np.floor(voxels.min(axis=0)).astype(int), 0, np.asarray(target.shape) - 1)
    high = np.clip(np.ceil(voxels.max(axis=0)).astype(int) + 1, low + 1, target.shape)
    return box_between(low, high)


def _winner(probabilities: NDArray[np.float32], source: Grid, part: Grid) -> NDArray[np.uint8]:
    best = np.zeros(part.shape, dtype=np.float32)
    winner = np.zeros(part.shape, dtype=np.uint8)
    for channel, probability in enumerate(probabilities):
        here = resample_array(probability, source, part, order=1)
        better = here > best
        best[better] = here[better]
        winner[better] = channel
    return winner


def _grown(values: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.unsignedinteger[Any]]:
    """Let labels grow by `_GROWTH` voxels into the background, so that the nearest voxel of an interpolated edge has one."""
    for _ in range(_GROWTH):
        values = np.where(values == 0, ndimage.maximum_filter(values, 3), values)
    return values
