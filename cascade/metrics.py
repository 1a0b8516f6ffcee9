"""How well two segmentations agree."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def dice(prediction: NDArray[np.bool_], reference: NDArray[np.bool_]) -> float:
    """Dice coefficient: twice the overlap over the sum of both sizes; NaN if both are empty.

    >>> dice(np.array([True, True, False]), np.array([True, False, False]))
    0.6666666666666666
    """
    total = int(prediction.sum()) + int(reference.sum())
    return 2.0 * int(np.logical_and(prediction, reference).sum()) / total if total else float("nan")
