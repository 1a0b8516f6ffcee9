"""Self-training: let a trained stage 2 answer what the labels leave open, where it is sure and the answer makes sense.

A target's open questions are the voxels with several allowed classes (an unlabelled disc between labelled bodies,
the sacrum below L5, the vertebrae above the highest label). A network trained on all data sets together has seen
each of these structures somewhere. Its answer is taken over only where it is confident, within the allowed
classes, and forms a component of a plausible size; everything else stays open. Where named points are known, the
whole answer counts only if chain, names and count of its components agree with them. Scans of one patient that share a
grid, as T1 and T2 of one session often do, are answered together, by the mean of what the teacher says of each.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from cascade.networks.checkpoint import Checkpoint
from cascade.networks.patches import patch_shape_for, predict_at
from cascade.points import disagreement
from cascade.training.components import certain_components, plausible_components
from cascade.training.examples import Example
from cascade.volume import FloatArray, Grid, Shape, resample_array

#: Probability, given the allowed classes, from which an answer counts, for structures and for background.
SURE, SURE_BACKGROUND = 0.85, 0.95
#: A single slice is shown to the teacher as a slab of this thickness.
SLAB_MM = 32.0
#: The canal reaches further than a teacher says that learned it in a part of the view: its background stays open this far from its canal,
#: and further in the top of the view and behind the first sacral vertebra and below (docs/notes/2026-11-28-levels-known.md).
CANAL_BORDER_MM, TOP_BORDER_MM, SACRAL_BORDER_MM = 3.0, 8.0, 15.0
TOP_MM = 25.0
#: Two scans are answered together if all their voxels lie at most this far from each other.
SAME_GRID_MM = 0.5


def answer_open_questions(examples: Sequence[Example], teacher: Checkpoint) -> list[Example]:
    """Return the examples with the teacher's sure answers filled into their targets."""
    answered: dict[int, Example] = {}
    for group in _sessions(examples):
        mean = np.mean([teacher_says(examples[i], teacher) for i in group], axis=0)
        answered |= {i: _answered(examples[i], mean, teacher.spec.classes) for i in group}
    return [answered[i] for i in range(len(examples))]


def _sessions(examples: Sequence[Example]) -> Iterator[list[int]]:
    """Indices of the examples of one patient on one grid, together."""
    left = list(range(len(examples)))
    while left:
        first = examples[left[0]]
        group = [i for i in left if examples[i].case.patient == first.case.patient and _is_same_grid(examples[i].grid, first.grid)]
        left = [i for i in left if i not in group]
        yield group


def _is_same_grid(one: Grid, other: Grid) -> bool:
    return one.matches(other, tol_mm=SAME_GRID_MM)


