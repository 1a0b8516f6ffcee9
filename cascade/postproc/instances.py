"""Connected components of the vertebra, disc and sacrum classes, measured along the spine."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cascade.centreline import SpineLine
from cascade.labels import KINDS
from cascade.postproc.parameters import InstanceParameters
from cascade.volume import Box, FloatArray, Grid, box_between, box_of, boxes_of

Voxel = tuple[int, int, int]


@dataclass(frozen=True)
class Instance:
    """One vertebral body, disc or sacrum.

    Parameters
    ----------
    kind : {"body", "disc", "sacrum"}
    value : int
        Its value in the instance map.
    centroid_mm : (3,) tuple of float
        RAS+.
    position_mm : float
        Of the centroid along the centreline, growing from head to foot.
    start_mm, end_mm : float
        Extent along the centreline (5th and 95th percentile).
    offset_mm : float
        Distance of the centroid from the centreline, or from the place one body beyond its end.
    volume_mm3 : float
    confidence : float
        Mean probability of its class inside it.
    sacral : float
        Mean probability of the sacrum inside a body.
    touches_border : bool
        Cut by the upper or lower end of the field of view.
    """

    kind: str
    value: int
    centroid_mm: tuple[float, float, float]
    position_mm: float
    start_mm: float
    end_mm: float
    offset_mm: float
    volume_mm3: float
    confidence: float
    touches_border: bool = False
    sacral: float = 0.0

    @property
    def length_mm(self) -> float:
        """Extent along the centreline."""
        return self.end_mm - self.start_mm


@dataclass(frozen=True, eq=False)
class InstanceMap:
    """Instances and where they are.

    Parameters
    ----------
    values : array of int32, (x, y, z)
        0 is background.
    instances : tuple of Instance
    split : tuple of int
        Values of bodies that were cut apart from a fused component.
    """

    values: NDArray[np.int32]
    instances: tuple[Instance, ...]
    split: tuple[int, ...] = ()

    def at(self, voxel: Voxel) -> Instance | None:
        """The instance that holds a voxel."""
        value = int(self.values[voxel])
        return next((instance for instance in self.instances if instance.value == value), None)

    @cached_property
    def boxes(self) -> dict[int, Box]:
        """The box of every value."""
        return boxes_of(self.values)

    def mask(self, value: int) -> tuple[Box, NDArray[np.bool_]]:
        """The box of an instance, and which voxels of it are its own."""
        box = self.boxes[value]
        return box, self.values[box] == value


class Edits(Protocol):
    """What a person knows about components, for `find_instances` to heed."""

    def cut(self, components: NDArray[np.int32], kind: str) -> NDArray[np.int32]:
        """Cut components apart, before fused bodies are looked for."""

    def join(self, components: NDArray[np.int32], kind: str) -> NDArray[np.int32]:
        """Cut what has two names, join what has one, after fused bodies have been cut."""

    def kept(self, components: NDArray[np.int32], kind: str) -> frozenset[int]:
        """Components that are structures, however small."""


@dataclass(frozen=True, eq=False)
class _View:
    """Where components are measured: the part of the grid that holds them, the centreline, and the first and last row with image."""

    grid: Grid
    room: Box
    line: SpineLine
    ends: tuple[float, float]
    beyond_line_mm: float

    def voxels(self, mask: NDArray[np.bool_], box: Box) -> NDArray[np.int64]:
        """Voxels of the grid (n, 3) that a mask of a box of the room holds."""
        first = np.array([inner.start + outer.start for inner, outer in zip(box, self.room, strict=True)])
        return np.asarray(np.argwhere(mask) + first)

    def along(self, voxels: NDArray[np.int64]) -> FloatArray:
        """Positions of voxels of the grid along the centreline, in mm."""
        return self.line.locate(self.grid.to_world(voxels))[0]


def find_instances(
    probabilities: NDArray[np.float32],
    classes: tuple[str, ...],
    grid: Grid,
    line: SpineLine,
    field_of_view: tuple[float, float],
    edits: Edits | None = None,
    *,
    parameters: InstanceParameters | None = None,
) -> InstanceMap:
    """Split every class into instances; fused bodies are cut apart, noise is dropped.

    Parameters
    ----------
    probabilities : array of float32, (classes, x, y, z)
    classes : tuple of str
        Which channel is what; ``"body"``, ``"disc"`` and ``"sacrum"`` are used.
    grid : Grid
        With the third axis from foot to head.
    line : SpineLine
    field_of_view : (2,) tuple of float
        Lowest and highest row of `grid` that hold image.
    edits : Edits, optional
    parameters : InstanceParameters, optional
    """
    parameters = parameters or InstanceParameters()
    everywhere = most_probable(probabilities)
    of_kinds = np.isin(np.arange(len(classes)), [classes.index(kind) for kind in KINDS if kind in classes])
    room = (box_of(of_kinds[everywhere]) if edits is None else None) or box_between((0, 0, 0), everywhere.shape)
    view = _View(grid, room, line, field_of_view, parameters.beyond_line_mm)
    probabilities, winner = probabilities[(slice(None), *room)], everywhere[room]
    all_values = np.zeros(everywhere.shape, dtype=np.int32)
    values = all_values[room]
    found: list[Instance] = []
    split: list[int] = []
    for kind in (k for k in KINDS if k in classes):
        channel = classes.index(kind)
        components, _ = ndimage.label(winner == channel)
        components = edits.cut(components, kind) if edits else components
        if kind == "body":
            components, cut = _cut_fused(components, probabilities[classes.index("disc")], view, parameters)
        components = edits.join(components, kind) if edits else components
        kept = edits.kept(components, kind) if edits else frozenset[int]()
        smallest_mm3, smallest_share = _smallest(kind, parameters)
        boxes = _boxes_above(components, smallest_mm3, grid, kept)
        measured = _measure(components, boxes, probabilities[channel], kind, view)
        for instance in _large_enough(measured, smallest_share, kept):
            value = len(found) + 1
            box = boxes[instance.value]
            values[box][components[box] == instance.value] = value
            if kind == "body" and instance.value in cut:
                split.append(value)
            sacral = _mean_inside(probabilities, classes, "sacrum", box, values[box] == value) if kind == "body" else 0.0
            found.append(dataclasses.replace(instance, value=value, sacral=sacral))
    return InstanceMap(all_values, tuple(found), tuple(split))


def most_probable(probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The class (x, y, z) of the largest of probabilities (classes, x, y, z), the first of equals: argmax in a fifth of the time."""
    best, winner = probabilities[0].copy(), np.zeros(probabilities.shape[1:], dtype=np.uint8)
    for channel, probability in enumerate(probabilities[1:], start=1):
        better = probability > best
        winner[better] = channel
        np.maximum(best, probability, out=best)
    return winner


