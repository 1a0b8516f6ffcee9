"""How well a network's classes agree with labels that leave some of them open."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cascade.evaluation.metrics import dice


def dice_where_known(prediction: NDArray[np.unsignedinteger], allowed: NDArray[np.uint8], classes: Sequence[str]) -> dict[str, float]:
    """Dice coefficient of each class over the voxels whose class the labels tell.

    Parameters
    ----------
    prediction : (x, y, z) array of int
        The class of every voxel.
    allowed : (x, y, z) array of uint8
        Bit i is set where ``classes[i]`` is possible.
    classes : sequence of str
        The first is background.

    Returns
    -------
    dict of str to float
        Without background, and without classes that are known nowhere.

    Examples
    --------
    >>> dice_where_known(np.array([1, 1, 1, 0]), np.array([2, 2, 3, 1], dtype=np.uint8), ["background", "column"])
    {'column': 1.0}
    """
    known = (allowed & (allowed - 1)) == 0
    scores = {}
    for value, name in enumerate(classes):
        reference = known & (allowed == 1 << value)
        if value and reference.any():
            scores[name] = dice((prediction == value) & known, reference)
    return scores