def teacher_says(example: Example, teacher: Checkpoint) -> NDArray[np.float32]:
    """What the teacher says along the spine, on the grid of the example: (classes, x, y, z); 0 where it was not asked."""
    grid = example.grid.with_spacing(teacher.spec.spacing_mm)
    image = resample_array(example.image.float().numpy(), example.grid, grid, order=1)
    if example.is_slice:
        image = np.repeat(image[image.shape[0] // 2][None], max(1, round(SLAB_MM / teacher.spec.spacing_mm[0])), axis=0)
    patch = patch_shape_for(image.shape, teacher.spec)
    starts = _along_spine(grid.to_voxels(example.grid.to_world(example.centres)), image.shape, patch)
    predicted = predict_at(image, starts, patch, teacher) * _covered(image.shape, starts, patch)
    if example.is_slice:
        predicted = np.repeat(predicted[:, [predicted.shape[1] // 2]], grid.shape[0], axis=1)
    return np.stack([resample_array(p, grid, example.grid, order=1) for p in predicted])


def _along_spine(centres: FloatArray, shape: Shape, patch: Shape) -> list[tuple[int, ...]]:
    """First voxels of patches that overlap by half, from a third of a patch below the centres to a third above them."""
    low, high = centres[:, 2].min() - patch[2] / 3, centres[:, 2].max() + patch[2] / 3
    number = 1 + max(0, math.ceil((high - low - patch[2]) / (patch[2] / 2)))
    starts = []
    for middle in np.linspace(low + patch[2] / 2, max(high - patch[2] / 2, low + patch[2] / 2), number):
        near = centres[np.abs(centres[:, 2] - middle) <= patch[2] / 2]
        x, y, _ = (near if len(near) else centres).mean(axis=0)
        x = (shape[0] - 1) / 2 if shape[0] <= patch[0] else x
        starts.append(tuple(round(c - (n - 1) / 2) for c, n in zip((x, y, middle), patch, strict=True)))
    return starts


def _covered(shape: Shape, starts: Sequence[tuple[int, ...]], patch: Shape) -> NDArray[np.float32]:
    covered = np.zeros(shape, dtype=np.float32)
    for start in starts:
        covered[tuple(slice(max(0, a), max(0, a + p)) for a, p in zip(start, patch, strict=True))] = 1.0
    return covered


def _answered(example: Example, probabilities: NDArray[np.float32], classes: tuple[str, ...]) -> Example:
    allowed = example.allowed.numpy()
    filled = fill_in(allowed, probabilities, classes, example.grid)
    if example.points and disagreement(example.points, _in_world(filled, classes, example.grid)):
        return example
    return dataclasses.replace(example, allowed=torch.from_numpy(filled))


def _in_world(filled: NDArray[np.uint8], classes: tuple[str, ...], grid: Grid) -> dict[str, list[FloatArray]]:
    """The components of which a target is certain, in RAS+ mm, by class."""
    components = certain_components(filled, classes, grid)
    return {kind: [grid.to_world(voxels) for voxels in found] for kind, found in components.items()}


def fill_in(allowed: NDArray[np.uint8], probabilities: NDArray[np.float32], classes: tuple[str, ...], grid: Grid) -> NDArray[np.uint8]:
    """Replace open bit masks by single classes where the teacher is sure.

    What is certain of the labels corrects the teacher: its probabilities are taken given the allowed classes, and
    below the lowest presacral body, where no body can be, what looks like one is the sacrum. What looks like a disc or
    body below the middle of the first sacral vertebra (the remnant of the disc S1/S2) stays open.

    Parameters
    ----------
    allowed : array of uint8, (x, y, z)
        Bit masks of allowed classes.
    probabilities : array of float32, (classes, x, y, z)
    classes : tuple of str
        The teacher's.
    grid : Grid
        Of the scan, with the third axis from foot to head.

    Returns
    -------
    array of uint8, (x, y, z)
        A single class where there was one before, and never one that was not allowed. What the teacher calls background may still be
        a class that it does not know, or canal close to what it calls canal.
    """
    result = allowed.copy()
    is_open = (allowed & (allowed - 1)) != 0
    given = _given_allowed(allowed, probabilities, classes)
    unknown = np.uint8(255 >> len(classes) << len(classes))
    floor = 0
    for channel, name in reversed(list(enumerate(classes))):
        candidate = is_open & (given[channel] > (SURE if channel else SURE_BACKGROUND))
        if channel:
            candidate[:, :, : 0 if name == "canal" else floor] = False
            components = plausible_components(candidate, name, grid)
            candidate = _uppermost(components) if name == "sacrum" else components > 0
        if name == "sacrum" and candidate.any():
            floor = int(np.argwhere(candidate)[:, 2].mean())
        result[candidate] = 1 << channel if channel else 1 | (allowed[candidate] & unknown)
    if "canal" in classes:
        border = is_open & (result & 1 == 1) & _canal_border(result, classes, grid)
        result[border] |= allowed[border] & np.uint8(1 << classes.index("canal"))
    return result


def _canal_border(filled: NDArray[np.uint8], classes: tuple[str, ...], grid: Grid) -> NDArray[np.bool_]:
    """What lies so close to the canal of a target that it may be canal, too."""
    canal, sacrum = (filled == 1 << classes.index(name) for name in ("canal", "sacrum"))
    if not canal.any():
        return np.zeros(grid.shape, dtype=bool)
    from_canal = _distance_mm(canal, grid)
    is_top = np.arange(grid.shape[2]) >= grid.shape[2] - TOP_MM / grid.spacing_mm[2]
    border = (from_canal <= CANAL_BORDER_MM) | ((from_canal <= TOP_BORDER_MM) & is_top)
    if sacrum.any():
        _, back, _ = np.argwhere(sacrum).mean(axis=0)
        high = np.nonzero(sacrum.any(axis=(0, 1)))[0][-1] + SACRAL_BORDER_MM / grid.spacing_mm[2]
        _, y, z = np.ogrid[tuple(slice(n) for n in grid.shape)]
        border |= (np.minimum(from_canal, _distance_mm(sacrum, grid)) <= SACRAL_BORDER_MM) & (y <= back) & (z <= high)
    return np.asarray(border)


def _distance_mm(mask: NDArray[np.bool_], grid: Grid) -> NDArray[np.float64]:
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=grid.spacing_mm))


def _given_allowed(allowed: NDArray[np.uint8], probabilities: NDArray[np.float32], classes: tuple[str, ...]) -> NDArray[np.float32]:
    """Probabilities given the allowed classes; body counts as sacrum where only the sacrum is allowed."""
    body, sacrum = classes.index("body"), classes.index("sacrum")
    given = probabilities.copy()
    is_sacrum = ((allowed >> sacrum) & 1 == 1) & ((allowed >> body) & 1 == 0)
    given[sacrum][is_sacrum] += given[body][is_sacrum]
    for channel in range(len(classes)):
        given[channel][(allowed >> channel) & 1 == 0] = 0.0
    given /= np.maximum(given.sum(axis=0), 1e-6)
    return given


def _uppermost(components: NDArray[np.int32]) -> NDArray[np.bool_]:
    """The component that reaches furthest up."""
    tops = {value: box[2].stop for value, box in enumerate(ndimage.find_objects(components), start=1) if box}
    return components == max(tops, key=lambda value: tops[value]) if tops else np.zeros(components.shape, dtype=bool)
