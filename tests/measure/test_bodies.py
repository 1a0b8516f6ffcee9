from __future__ import annotations

import dataclasses

import pytest

from cascade.measure import measure
from cascade.phantom import PhantomSpec, voxelise
from tests.measure.phantoms import bodies_of, by_name, grid_of

SAGITTAL = grid_of((4.0, 0.9, 0.9))
SPEC = PhantomSpec(thoracic=0)
#: The phantom's levels are a little more alike than those of people.
UNLIKE_PERCENT = 9.0


@pytest.mark.parametrize(("loss", "grade"), [((0.21, 0.21), 1), ((0.40, 0.10), 2), ((0.55, 0.55), 3)], ids=["mild", "wedged", "crushed"])
def test_a_body_that_lost_height_is_graded_and_its_neighbours_are_not(loss: tuple[float, float], grade: int) -> None:
    rows = by_name(measure(voxelise(bodies_of(dataclasses.replace(SPEC, collapse=("L2", *loss))), SAGITTAL)))
    front, rear = loss
    row = rows["L2"]
    assert row.anterior_loss_percent == pytest.approx(100 * (rear + (front - rear) * 0.8), abs=UNLIKE_PERCENT)
    assert row.posterior_loss_percent == pytest.approx(100 * (rear + (front - rear) * 0.2), abs=UNLIKE_PERCENT)
    assert row.loss_grade == grade
    assert {rows[name].loss_grade for name in ("L1", "L3", "L4", "L5")} == {0}


def test_whole_bodies_of_different_levels_have_lost_nothing() -> None:
    rows = by_name(measure(voxelise(bodies_of(SPEC), SAGITTAL)), kinds=("body",))
    assert {row.loss_grade for row in rows.values()} == {0}


def test_a_body_without_neighbours_is_compared_with_nothing() -> None:
    rows = by_name(measure(voxelise([part for part in bodies_of(SPEC) if part.name in ("L2", "L3")], SAGITTAL)))
    assert rows["L2"].loss_grade is None
