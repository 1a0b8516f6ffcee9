from __future__ import annotations

import dataclasses

import pytest

from cascade.measure import measure
from cascade.phantom import PhantomSpec, voxelise
from tests.measure.phantoms import bodies_of, by_name, grid_of, losses

SAGITTAL = grid_of((4.0, 0.9, 0.9))
SPEC = PhantomSpec(thoracic=0)
NOT_LOWER = ("L1", "L3", "L4", "L5")


@pytest.mark.parametrize(("loss", "grade"), [((0.21, 0.21), 1), ((0.40, 0.10), 2), ((0.55, 0.55), 3)], ids=["mild", "wedged", "crushed"])
def test_a_body_that_lost_height_is_graded_and_its_neighbours_are_not(loss: tuple[float, float], grade: int) -> None:
    spec = dataclasses.replace(SPEC, collapse=("L2", *loss))
    rows = by_name(measure(voxelise(bodies_of(spec), SAGITTAL)))
    for name, truth in losses(spec).items():
        for column in ("anterior_loss_percent", "middle_loss_percent", "posterior_loss_percent"):
            assert getattr(rows[name], column) == pytest.approx(getattr(truth, column), abs=3)
    assert rows["L2"].loss_grade == grade
    assert {rows[name].loss_grade for name in NOT_LOWER} == {0}


def test_whole_bodies_of_different_levels_have_lost_nothing() -> None:
    rows = by_name(measure(voxelise(bodies_of(SPEC), SAGITTAL)), kinds=("body",))
    assert {row.loss_grade for row in rows.values()} == {0}


def test_a_body_without_neighbours_is_compared_with_nothing() -> None:
    rows = by_name(measure(voxelise([part for part in bodies_of(SPEC) if part.name in ("L2", "L3")], SAGITTAL)))
    assert rows["L2"].loss_grade is None