def _smallest(kind: str, parameters: InstanceParameters) -> tuple[float, float]:
    """The least volume of a structure of this kind, in mm³ and as a share of the median."""
    return {
        "body": (parameters.min_body_mm3, parameters.min_body_share),
        "disc": (parameters.min_disc_mm3, parameters.min_disc_share),
        "sacrum": (parameters.min_sacrum_mm3, 0.0),
    }[kind]


def _boxes_above(components: NDArray[np.int32], smallest_mm3: float, grid: Grid, kept: frozenset[int]) -> dict[int, Box]:
    """Boxes of the components that are large enough or kept."""
    voxels = np.bincount(components.ravel())
    return {value: box for value, box in boxes_of(components).items() if voxels[value] * grid.voxel_mm3 >= smallest_mm3 or value in kept}


def _mean_inside(
    probabilities: NDArray[np.float32], classes: tuple[str, ...], kind: str, box: tuple[slice, ...], mask: NDArray[np.bool_]
) -> float:
    return float(probabilities[classes.index(kind)][box][mask].mean()) if kind in classes else 0.0


def _measure(
    components: NDArray[np.int32],
    boxes: Mapping[int, Box],
    probability: NDArray[np.float32],
    kind: str,
    view: _View,
) -> list[Instance]:
    measured = []
    grid, line = view.grid, view.line
    for value, box in boxes.items():
        mask = components[box] == value
        volume = float(mask.sum()) * grid.voxel_mm3
        voxels = view.voxels(mask, box)
        points = grid.to_world(voxels)
        positions, _ = line.locate(points)
        centroid = points.mean(axis=0)
        (position,), (aside,) = line.locate(centroid[None])
        beyond = max(line.ends_mm[0] - position, position - line.ends_mm[1], 0.0)
        rows = voxels[:, 2]
        start, end = np.percentile(positions, (5, 95))
        measured.append(
            Instance(
                kind,
                value,
                (float(centroid[0]), float(centroid[1]), float(centroid[2])),
                float(position),
                float(start),
                float(end),
                float(np.hypot(aside, max(0.0, beyond - view.beyond_line_mm))),
                volume,
                float(probability[box][mask].mean()),
                bool(rows.min() <= view.ends[0] or rows.max() >= view.ends[1]),
            )
        )
    return measured


def _large_enough(instances: list[Instance], smallest_share: float, kept: frozenset[int]) -> list[Instance]:
    if not instances:
        return []
    typical = float(np.median([i.volume_mm3 for i in instances]))
    return [i for i in instances if i.volume_mm3 >= smallest_share * typical or i.value in kept]


