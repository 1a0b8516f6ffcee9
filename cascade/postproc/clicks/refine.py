"""Local refinement: class probabilities, re-weighted around clicks.

A click adds evidence for its class to the network's log probabilities. The evidence fades with the geodesic distance from the
click, which grows fast where the image looks different from the clicked place, and is nil beyond a few centimetres. Where the
network is unsure it is followed far, where the network is sure only close to the click. Nothing here is learnt; a network that
takes clicks as input channels (DeepEdit) would replace `refine` and leave the rest as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.graph import MCP_Geometric

from cascade.volume import Box, FloatArray, Grid, Volume, box_around

#: Evidence at the click in nats, its scale in mm, and where it ends, in scales.
STRENGTH, SCALE_MM, REACH = 6.0, 5.0, 3.0
#: A step of one millimetre through tissue that differs from the clicked one by one deviation is this much longer.
TISSUE_WEIGHT = 1.0
#: Evidence that no network outweighs, for the clicked voxel and its face neighbours.
_CERTAIN = 60.0
_TINY = 1e-6
#: A missed structure is looked for this far around the click, in what is more probable than these, one after the other.
GROWTH_MM, THRESHOLDS = 30.0, (0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01)


@dataclass(frozen=True)
class Seed:
    """A clicked voxel and the class it belongs to.

    Parameters
    ----------
    voxel : (3,) tuple of int
    channel : int
    """

    voxel: tuple[int, int, int]
    channel: int


def refine(
    probabilities: NDArray[np.float32], scan: Volume, grid: Grid, seeds: Sequence[Seed], instances: NDArray[np.int32]
) -> NDArray[np.float32]:
    """Re-weight class probabilities around clicks.

    Parameters
    ----------
    probabilities : array of float32, (classes, x, y, z)
    scan : Volume
        The image.
    grid : Grid
        Of the probabilities.
    seeds : sequence of Seed
        One that agrees with the network holds its ground against others near it and changes nothing by itself.
    instances : array of int32, (x, y, z)
        Which instance a voxel was taken for. A click that takes a voxel from one instance, or from the background, takes no other's.

    Returns
    -------
    array of float32, (classes, x, y, z)
        The same array where no seed changes anything.
    """
    winners = probabilities.argmax(axis=0)
    winner = {seed: int(winners[seed.voxel]) for seed in seeds}
    changing = [seed for seed in seeds if winner[seed] != seed.channel]
    if not changing:
        return probabilities
    evidence = np.zeros_like(probabilities)
    for seed in changing:
        box, values = _evidence(scan, grid, seed)
        of_the_same = (winners[box] == winner[seed]) & (instances[box] == instances[seed.voxel])
        _add(evidence[seed.channel], box, np.where(of_the_same, values, 0.0))
    against = evidence.max(axis=0)
    for seed in seeds:
        if seed not in changing:
            box, values = _evidence(scan, grid, seed)
            _add(evidence[seed.channel], box, np.minimum(values, against[box]))
    clicked = {seed.voxel for seed in seeds}
    for seed in seeds:
        same = instances[seed.voxel]
        around = [v for v in _cross(seed.voxel, grid) if v not in clicked and instances[v] == same] if seed in changing else []
        for voxel in (seed.voxel, *around):
            evidence[(seed.channel, *voxel)] = _CERTAIN
    return _reweighted(probabilities, evidence)


def _add(target: NDArray[np.float32], box: Box, values: FloatArray) -> None:
    np.maximum(target[box], values, out=target[box], casting="same_kind")


def _evidence(scan: Volume, grid: Grid, seed: Seed) -> tuple[Box, FloatArray]:
    """Evidence of one click, in the box that it reaches."""
    box = box_around(seed.voxel, grid, REACH * SCALE_MM)
    part = scan.resampled(grid.cropped(box)).data
    centre = tuple(v - s.start for v, s in zip(seed.voxel, box, strict=True))
    distance = geodesic_mm(part, centre, grid.spacing_mm)
    values = STRENGTH * np.exp(-0.5 * (distance / SCALE_MM) ** 2)
    return box, np.where(distance <= REACH * SCALE_MM, values, 0.0).astype(np.float32)


def geodesic_mm(image: NDArray[np.float32], centre: tuple[int, ...], spacing_mm: Sequence[float]) -> FloatArray:
    """Distance from `centre` along the cheapest path, where tissue that looks different from the centre's is longer to cross."""
    near = tuple(slice(max(0, c - 1), c + 2) for c in centre)
    level = float(np.median(image[near]))
    deviation = max(float(np.std(image)), _TINY)
    costs = 1.0 + TISSUE_WEIGHT * ((image - level) / deviation) ** 2
    distance: FloatArray = MCP_Geometric(np.minimum(costs, 50.0), sampling=tuple(spacing_mm)).find_costs([centre])[0]
    return distance


def _cross(voxel: tuple[int, int, int], grid: Grid) -> list[tuple[int, int, int]]:
    """A voxel and its face neighbours inside the grid."""
    steps = np.vstack([np.zeros((1, 3), int), np.eye(3, dtype=int), -np.eye(3, dtype=int)])
    around = np.asarray(voxel) + steps
    inside = ((around >= 0) & (around < grid.shape)).all(axis=1)
    return [(int(x), int(y), int(z)) for x, y, z in around[inside]]


def _reweighted(probabilities: NDArray[np.float32], evidence: NDArray[np.float32]) -> NDArray[np.float32]:
    touched = evidence.max(axis=0) > 0
    logits = np.log(np.maximum(probabilities[:, touched], _TINY)) + evidence[:, touched]
    weights = np.exp(logits - logits.max(axis=0))
    result = probabilities.copy()
    result[:, touched] = weights / weights.sum(axis=0)
    return result


def grown(
    probability: NDArray[np.float32], grid: Grid, voxel: tuple[int, int, int], *, free: NDArray[np.bool_], volume_mm3: float
) -> NDArray[np.bool_]:
    """The part around a click that the network sees most of a class in: how a structure that it missed is found.

    The threshold on the probability falls until the piece that holds the click has half the volume wanted; a piece that then has
    more than one and a half of it is not taken, as it is no longer one structure.

    Parameters
    ----------
    probability : array of float32, (x, y, z)
        Of the wanted class.
    grid : Grid
    voxel : (3,) tuple of int
    free : array of bool, (x, y, z)
        Where it may grow.
    volume_mm3 : float
        Of a typical structure of this class.

    Returns
    -------
    array of bool, (x, y, z)
        All False where the network sees nothing.
    """
    result = np.zeros(probability.shape, dtype=bool)
    box = box_around(voxel, grid, GROWTH_MM)
    centre = tuple(v - s.start for v, s in zip(voxel, box, strict=True))
    for threshold in THRESHOLDS:
        candidates = (probability[box] > threshold) & free[box]
        candidates[centre] = True
        pieces, _ = ndimage.label(candidates)
        piece = pieces == pieces[centre]
        volume = float(piece.sum()) * grid.voxel_mm3
        if volume > 1.5 * volume_mm3:
            break
        if volume >= 0.5 * volume_mm3:
            result[box] = piece
            break
    return result
