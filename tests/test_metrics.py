"""How well two segmentations agree."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cascade.metrics import dice

masks = hnp.arrays(bool, (3, 4, 5))


@given(masks, masks)
def test_dice_is_symmetric_and_between_zero_and_one(a: np.ndarray, b: np.ndarray) -> None:
    value = dice(a, b)
    assert (math.isnan(value) and not (a.any() or b.any())) or 0 <= value <= 1
    assert value == pytest.approx(dice(b, a), nan_ok=True)


@given(masks, st.integers(0, 59))
def test_dice_is_one_only_for_equal_masks(a: np.ndarray, voxel: int) -> None:
    a.flat[0] = True
    other = a.copy()
    other.flat[voxel] ^= True
    assert dice(a, a) == 1
    assert dice(a, other) < 1
