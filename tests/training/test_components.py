"""Components of a target: of a plausible size, in ml or, in a single slice, in cm2."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.stage2_levels.target import CLASSES
from cascade.training.components import certain_components, plausible_components
from cascade.volume import Grid

BODY = 1 << CLASSES.index("body")


@pytest.mark.parametrize(("slices", "thickness_mm"), [(10, 3.0), (1, 30.0)])
def test_a_body_of_27_ml_or_nine_cm2_is_plausible_and_a_fragment_is_not(slices: int, thickness_mm: float) -> None:
    allowed = np.ones((slices, 60, 60), np.uint8)
    allowed[:, 5:35, 5:35] = BODY
    allowed[:, 50:52, 50:52] = BODY
    found = certain_components(allowed, CLASSES, Grid(allowed.shape, np.diag([thickness_mm, 1.0, 1.0, 1.0])))
    assert [len(voxels) for voxels in found["body"]] == [slices * 900]
    assert not found["disc"]
    assert not found["sacrum"]


def test_what_may_still_be_something_else_is_not_certain() -> None:
    allowed = np.full((10, 40, 40), BODY | 1, np.uint8)
    assert not certain_components(allowed, CLASSES, Grid(allowed.shape, np.diag([3.0, 1.0, 1.0, 1.0])))["body"]


def test_the_number_of_a_component_left_out_is_not_given_to_another() -> None:
    mask = np.zeros((10, 60, 60), bool)
    mask[:, :2, :2] = mask[:, 20:50, 20:50] = True
    components = plausible_components(mask, "body", Grid(mask.shape, np.diag([3.0, 1.0, 1.0, 1.0])))
    assert set(np.unique(components)) == {0, 2}
