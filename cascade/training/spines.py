"""Spines with names, from the labels and targets of a training: what the naming of levels is learned from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cascade.labels import BODIES, SACRUM, VERSE, disc_below
from cascade.postproc.shape import MEASURED
from cascade.postproc.shape_model import FEATURES, LEVELS
from cascade.training.components import PARTS, certain_components
from cascade.training.examples import Example
from cascade.training.shape import levels_of
from cascade.volume import FloatArray, Grid, LabelMap

#: A row of bodies ends where the next is nearer or further than these parts of the usual step.
NEAREST, FARTHEST = 0.65, 1.4
#: S1 is no further from L5 than so many steps, with its disc between them; fewer bodies than this are no spine.
S1_WITHIN, LEAST_BODIES = 1.6, 3

_FROM_BELOW = (SACRUM, *(name for name in reversed(BODIES) if name not in ("L6", "T13")))


@dataclass(frozen=True, eq=False)
class _Piece:
    """A component of a target.

    Parameters
    ----------
    voxels : (n, 3) array of int
    centre_mm : (3,) array
    """

    voxels: NDArray[np.int64]
    centre_mm: FloatArray


def measured_spines(examples: Sequence[Example], classes: Sequence[str]) -> Iterator[FloatArray]:
    """Measure the spines of a training: (9, LEVELS) arrays as from `levels_of`.

    The features of the shape model are those of labelled scans that are more than a slice; how S1 and L5 look is measured in the targets,
    because few data sets label S1, and a teacher answers it.

    Parameters
    ----------
    examples : sequence of Example
    classes : sequence of str
        Of the network.
    """
    for example in examples:
        named = named_target(example, classes)
        levels = np.full((len(MEASURED), LEVELS), np.nan) if named is None else levels_of(named)
        levels[: len(FEATURES)] = np.nan
        if example.case.has_labels and not example.is_slice:
            levels[: len(FEATURES)] = levels_of(example.case.load_labels())[: len(FEATURES)]
        yield levels


def named_target(example: Example, classes: Sequence[str]) -> LabelMap | None:
    """The bodies and discs that a target is certain of, with names, from the sacrum upwards; None if there is no such row of bodies.

    Levels are counted from the lowest body above a sacrum, or the lowest one of labels that have an L5.
    """
    if not set(PARTS) <= set(classes):
        return None
    pieces = _pieces(example, classes)
    bodies = _row(pieces["body"])
    s1 = _s1(pieces["sacrum"], bodies)
    if len(bodies) < LEAST_BODIES or not (s1 or (example.case.has_labels and "L5" in example.case.load_labels().structures)):
        return None
    return _labels(example.grid, [s1, *bodies], pieces["disc"])


def _pieces(example: Example, classes: Sequence[str]) -> dict[str, list[_Piece]]:
    """The components that a target is certain of, by class, from below."""
    found = {}
    for kind, components in certain_components(example.allowed.numpy(), classes, example.grid).items():
        pieces = [_Piece(voxels, example.grid.to_world(voxels.mean(axis=0))) for voxels in components]
        found[kind] = sorted(pieces, key=lambda piece: float(piece.centre_mm[2]))
    return found


def _row(bodies: Sequence[_Piece]) -> list[_Piece]:
    """The lowest bodies, up to where one is missing or two are one."""
    steps = np.linalg.norm(np.diff([body.centre_mm for body in bodies], axis=0), axis=1) if len(bodies) > 1 else np.zeros(0)
    usual = float(np.median(steps[:4])) if len(steps) else 0.0
    ends = np.flatnonzero((steps <= NEAREST * usual) | (steps >= FARTHEST * usual))
    return list(bodies[: ends[0] + 1 if len(ends) else None])


def _s1(sacra: Sequence[_Piece], bodies: Sequence[_Piece]) -> _Piece | None:
    """The only piece of the sacrum, if it follows the lowest body."""
    if len(sacra) != 1 or len(bodies) < LEAST_BODIES:
        return None
    step = float(np.linalg.norm(bodies[1].centre_mm - bodies[0].centre_mm))
    return sacra[0] if np.linalg.norm(bodies[0].centre_mm - sacra[0].centre_mm) < S1_WITHIN * step else None


def _labels(grid: Grid, spine: Sequence[_Piece | None], discs: Sequence[_Piece]) -> LabelMap:
    """Labels of S1, if it is there, and of the bodies above it, with the discs that lie between two of them."""
    data = np.zeros(grid.shape, np.uint8)
    for name, piece in zip(_FROM_BELOW, spine, strict=False):
        if piece:
            data[tuple(piece.voxels.T)] = VERSE[name]
    for (below, lower), (above, upper) in pairwise(zip(_FROM_BELOW, spine, strict=False)):
        if lower and upper:
            middle, reach = (lower.centre_mm + upper.centre_mm) / 2, np.linalg.norm(upper.centre_mm - lower.centre_mm) / 3
            for disc in discs:
                if np.linalg.norm(disc.centre_mm - middle) < reach:
                    data[tuple(disc.voxels.T)] = VERSE[disc_below(above, below)]
    return LabelMap(data, grid, VERSE)
