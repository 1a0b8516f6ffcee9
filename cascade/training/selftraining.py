"""Self-training: let a trained stage 2 answer what the labels leave open, where it is sure and the answer makes sense.

A target's open questions are the voxels with several allowed classes (an unlabelled disc between labelled bodies,
the sacrum below L5, the vertebrae above the highest label). A network trained on all data sets together has seen
each of these structures somewhere. Its answer is taken over only where it is confident, within the allowed
classes, and forms a component of a plausible size; everything else stays open.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from cascade.networks.checkpoint import Checkpoint
from cascade.networks.patches import patch_shape_for, predict_at, tiles
from cascade.training.examples import Example
from cascade.volume import resample_array

#: Probability, given the allowed classes, from which an answer counts, for structures and for background.
SURE, SURE_BACKGROUND = 0.85, 0.95
#: Plausible sizes in ml by class name; a cut structure may be smaller, then it stays open.
PLAUSIBLE_ML = {"body": (5.0, 80.0), "disc": (1.0, 35.0), "sacrum": (3.0, 60.0)}


def answer_open_questions(examples: Sequence[Example], teacher: Checkpoint) -> list[Example]:
    """Return the examples with the teacher's sure answers filled into their targets."""
    return [_answered(example, teacher) for example in examples]


def _answered(example: Example, teacher: Checkpoint) -> Example:
    grid = example.grid.with_spacing(teacher.spec.spacing_mm)
    image = resample_array(example.image.float().numpy(), example.grid, grid, order=1)
    patch = patch_shape_for(image.shape, teacher.spec)
    predicted = predict_at(image, tiles(image.shape, patch), patch, teacher)
    probabilities = np.stack([resample_array(p, grid, example.grid, order=1) for p in predicted])
    filled = fill_in(example.allowed.numpy(), probabilities, teacher.spec.classes, example.grid.voxel_mm3)
    return dataclasses.replace(example, allowed=torch.from_numpy(filled))


def fill_in(
    allowed: NDArray[np.uint8], probabilities: NDArray[np.float32], classes: tuple[str, ...], voxel_mm3: float
) -> NDArray[np.uint8]:
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
    voxel_mm3 : float

    Returns
    -------
    array of uint8, (x, y, z)
        A single class where there was one before, and never one that was not allowed.
    """
    result = allowed.copy()
    is_open = (allowed & (allowed - 1)) != 0
    given = _given_allowed(allowed, probabilities, classes)
    floor = 0
    for channel, name in reversed(list(enumerate(classes))):
        candidate = is_open & (given[channel] > (SURE if channel else SURE_BACKGROUND))
        if channel:
            candidate[:, :, :floor] = False
            candidate = _plausible(candidate, PLAUSIBLE_ML[name], voxel_mm3 / 1000, only_uppermost=name == "sacrum")
        if name == "sacrum" and candidate.any():
            floor = int(np.argwhere(candidate)[:, 2].mean())
        result[candidate] = 1 << channel
    return result


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


def _plausible(candidate: NDArray[np.bool_], limits_ml: tuple[float, float], voxel_ml: float, only_uppermost: bool) -> NDArray[np.bool_]:
    components, _ = ndimage.label(candidate)
    volumes = np.bincount(components.ravel()) * voxel_ml
    keep = (volumes >= limits_ml[0]) & (volumes <= limits_ml[1])
    keep[0] = False
    if only_uppermost and keep.any():
        tops = {i + 1: box[2].stop for i, box in enumerate(ndimage.find_objects(components)) if keep[i + 1]}
        keep[:] = False
        keep[max(tops, key=lambda value: tops[value])] = True
    return np.asarray(keep[components])