def _cut_fused(
    components: NDArray[np.int32], disc: NDArray[np.float32], view: _View, parameters: InstanceParameters
) -> tuple[NDArray[np.int32], set[int]]:
    """Cut bodies that are much longer than the others where they are thinnest along the spine, counting disc as thin.

    One that is not, but encloses a disc, is cut there: as of two bodies of which a short stack of slices shows a half each.
    """
    extents = {}
    first = [side.start for side in view.room]
    for value, box in _boxes_above(components, parameters.min_body_mm3, view.grid, frozenset()).items():
        voxels = view.voxels(components[box] == value, box)
        extents[value] = (voxels - first, view.along(voxels))
    if not extents:
        return components, set()
    lengths = {value: float(np.ptp(np.percentile(positions, (5, 95)))) for value, (_, positions) in extents.items()}
    typical = float(np.clip(np.percentile(list(lengths.values()), 40), parameters.min_typical_mm, parameters.max_typical_mm))
    shortest = parameters.fused_ratio * (typical + parameters.typical_disc_mm)
    result, cut, fresh = components.copy(), set[int](), int(components.max()) + 1
    for value, (voxels, positions) in extents.items():
        if lengths[value] + parameters.typical_disc_mm < shortest:
            cuts = _enclosed_disc(voxels, positions, disc, view, parameters)
        else:
            cuts = thinnest(positions, voxels, disc, _possible_parts(lengths[value], typical, parameters), parameters.clearly_thinner)
        piece = np.searchsorted(cuts, positions)
        for k in range(1, len(cuts) + 1):
            chosen = voxels[piece == k]
            result[tuple(chosen.T)] = fresh
            cut |= {value, fresh}
            fresh += 1
    return result, cut


def _enclosed_disc(
    voxels: NDArray[np.int64],
    positions: FloatArray,
    disc: NDArray[np.float32],
    view: _View,
    parameters: InstanceParameters,
) -> list[float]:
    """Where along the spine a disc lies in the middle half of a body, within the box of the body; empty if none does."""
    box = box_between(voxels.min(axis=0), voxels.max(axis=0) + 1)
    inside = view.voxels(disc[box] > 0.5, box)
    low, high = np.percentile(positions, (5, 95))
    if not len(inside) or high - low < 2 * parameters.min_typical_mm:
        return []
    of_disc = view.along(inside)
    edges = np.arange(low + (high - low) / 4, high - (high - low) / 4 + 1.0, 1.0)
    discs, bodies = (ndimage.uniform_filter1d(np.histogram(p, edges)[0].astype(float), 3) for p in (of_disc, positions))
    share = discs / np.maximum(discs + bodies, 1.0)
    best = int(share.argmax())
    return [float(edges[best]) + 0.5] if share[best] >= parameters.enclosed_disc else []


def _possible_parts(length_mm: float, typical_mm: float, parameters: InstanceParameters) -> list[int]:
    """How many bodies, with discs between them, make this length; the likeliest number first."""
    disc_mm, spread = parameters.typical_disc_mm, parameters.length_spread
    counts = [max(2, round((length_mm + disc_mm) / (typical_mm * factor + disc_mm))) for factor in (1.0, 1 + spread, 1 - spread)]
    return list(dict.fromkeys(counts))


def thinnest(
    positions: FloatArray, voxels: NDArray[np.int64], disc: NDArray[np.float32], parts: Sequence[int], clearly_thinner: float
) -> list[float]:
    """Cuts near the even ones, where the section is smallest; as many pieces as `parts` says first, unless others are clearly thinner."""
    edges = np.arange(positions.min(), positions.max() + 2.0, 1.0)
    likely_disc = disc[tuple(voxels.T)]
    section = np.histogram(positions, edges, weights=1.0 - np.minimum(1.0, 2.0 * likely_disc))[0]
    section = ndimage.gaussian_filter1d(section, 1.5)
    usual, *others = [_cuts(section, count) for count in parts]
    other = min(others, key=lambda rows: float(section[rows].mean()), default=usual)
    best = other if section[other].mean() < clearly_thinner * section[usual].mean() else usual
    return [float(edges[row]) + 0.5 for row in best]


def _cuts(section: FloatArray, parts: int) -> list[int]:
    """Rows of the smallest section near each of the even cuts."""
    rows = np.arange(len(section))
    step = (len(section) - 1) / parts
    near = [rows[np.abs(rows - step * k) <= max(0.3 * step, 0.5)] for k in range(1, parts)]
    return [int(window[np.argmin(section[window])]) for window in near]
